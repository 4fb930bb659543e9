import type { Account } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Picture, Provider } from '../core/provider.ts'
import type { Vault } from '../core/vault.ts'
import { accountContext, UnreadableError } from '../core/vault.ts'
import type { RateLimit } from '../refreshing/rate-limit.ts'

/** The pictures of accounts, as far as this process has them or may ask for them. */
export interface Pictures {
  /** Null where there is none, or none to be had at the moment. */
  of(account: Account): Promise<Picture | null>
  forget(name: string): void
}

interface Deps {
  readonly store: Pick<AccountStore, 'now'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly rateLimit: Pick<RateLimit, 'take' | 'pause'>
  readonly log: Log
}

interface Held {
  readonly userId: string
  readonly picture: Promise<Picture | null>
  goodUntilMs: number
}

const MAX_HELD = 100
const KEPT_MS = 24 * 3600 * 1000
/** What cannot answer is not asked again by each look at the page. */
const RETRY_MS = 5 * 60 * 1000
const SIDE_BY_SIDE = 4

/** `clockMs` only goes forward. */
export function createPictures(deps: Deps, clockMs = (): number => performance.now()): Pictures {
  const held = new Map<string, Held>()
  const inTurn = createTurns(SIDE_BY_SIDE)

  async function ask({ name, provider, accessToken }: Account): Promise<Picture | null> {
    if (accessToken === null) return null
    if (deps.rateLimit.take(provider, 1) === 0) throw new ProviderError('throttled', 'The provider wants to be asked less at the moment.')
    const token = deps.vault.open(accessToken, accountContext(name, 'access_token'))
    return (await deps.providers.get(provider)?.picture?.(token)) ?? null
  }

  function failed({ name, provider }: Account, error: unknown): null {
    if (error instanceof ProviderError && error.concernsAll) deps.rateLimit.pause(provider, error.retryAfterSeconds)
    const isForeseen = error instanceof ProviderError || error instanceof UnreadableError
    if (isForeseen) deps.log.info({ account: name }, `the account is shown without its picture: ${error.message}`)
    else deps.log.warn({ account: name, err: error }, 'the account is shown without its picture')
    return null
  }

  function begin(account: Account, userId: string): Held {
    const goodFor = (ms: number): void => {
      one.goodUntilMs = clockMs() + ms
    }
    const picture = inTurn(() => ask(account)).then(
      (found) => {
        goodFor(KEPT_MS)
        return found
      },
      (error: unknown) => {
        goodFor(RETRY_MS)
        return failed(account, error)
      },
    )
    const one: Held = { userId, picture, goodUntilMs: Number.POSITIVE_INFINITY }
    return one
  }

  return {
    async of(account) {
      for (const [name, { goodUntilMs }] of held) if (goodUntilMs <= clockMs()) held.delete(name)
      const { name, providerUserId: userId } = account
      const known = held.get(name)
      if (known !== undefined && known.userId === userId) return known.picture
      // Another user's, from before the account was connected anew.
      held.delete(name)
      if (userId === null || !mayAsk(account, deps.store.now())) return null
      const one = begin(account, userId)
      held.set(name, one)
      const [oldest] = held.keys()
      if (held.size > MAX_HELD && oldest !== undefined) held.delete(oldest)
      return one.picture
    },
    forget: (name) => void held.delete(name),
  }
}

/** Only with a token that is known to work: with another one the call would be in vain. */
function mayAsk({ pausedAt, accessToken, state, expiresAt }: Account, now: Date): boolean {
  return pausedAt === null && accessToken !== null && state === 'active' && (expiresAt === null || expiresAt > now)
}

/** So many at a time; the others wait for their turn. */
function createTurns(sideBySide: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running < sideBySide) running++
    else await new Promise<void>((go) => waiting.push(go))
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      // The place goes over to whoever is next.
      if (next === undefined) running--
      else next()
    }
  }
}

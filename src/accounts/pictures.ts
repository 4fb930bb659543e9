import fastq from 'fastq'
import type { Account } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Picture } from '../core/media.ts'
import type { Provider } from '../core/provider.ts'
import type { Vault } from '../core/vault.ts'
import { accountContext, UnreadableError } from '../core/vault.ts'
import type { RateLimit } from '../refreshing/rate-limit.ts'

/** Profile pictures of accounts, cached in this process. */
export interface Pictures {
  /** Null if the account has no picture, or the provider cannot be asked now. */
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

interface CachedPicture {
  readonly userId: string
  readonly picture: Promise<Picture | null>
  goodUntilMs: number
}

const MAX_CACHED = 100
const KEPT_MS = 24 * 3600 * 1000
/** How long a failed call is not repeated. */
const RETRY_MS = 5 * 60 * 1000
const SIDE_BY_SIDE = 4

/** `clockMs` is monotonic. */
export function createPictures(deps: Deps, clockMs = (): number => performance.now()): Pictures {
  const cached = new Map<string, CachedPicture>()
  const questions = fastq.promise(ask, SIDE_BY_SIDE)

  async function ask(account: Account): Promise<Picture | null> {
    const { provider, accessToken } = account
    if (accessToken === null) return null
    if (!deps.rateLimit.take(provider)) throw new ProviderError('throttled', 'The provider wants to be asked less at the moment.')
    const token = deps.vault.open(accessToken, accountContext(account, 'access_token'))
    return (await deps.providers.get(provider)?.picture?.(token)) ?? null
  }

  function failed({ name, provider }: Account, error: unknown): null {
    if (error instanceof ProviderError && error.concernsAll) deps.rateLimit.pause(provider, error.retryAfterSeconds)
    const isForeseen = error instanceof ProviderError || error instanceof UnreadableError
    if (isForeseen) deps.log.info({ account: name }, `the account is shown without its picture: ${error.message}`)
    else deps.log.warn({ account: name, err: error }, 'the account is shown without its picture')
    return null
  }

  function begin(account: Account, userId: string): CachedPicture {
    const goodFor = (ms: number): void => {
      one.goodUntilMs = clockMs() + ms
    }
    const picture = questions.push(account).then(
      (found) => {
        goodFor(KEPT_MS)
        return found
      },
      (error: unknown) => {
        goodFor(RETRY_MS)
        return failed(account, error)
      },
    )
    const one: CachedPicture = { userId, picture, goodUntilMs: Number.POSITIVE_INFINITY }
    return one
  }

  return {
    async of(account) {
      for (const [name, { goodUntilMs }] of cached) if (goodUntilMs <= clockMs()) cached.delete(name)
      const { name, providerUserId: userId } = account
      const known = cached.get(name)
      if (known !== undefined && known.userId === userId) return known.picture
      // The cached picture may belong to the user before the last connect.
      cached.delete(name)
      if (userId === null || !mayAsk(account, deps.store.now())) return null
      const one = begin(account, userId)
      cached.set(name, one)
      const [oldest] = cached.keys()
      if (cached.size > MAX_CACHED && oldest !== undefined) cached.delete(oldest)
      return one.picture
    },
    forget: (name) => void cached.delete(name),
  }
}

/** The provider answers only with a working token. */
function mayAsk({ pausedAt, accessToken, state, expiresAt }: Account, now: Date): boolean {
  return pausedAt === null && accessToken !== null && state === 'active' && (expiresAt === null || expiresAt > now)
}

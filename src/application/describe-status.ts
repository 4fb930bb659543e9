import type { RecordedEvent } from '../domain/account-store.ts'
import type { PageRequest } from '../domain/overview.ts'
import { type AccountView, describePage } from './describe-account.ts'
import type { OwnerDeps } from './owner-deps.ts'

/** A sentence with an instant in it, which the page shows in the reader's own way. */
export interface Sentence {
  readonly before: string
  readonly at: Date | null
  readonly after: string
}

export interface AccountHealth extends AccountView {
  /** The last sixty, the newest in front. */
  readonly attempts: readonly RecordedEvent[]
  /** What happens next and when. */
  readonly next: Sentence
}

export interface StatusPage {
  readonly accounts: readonly AccountHealth[]
  readonly total: number
  readonly providers: readonly ProviderHealth[]
  readonly now: Date
}

export interface ProviderHealth {
  readonly provider: string
  /** Null = it has not been asked yet. */
  readonly lastAnswer: RecordedEvent | null
}

const ATTEMPTS = 60

/** A page of accounts as their owner wants to see them, and how the providers answer. */
export async function describeStatus(deps: OwnerDeps, request: PageRequest): Promise<StatusPage> {
  const { accounts, total } = await describePage(deps, request)
  const names = accounts.map(({ name }) => name)
  const [attempts, providers] = await Promise.all([deps.overview.attempts(names, ATTEMPTS), describeProviders(deps)])
  const now = deps.store.now()
  const health = accounts.map((account) => ({ ...account, attempts: attempts.get(account.name) ?? [], next: whatNext(account, now) }))
  return { accounts: health, total, providers, now }
}

function describeProviders({ providers, overview }: OwnerDeps): Promise<ProviderHealth[]> {
  return Promise.all([...providers.keys()].map(async (provider) => ({ provider, lastAnswer: await overview.lastAnswer(provider) })))
}

function whatNext(account: AccountView, now: Date): Sentence {
  const { condition, expiresAt, nextRefreshAt, failureCount } = account
  const hasExpired = expiresAt !== null && expiresAt <= now
  if (condition === 'paused') return say('Paused: nothing happens until you switch it on again.')
  if (condition === 'empty') return say('It waits for its first token: connect it, or paste one.')
  if (condition === 'needs you') {
    if (account.lastErrorCode === 'unreadable') return say('Web sites get no token until the key that sealed it is back in ENCRYPTION_KEY.')
    if (hasExpired) return say('The token has expired, and web sites get none: connect the account again, or paste a new token.')
    if (account.lastErrorCode === 'misconfigured') return say('Mend what is named above; the agent tries again', nextRefreshAt)
    if (expiresAt === null) return say('Connect the account again, or paste a new token.')
    return say('Connect the account again, or paste a new token: web sites have the present one until it expires', expiresAt)
  }
  if (failureCount > 0) return say('The last refresh failed; the agent tries again', nextRefreshAt, ', and you need not do anything.')
  if (condition === 'checking') return say('The agent asks the provider about the new token', nextRefreshAt)
  return say('The agent refreshes the token', nextRefreshAt, ', and you need not do anything.')
}

function say(before: string, at: Date | null = null, after = ''): Sentence {
  const isWhole = /[.]$/.test(before)
  return { before, at, after: isWhole || after !== '' ? after : '.' }
}

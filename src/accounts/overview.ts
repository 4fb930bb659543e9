import type { Account, AccountState } from '../core/account.ts'
import type { RecordedEvent } from '../core/account-store.ts'

/** All accounts in a few numbers, for what must not read through a hundred thousand of them. */
export interface AccountSummary {
  readonly byState: Readonly<Record<AccountState, number>>
  readonly paused: number
  /** As `needsPerson` says. */
  readonly needPerson: number
  /** Not paused, their refreshes fail, and a tenth of their token's life is left or less. */
  readonly nearEnd: number
  /** Sealed with a key that this process does not have, or found not to open. */
  readonly unreadable: number
  /** Those that need a person, and those at risk, as `isAtRisk` says. */
  readonly needAttention: number
}

export interface PageRequest {
  readonly offset: number
  readonly limit: number
  /** How a name or a user name begins; empty = all. */
  readonly search: string
  /** Only the accounts that need attention. */
  readonly onlyNeedy: boolean
}

export interface AccountPage {
  /** Those that need attention first; then by name. */
  readonly accounts: readonly Account[]
  /** On all pages together. */
  readonly total: number
}

export interface Overview {
  /** Some accounts of many, for a page that a person looks at. */
  page(request: PageRequest): Promise<AccountPage>
  /** The last attempts to refresh each of these accounts, newest first. */
  attempts(names: readonly string[], limit: number): Promise<ReadonlyMap<string, readonly RecordedEvent[]>>
  /** How the last question to this provider ended. */
  lastAnswer(provider: string): Promise<RecordedEvent | null>
  summarize(): Promise<AccountSummary>
  /** Reads no more rows than that. */
  hasMoreThan(accounts: number): Promise<boolean>
  /** The failing ones, the first to expire in front; then the others, the first to be due in front. */
  mostUrgent(limit: number): Promise<Account[]>
  /**
   * By name, after this one: accounts that nobody is at work on, and whose row says otherwise than the key by which their
   * token is named: no key of this process though it is not marked unreadable, or one of its keys though it is.
   */
  keySuspects(after: string, limit: number): Promise<Account[]>
  /** Makes those of them due that are still such; gives how many it were. */
  makeSuspectsDue(names: readonly string[]): Promise<number>
  /** Removes at most so many events older than this; gives how many it were. */
  trimEvents(olderThanDays: number, limit: number): Promise<number>
}

export function totalOf({ byState }: AccountSummary): number {
  return byState.unverified + byState.active + byState.reconnect
}

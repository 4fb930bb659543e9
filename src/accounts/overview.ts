import type { Account, AccountState } from '../core/account.ts'
import type { RecordedEvent } from '../core/account-store.ts'

/** Counts over all accounts, for callers that must not read a hundred thousand rows. */
export interface AccountSummary {
  readonly byState: Readonly<Record<AccountState, number>>
  readonly paused: number
  /** See `needsPerson`. */
  readonly needPerson: number
  /** Not paused, refreshes fail, and at most a tenth of the token's life is left. */
  readonly nearEnd: number
  /** Sealed with a key that this process lacks, or marked unreadable. */
  readonly unreadable: number
  /** Accounts that need a person or are at risk; see `isAtRisk`. */
  readonly needAttention: number
}

export interface PageRequest {
  readonly offset: number
  readonly limit: number
  /** The beginning of a name or user name; empty = all. */
  readonly search: string
  /** Only the accounts that need attention. */
  readonly onlyNeedy: boolean
}

export interface AccountPage {
  /** Accounts that need attention first, then by name. */
  readonly accounts: readonly Account[]
  /** Over all pages. */
  readonly total: number
}

/** Accounts with the same scopes whose pages kept the token at the upgrade. */
export interface KeptInPages {
  readonly provider: string
  readonly scopes: string | null
  readonly accounts: number
  /** Separated by blanks, in order. */
  readonly names: string
}

export interface Overview {
  /** One page of accounts. */
  page(request: PageRequest): Promise<AccountPage>
  /** The last attempts to refresh each of these accounts, newest first. */
  attempts(names: readonly string[], limit: number): Promise<ReadonlyMap<string, readonly RecordedEvent[]>>
  /** The outcome of the last call to this provider. */
  lastAnswer(provider: string): Promise<RecordedEvent | null>
  summarize(): Promise<AccountSummary>
  /** Whether there are more; reads no more rows than that. */
  hasMoreThan(accounts: number): Promise<boolean>
  /** Failing accounts by expiry, then the others by next refresh. */
  mostUrgent(limit: number): Promise<Account[]>
  /**
   * Unleased accounts after this name whose unreadable mark contradicts the key prefix of their token: marked though this
   * process has the key, or unmarked though it lacks the key.
   */
  keySuspects(after: string, limit: number): Promise<Account[]>
  /** Makes these accounts due if they are still suspects. Resolves with their number. */
  makeSuspectsDue(names: readonly string[]): Promise<number>
  /** Empty once the owner has read the note about them. */
  keptInPages(): Promise<KeptInPages[]>
  endPageUseNote(): Promise<void>
  /** Deletes at most `limit` events older than this. Resolves with their number. */
  trimEvents(olderThanDays: number, limit: number): Promise<number>
}

export function totalOf({ byState }: AccountSummary): number {
  return byState.unverified + byState.active + byState.reconnect
}

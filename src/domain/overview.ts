import type { Account, AccountState } from './account.ts'

/** All accounts in a few numbers, for what must not read through a hundred thousand of them. */
export interface AccountSummary {
  readonly byState: Readonly<Record<AccountState, number>>
  readonly paused: number
  /** As `needsPerson` says. */
  readonly needPerson: number
  /** Sealed with a key that this process does not have, or found not to open. */
  readonly unreadable: number
}

export interface Overview {
  summarize(): Promise<AccountSummary>
  /** The failing ones, the first to expire in front; then the others, the first to be due in front. */
  mostUrgent(limit: number): Promise<Account[]>
  /** Removes at most so many events older than this; gives how many it were. */
  trimEvents(olderThanDays: number, limit: number): Promise<number>
}

export function totalOf({ byState }: AccountSummary): number {
  return byState.unverified + byState.active + byState.reconnect
}

import type { Account } from '../core/account.ts'
import type { PlannedRefresh, RefreshPolicy } from './next-refresh.ts'

/** A token that this process alone asks the provider about, until its lease lapses or a refresh takes the account. */
export interface Check {
  readonly account: Account
  readonly leaseOwner: string
  /** The database's clock at the claim. */
  readonly claimedAt: Date
}

export interface CheckRequest {
  readonly leaseOwner: string
  readonly leaseSeconds: number
  readonly provider: string
  readonly limit: number
}

export interface CheckResult {
  readonly nextCheckAt: Date
  /** Set where the provider has answered that the token works. */
  readonly checkedAt?: Date
  /** The provider refuses the token: the refresh, which judges it, is due at once. */
  readonly refused?: boolean
}

export interface Planned extends PlannedRefresh {
  readonly name: string
  readonly provider: string
}

/** A moment so many seconds after the database's clock. */
export interface Moment {
  readonly name: string
  readonly inSeconds: number
}

/** When each account is next looked at and refreshed, as far as it is not the end of a refresh that sets it. */
export interface Timetable {
  now(): Date
  /** Gives each token whose daily look is due to one caller. One that is never settled is due again an hour later. */
  claimChecks(request: CheckRequest): Promise<Check[]>
  /** False where a refresh, or another token, has come between: nothing is changed then. */
  settleCheck(check: Check, result: CheckResult): Promise<boolean>
  /** Names of accounts that have no look planned, in order, after `after`. */
  unplanned(after: string, limit: number): Promise<string[]>
  planChecks(moments: readonly Moment[]): Promise<void>
  /** Healthy accounts whose next refresh is not where this policy would have planned it, in order of their names. */
  misplanned(policy: RefreshPolicy, after: string, limit: number): Promise<Planned[]>
  planRefreshes(moments: readonly Moment[]): Promise<void>
}

import type { Account } from '../core/account.ts'
import type { PlannedRefresh, RefreshPolicy } from './next-refresh.ts'

/** A token that only this process tests, until its lease lapses or a refresh takes the account. */
export interface Check {
  readonly account: Account
  readonly leaseOwner: string
  /** By the database's clock. */
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
  /** Set where the token works. */
  readonly checkedAt?: Date
  /** True makes the refresh due at once. */
  readonly refused?: boolean
}

export interface Planned extends PlannedRefresh {
  readonly name: string
  readonly provider: string
  /** The database's clock when it was read. */
  readonly readAt: Date
}

/** An instant for an account, in seconds from the database's clock. */
export interface Moment {
  readonly name: string
  readonly inSeconds: number
}

/** Plans the next look and refresh of accounts outside of a refresh. */
export interface Timetable {
  /** Gives each token whose daily look is due to one caller. An unsettled look is due again an hour later. */
  claimChecks(request: CheckRequest): Promise<Check[]>
  /** False, and no change, where a refresh or another token came between. */
  settleCheck(check: Check, result: CheckResult): Promise<boolean>
  /** Names of accounts without a planned look, in order, after `after`. */
  unplanned(after: string, limit: number): Promise<string[]>
  planChecks(moments: readonly Moment[]): Promise<void>
  /** Healthy accounts whose next refresh does not match the policy, in order of their names. */
  misplanned(policy: RefreshPolicy, after: string, limit: number): Promise<Planned[]>
  planRefreshes(moments: readonly Moment[]): Promise<void>
}

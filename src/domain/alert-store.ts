import type { Account } from './account.ts'
import type { AccountEvent } from './account-store.ts'
import type { Told } from './alert.ts'

/** An account that may give reason for an alert, and that this process alone looks at until its lease lapses. */
export interface AlertClaim {
  readonly account: Account
  readonly told: Told
  /** The database's clock at the claim. */
  readonly claimedAt: Date
}

export interface AlertStore {
  /** Longest due first. One that is never settled is given out again when the lease has lapsed. */
  claimAlerts(limit: number, leaseSeconds: number): Promise<AlertClaim[]>
  /** Ends a claim: what the operator has been told by now, and the event where it was told just now. */
  settleAlert(claim: AlertClaim, told: readonly string[], event: AccountEvent | null): Promise<void>
}

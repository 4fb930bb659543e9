import type { Account } from '../core/account.ts'
import type { AccountEvent } from '../core/account-store.ts'

export type AlertKind =
  | 'provider_trouble'
  | 'person_needed'
  | 'unreadable'
  | 'tenth_of_life_left'
  | 'week_left'
  | 'quarter_of_life_left'
  | 'approval_ends_in_a_week'
  | 'approval_ends_in_a_month'
  | 'failing_for_a_day'
  | 'page_use_ended'
  | 'feed_stale'
  | 'grant_waits'
  | 'recovered'
  | 'password_guessed_at'
  | 'test'

export interface Alert {
  readonly event: AlertKind
  /** Both null where the alert concerns no account. */
  readonly account: string | null
  /** The account's. */
  readonly provider?: string
  readonly state: Account['state'] | null
  /** One sentence or two for the operator, without secrets. */
  readonly message: string
}

/** The conditions alerted since the account last worked, and the time of the last alert. */
export interface Alerted {
  readonly conditions: readonly string[]
  readonly at: Date | null
}

/** `good`: the last fetch brought posts. `failing`: none has for six hours. `idle`: the feed is not fetched, or there is none. */
export type FeedState = { readonly is: 'good' } | { readonly is: 'idle' } | { readonly is: 'failing'; readonly why: string }

/** An account that may need an alert. Only this process looks at it until the lease lapses. */
export interface AlertClaim {
  readonly account: Account
  readonly feed: FeedState
  readonly alerted: Alerted
  /** Of the channels that have had less than `alerted`: what they have had. */
  readonly behind: ReadonlyMap<string, Alerted>
  /** By the database's clock. */
  readonly claimedAt: Date
}

/** How a claim ends. */
export interface Settlement {
  readonly alerted: readonly string[]
  /** Null where no alert was sent now. */
  readonly event: AccountEvent | null
  /** The channels that did not take the alert: what they had before, and when to try them again. */
  readonly behind: ReadonlyMap<string, { readonly had: Alerted; readonly retrySeconds: number }>
}

export interface AlertStore {
  /** Makes due what one of the `open` channels still lacks; `kinds` are all that are configured. */
  requeue(kinds: readonly string[], open: readonly string[], limit: number): Promise<void>
  /** The longest due first. A claim that is never settled is given out again once its lease has lapsed. */
  claimAlerts(limit: number, leaseSeconds: number): Promise<AlertClaim[]>
  settleAlert(claim: AlertClaim, settlement: Settlement): Promise<void>
}

/** Sends one alert. Throws unless the receiver confirms it. */
export type SendAlert = (alert: Alert) => Promise<void>

export const NOTHING_ALERTED: Alerted = { conditions: [], at: null }

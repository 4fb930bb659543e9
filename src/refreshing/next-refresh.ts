import type { Account } from '../core/account.ts'
import type { Renewal } from '../core/provider.ts'

export type RefreshFrequency = 'daily' | 'weekly' | 'monthly'
export type RefreshMode = 'cron' | 'scheduled'

export interface RefreshPolicy {
  readonly mode: RefreshMode
  readonly frequency: RefreshFrequency
  /** 0 to 1, different at each call: spreads the calls of many installations and accounts. */
  readonly random: () => number
}

/** The input of the decision; instants by the database's clock. */
export interface RefreshHistory {
  readonly issuedAt: Date | null
  readonly expiresAt: Date | null
  /** True where the provider refuses the token for good; it is tried once a day. */
  readonly refused: boolean
  /** Failures since the last success. */
  readonly failureCount: number
  readonly retryAfterSeconds: number | null
  readonly minimumAgeSeconds: number
}

/** The end by which a refresh must succeed: of the refresh token where that is what the provider renews. */
export function renewalEnd(
  renewal: Renewal,
  { expiresAt, refreshExpiresAt }: Pick<Account, 'expiresAt' | 'refreshExpiresAt'>,
): Date | null {
  return renewal === 'checked' ? refreshExpiresAt : expiresAt
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
export const PERIOD_MS: Record<RefreshFrequency, number> = { daily: DAY_MS, weekly: 7 * DAY_MS, monthly: 30 * DAY_MS }
const SPREAD_MS = 10 * MINUTE_MS
const MAX_BACKOFF_MS = 6 * HOUR_MS

/**
 * The next refresh after an attempt that ended at `now`.
 *
 * After a success: one period later (mode `cron`), but at the latest with a quarter of the token's life left, because a
 * month alone would leave no room for a retry; mode `scheduled` uses only that margin. After a failure: exponential
 * backoff with jitter, 1 minute to 6 hours or an eighth of the life, or as long as the provider asked.
 */
export function nextRefreshAt(history: RefreshHistory, policy: RefreshPolicy, now: Date): Date {
  const at = now.getTime()
  if (history.refused) return new Date(at + DAY_MS + policy.random() * SPREAD_MS)
  if (history.failureCount > 0) return new Date(at + backoffMs(history, policy.random()))

  const period = policy.mode === 'cron' ? PERIOD_MS[policy.frequency] : Number.POSITIVE_INFINITY
  const { issuedAt, expiresAt } = history
  if (issuedAt === null || expiresAt === null) return new Date(at + Math.min(period, DAY_MS) + policy.random() * SPREAD_MS)
  const issued = issuedAt.getTime()
  const life = expiresAt.getTime() - issued
  const quarterLeft = expiresAt.getTime() - life / 4
  // The spread is subtracted, so that a full quarter of the life remains for retries.
  const spread = policy.random() * Math.min(SPREAD_MS, life / 100)
  const wanted = Math.min(at + period, quarterLeft) - spread
  // A provider may refuse a token younger than 24 h. A token that lives less than 32 h is still refreshed in time.
  const earliest = issued + history.minimumAgeSeconds * 1000 + spread
  return new Date(Math.min(Math.max(wanted, earliest), quarterLeft))
}

// A little more than a day after the last success, so that a daily refresh comes first and no look is due.
const CHECK_MS = DAY_MS + SPREAD_MS

/** The next daily look, after a success at `now`. */
export function nextCheckAt(now: Date, random: () => number): Date {
  return new Date(now.getTime() + CHECK_MS + random() * SPREAD_MS)
}

export interface PlannedRefresh {
  readonly issuedAt: Date
  readonly expiresAt: Date
  readonly nextRefreshAt: Date
}

/**
 * The next refresh of a healthy token after a change of the policy. Refreshes that are overdue by the new policy are
 * spread over a day, so that many accounts cause no storm. A refresh is never postponed, however often the agent starts.
 */
export function replannedRefreshAt(planned: PlannedRefresh, minimumAgeSeconds: number, policy: RefreshPolicy, now: Date): Date {
  const { issuedAt, expiresAt, nextRefreshAt: before } = planned
  const history = { issuedAt, expiresAt, refused: false, failureCount: 0, retryAfterSeconds: null, minimumAgeSeconds }
  const wanted = nextRefreshAt(history, policy, issuedAt)
  if (wanted > now) return wanted
  return new Date(Math.min(before.getTime(), now.getTime() + policy.random() * DAY_MS))
}

/** A number from 0 to 1, always the same for a name, evenly spread over names. */
export function fractionOf(name: string): number {
  // FNV-1a with a final mix, so that names that differ only in the last digit are far apart.
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

function backoffMs({ issuedAt, expiresAt, failureCount, retryAfterSeconds }: RefreshHistory, random: number): number {
  const lifeMs = issuedAt === null || expiresAt === null ? Number.POSITIVE_INFINITY : expiresAt.getTime() - issuedAt.getTime()
  // A minute's wait with its random half.
  const limit = Math.max(2 * MINUTE_MS, Math.min(MAX_BACKOFF_MS, lifeMs / 8))
  const longest = Math.min(limit, MINUTE_MS * 2 ** Math.min(failureCount, 20))
  // Half of the wait is random, so that instances that failed together do not retry together.
  const jittered = longest * (0.5 + random / 2)
  const retryAfterMs = Math.min((retryAfterSeconds ?? 0) * 1000, DAY_MS)
  return Math.max(jittered, retryAfterMs > 0 ? retryAfterMs + random * MINUTE_MS : 0)
}

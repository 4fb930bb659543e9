export type RefreshFrequency = 'daily' | 'weekly' | 'monthly'
export type RefreshMode = 'cron' | 'scheduled'

export interface RefreshPolicy {
  readonly mode: RefreshMode
  readonly frequency: RefreshFrequency
  /** 0 to 1, other for each installation and attempt: keeps them from all knocking at the same moment. */
  readonly random: () => number
}

/** What the decision depends on; instants by the database's clock. */
export interface RefreshHistory {
  readonly issuedAt: Date | null
  readonly expiresAt: Date | null
  /** Refused by the provider for good: probed once a day. */
  readonly refused: boolean
  /** Failures since the last success. */
  readonly failureCount: number
  readonly retryAfterSeconds: number | null
  readonly minimumAgeSeconds: number
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
export const PERIOD_MS: Record<RefreshFrequency, number> = { daily: DAY_MS, weekly: 7 * DAY_MS, monthly: 30 * DAY_MS }
const SPREAD_MS = 10 * MINUTE_MS
const MAX_BACKOFF_MS = 6 * HOUR_MS

/**
 * When to refresh next, after an attempt that ended at `now`.
 *
 * After a success: one period on (mode `cron`) or only the safety margin (mode `scheduled`), but never later than the
 * moment when a quarter of the token's life remains: monthly alone would leave no room for a retry. After a failure:
 * exponential backoff with jitter, 1 minute to 6 hours, or as long as the provider asked.
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
  // The spread is taken off, not added: whatever it does, the quarter of a life for retries stays.
  const spread = policy.random() * Math.min(SPREAD_MS, life / 100)
  const wanted = Math.min(at + period, quarterLeft) - spread
  // A provider may refuse a token younger than 24 h; one that lives less than 32 h is refreshed in time all the same.
  const earliest = issued + history.minimumAgeSeconds * 1000 + spread
  return new Date(Math.min(Math.max(wanted, earliest), quarterLeft))
}

// A little more than a day after the last good answer: with a daily refresh the refresh comes first, and no look is due.
const CHECK_MS = DAY_MS + SPREAD_MS

/** When the provider is next asked whether the token still works, after it has answered well at `now`. */
export function nextCheckAt(now: Date, random: () => number): Date {
  return new Date(now.getTime() + CHECK_MS + random() * SPREAD_MS)
}

export interface PlannedRefresh {
  readonly issuedAt: Date
  readonly expiresAt: Date
  readonly nextRefreshAt: Date
}

/**
 * When a healthy token is refreshed under a policy that was changed since it was planned. What is overdue by the new policy
 * is spread over a day, so that very many accounts are no storm; it is never put off, however often the agent starts.
 */
export function replannedRefreshAt(planned: PlannedRefresh, minimumAgeSeconds: number, policy: RefreshPolicy, now: Date): Date {
  const { issuedAt, expiresAt, nextRefreshAt: before } = planned
  const history = { issuedAt, expiresAt, refused: false, failureCount: 0, retryAfterSeconds: null, minimumAgeSeconds }
  const wanted = nextRefreshAt(history, policy, issuedAt)
  if (wanted > now) return wanted
  return new Date(Math.min(before.getTime(), now.getTime() + policy.random() * DAY_MS))
}

/** A number from 0 to 1 that is always the same for a name, and spreads names evenly. */
export function fractionOf(name: string): number {
  // FNV-1a, and a last mix: names that differ in their last digit alone must lie apart.
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

function backoffMs({ failureCount, retryAfterSeconds }: RefreshHistory, random: number): number {
  const longest = Math.min(MAX_BACKOFF_MS, MINUTE_MS * 2 ** Math.min(failureCount, 20))
  // Half of the wait is left to chance, so that instances that failed together do not return together.
  const jittered = longest * (0.5 + random / 2)
  const told = Math.min((retryAfterSeconds ?? 0) * 1000, DAY_MS)
  return Math.max(jittered, told > 0 ? told + random * MINUTE_MS : 0)
}

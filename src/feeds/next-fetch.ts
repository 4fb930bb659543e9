/** The input of the decision; instants by the database's clock. */
export interface FetchHistory {
  readonly now: Date
  readonly readAt: Date
  /** The used part of the provider's rate limit, in percent. */
  readonly usagePercent: number
  /** Pictures are missing that another try may bring. */
  readonly isIncomplete: boolean
}

export interface FetchPolicy {
  /** FEED_INTERVAL. */
  readonly intervalMs: number
  /** 0 to 1, different at each call: spreads the calls of many feeds. */
  readonly random: () => number
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** Within the six hours after which a feed may be stale. */
const SLOW_MS = 5.4 * HOUR_MS
const LONGEST_MS = 6 * HOUR_MS
const INCOMPLETE_MS = 2 * MINUTE_MS
/** An empty answer is believed when it comes again. */
export const CONFIRMATION_MS = 10 * MINUTE_MS

/** How long after a good answer a feed is stale: where the agent has asked in vain. */
export const staleAfterMs = (intervalMs: number): number => Math.max(LONGEST_MS, 1.2 * intervalMs)

/** The next fetch after a good answer. One that was not read for a week waits for a reader, whatever this says. */
export function nextFetchAt({ now, readAt, usagePercent, isIncomplete }: FetchHistory, { intervalMs, random }: FetchPolicy): Date {
  const isReadDaily = now.getTime() - readAt.getTime() <= DAY_MS
  const wanted = isReadDaily ? intervalMs : Math.max(intervalMs, SLOW_MS)
  const usual =
    usagePercent >= 80 ? Math.max(wanted, SLOW_MS) : usagePercent >= 50 ? Math.max(wanted, Math.min(2 * wanted, SLOW_MS)) : wanted
  const next = isIncomplete && usagePercent < 50 ? Math.min(INCOMPLETE_MS, usual) : usual
  return new Date(now.getTime() + next * (0.9 + random() / 5))
}

/** The next fetch after a failure: from a minute to six hours, or as long as the provider asks. `failures`: before this one. */
export function nextTryAt(now: Date, failures: number, retryAfterSeconds: number | null, { random }: FetchPolicy): Date {
  const longest = Math.min(LONGEST_MS, MINUTE_MS * 2 ** Math.min(failures + 1, 20))
  // Half of the wait is random, so that instances that failed together do not retry together.
  const wait = Math.max(MINUTE_MS, longest * (0.5 + random() / 2))
  return new Date(now.getTime() + Math.max(wait, Math.min((retryAfterSeconds ?? 0) * 1000, DAY_MS)))
}

import type { Param, Queryable } from './database.ts'

export interface Clocked {
  /** The database's clock at the statement. */
  readonly clock: Date | string
}

/** The database's clock, extrapolated from its last answer by a monotonic clock. */
export interface DatabaseClock {
  /** Runs a query and sets the clock from its first row. */
  ask<Row extends Clocked>(on: Queryable, sql: string, params: readonly Param[]): Promise<Row[]>
  /** Milliseconds since 1970; this machine's clock before the first answer. */
  nowMs(): number
  /** False where an age could be wrong: no answer for five minutes, or a clock has jumped since. */
  isSure(): boolean
}

const SURE_FOR_MS = 5 * 60_000
/** A larger difference between two clocks means that one has jumped. */
const JUMP_MS = 2_000
/** An answer after a longer wait is too inexact. */
const MAX_WAIT_MS = 2_000
/** After a jump back, values dated before it look too young for this long. */
const CACHED_LIFE_MS = 60_000

export function createDatabaseClock(monotonicMs = (): number => performance.now(), wallMs = Date.now): DatabaseClock {
  let offsetMs: number | null = null
  let sureUntilMs = Number.NEGATIVE_INFINITY
  let sureFromMs = Number.NEGATIVE_INFINITY
  let wallLeadMs = 0

  function setFrom(clock: Date | string, askedMs: number): void {
    const answeredMs = monotonicMs()
    const waitedMs = answeredMs - askedMs
    const isInexact = waitedMs > MAX_WAIT_MS
    // The process may have been stopped during the query, so half the wait is no estimate.
    if (isInexact && offsetMs !== null && answeredMs <= sureUntilMs) return
    const next = new Date(clock).getTime() - askedMs - waitedMs / 2
    const backMs = offsetMs === null ? 0 : offsetMs - next - waitedMs / 2
    // A failover to a machine whose clock is behind.
    if (backMs > JUMP_MS) sureFromMs = Math.max(sureFromMs, answeredMs + backMs + CACHED_LIFE_MS)
    offsetMs = next
    sureUntilMs = isInexact ? Number.NEGATIVE_INFINITY : answeredMs + SURE_FOR_MS
    wallLeadMs = wallMs() - answeredMs
  }

  return {
    async ask(on, sql, params) {
      const askedMs = monotonicMs()
      const rows = await on.query<Clocked>(sql, params)
      if (rows[0]) setFrom(rows[0].clock, askedMs)
      // The driver does not type its rows; the caller knows the columns.
      return rows as never[]
    },
    nowMs: () => (offsetMs === null ? wallMs() : monotonicMs() + offsetMs),
    isSure() {
      const nowMs = monotonicMs()
      // The machine was suspended or its clock was set: only the database tells which of the two clocks is right.
      return nowMs >= sureFromMs && nowMs <= sureUntilMs && Math.abs(wallMs() - nowMs - wallLeadMs) <= JUMP_MS
    },
  }
}

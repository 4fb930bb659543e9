import type { Param, Queryable } from './database.ts'

export interface Clocked {
  /** The database's own clock, read within the statement. */
  readonly clock: Date | string
}

/** The database's clock as of its last answer, carried on by a clock that only goes forward. */
export interface DatabaseClock {
  /** Learns from the first row. */
  ask<Row extends Clocked>(on: Queryable, sql: string, params: readonly Param[]): Promise<Row[]>
  /** This machine's clock before there was an answer. */
  nowMs(): number
  /** False where an age could be misjudged: no answer for minutes, or a clock has jumped since the last one. */
  isSure(): boolean
}

const SURE_FOR_MS = 5 * 60_000
/** What two clocks may be apart before one of them has jumped. */
const JUMP_MS = 2_000
/** A clock that was read somewhere within a longer wait tells too little. */
const VAGUE_MS = 2_000
/** What was dated by the clock before a jump back looks young until then. */
const LIFE_OF_DATED_MS = 60_000

export function createDatabaseClock(monotonicMs = (): number => performance.now(), wallMs = Date.now): DatabaseClock {
  let offsetMs: number | null = null
  let sureUntilMs = Number.NEGATIVE_INFINITY
  let sureFromMs = Number.NEGATIVE_INFINITY
  let wallLeadMs = 0

  function hear(told: Date | string, askedMs: number): void {
    const answeredMs = monotonicMs()
    const waitedMs = answeredMs - askedMs
    const isVague = waitedMs > VAGUE_MS
    // A process that was stopped in mid-question must not date the answer by its middle.
    if (isVague && offsetMs !== null && answeredMs <= sureUntilMs) return
    const next = new Date(told).getTime() - askedMs - waitedMs / 2
    const backMs = offsetMs === null ? 0 : offsetMs - next - waitedMs / 2
    // The database failed over to a machine whose clock is behind.
    if (backMs > JUMP_MS) sureFromMs = Math.max(sureFromMs, answeredMs + backMs + LIFE_OF_DATED_MS)
    offsetMs = next
    sureUntilMs = isVague ? Number.NEGATIVE_INFINITY : answeredMs + SURE_FOR_MS
    wallLeadMs = wallMs() - answeredMs
  }

  return {
    async ask(on, sql, params) {
      const askedMs = monotonicMs()
      const rows = await on.query<Clocked>(sql, params)
      if (rows[0]) hear(rows[0].clock, askedMs)
      // The engine types no rows; the caller knows the columns that it asked for.
      return rows as never[]
    },
    nowMs: () => (offsetMs === null ? wallMs() : monotonicMs() + offsetMs),
    isSure() {
      const nowMs = monotonicMs()
      // A machine that was suspended, or whose clock was set: which of its two clocks is right, only the database tells.
      return nowMs >= sureFromMs && nowMs <= sureUntilMs && Math.abs(wallMs() - nowMs - wallLeadMs) <= JUMP_MS
    },
  }
}

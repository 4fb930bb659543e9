import { type SignInAttempts, TURN_MS, type WrongOfDay, type WrongPasswords } from '../sign-in/session-store.ts'
import type { Database } from './database.ts'
import { insertEvent } from './event-row.ts'

/** A statement never waits this long for its row. A later `blocked_until` comes from a clock that was set back since. */
const CLOCK_SET_BACK_SECONDS = 5
/** Longer than a ticket is valid. */
const TICKET_RETENTION_SECONDS = 60
const DEVICE_TRIES = 5
const DEVICE_PAUSE_SECONDS = 3600
const DAY_SECONDS = 24 * 3600

// The release before uses other sources, `everybody` and `device …`, and counts its own guesses.
const TURN = "'turn'"
const WRONG = "'wrong passwords'"
const WRONG_ALERTED = "'wrong passwords told'"
const INSERT = 'insert into sign_in_attempts (source, failures, last_at, blocked_until)'

export function createSignInAttempts(db: Database): SignInAttempts {
  const { now, nowPlus } = db.dialect
  const isPaused = `sign_in_attempts.last_at < ${nowPlus(`-${DEVICE_PAUSE_SECONDS}`)}`
  return {
    async takeTurn() {
      const taken = await db.query(
        `${INSERT} values (${TURN}, 0, ${now}, ${nowPlus(`${TURN_MS / 1000}`)})
        on conflict (source) do update set last_at = excluded.last_at, blocked_until = excluded.blocked_until
        where sign_in_attempts.blocked_until <= ${now} or sign_in_attempts.blocked_until > ${nowPlus(`${CLOCK_SET_BACK_SECONDS}`)}
        returning source`,
      )
      if (taken.length > 0) return { taken: true }
      const [row] = await db.query<{ blocked_until: Date | string; clock: Date | string }>(
        `select blocked_until, ${now} as clock from sign_in_attempts where source = ${TURN}`,
      )
      const opensInMs = row === undefined ? 0 : new Date(row.blocked_until).getTime() - new Date(row.clock).getTime()
      return { taken: false, opensInMs: Math.max(0, opensInMs) }
    },

    async spend(ticket) {
      await db.query(`delete from sign_in_attempts where source like 'ticket %' and last_at < ${nowPlus(`-${TICKET_RETENTION_SECONDS}`)}`)
      const spent = await db.query(`${INSERT} values ($1, 1, ${now}, ${now}) on conflict (source) do nothing returning source`, [
        `ticket ${ticket}`,
      ])
      return spent.length > 0
    },

    async takeDeviceTry(device, knownSince) {
      const tried = await db.query(
        `${INSERT} select $1, 1, ${now}, ${now} where not exists (select 1 from installation where signed_out_at >= $2)
        on conflict (source) do update set last_at = ${now}, failures = case when ${isPaused} then 1 else sign_in_attempts.failures + 1 end
        where sign_in_attempts.failures < ${DEVICE_TRIES} or ${isPaused} returning source`,
        [`known ${device}`, knownSince],
      )
      return tried.length > 0
    },

    async forgive(device) {
      await db.query(`delete from sign_in_attempts where source = $1 or last_at < ${nowPlus(`-${DAY_SECONDS}`)}`, [`known ${device}`])
    },
  }
}

interface WrongRow {
  readonly failures: number
  readonly ends_at: Date | string
}

export function createWrongPasswords(db: Database): WrongPasswords {
  const { now, nowPlus } = db.dialect
  const isOver = `sign_in_attempts.blocked_until <= ${now}`
  const today = `from sign_in_attempts where source = ${WRONG} and blocked_until > ${now}`
  async function ofDay(): Promise<WrongOfDay | null> {
    const [row] = await db.query<WrongRow>(`select failures, blocked_until as ends_at ${today}`)
    return row === undefined ? null : { count: row.failures, since: new Date(new Date(row.ends_at).getTime() - DAY_SECONDS * 1000) }
  }
  return {
    ofDay,
    async add() {
      const [row] = await db.query<{ failures: number }>(
        `${INSERT} values (${WRONG}, 1, ${now}, ${nowPlus(`${DAY_SECONDS}`)})
        on conflict (source) do update set last_at = excluded.last_at,
          failures = case when ${isOver} then 1 else sign_in_attempts.failures + 1 end,
          blocked_until = case when ${isOver} then excluded.blocked_until else sign_in_attempts.blocked_until end
        returning failures`,
      )
      return row?.failures ?? 0
    },
    async claimAlert(limit, leaseSeconds) {
      const claimed = await db.query(
        `${INSERT} select ${WRONG_ALERTED}, 0, ${now}, ${nowPlus('$2')} ${today} and failures >= $1
        on conflict (source) do update set last_at = excluded.last_at, blocked_until = excluded.blocked_until
        where ${isOver} returning source`,
        [limit, leaseSeconds],
      )
      return claimed.length === 0 ? null : ofDay()
    },
    settleAlert: (detail) =>
      db.transaction(async (tx) => {
        await tx.query(
          `update sign_in_attempts set blocked_until = (select blocked_until from sign_in_attempts where source = ${WRONG})
          where source = ${WRONG_ALERTED}`,
        )
        await insertEvent(tx, db.dialect, { account: null, kind: 'alert_sent', actor: 'timer', outcome: 'ok', detail }, Date.now())
      }),
  }
}

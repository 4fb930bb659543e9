import type { OAuthState, OAuthStateStore, SessionStore, SignInAttempts } from '../domain/session-store.ts'
import type { Database } from './database.ts'

const IDLE_SECONDS = 30 * 60
const MAX_AGE_SECONDS = 12 * 3600
const STATE_AGE_SECONDS = 10 * 60

export function createSessionStore(db: Database): SessionStore {
  const { now, nowPlus } = db.dialect
  const alive = `last_seen_at > ${nowPlus('$1')} and created_at > ${nowPlus('$2')}`
  return {
    async create(id, credential) {
      await db.query(`delete from sessions where not (${alive})`, [-IDLE_SECONDS, -MAX_AGE_SECONDS])
      await db.query(`insert into sessions (id, credential, created_at, last_seen_at) values ($1, $2, ${now}, ${now})`, [id, credential])
    },
    async touch(id) {
      const rows = await db.query<{ credential: string }>(
        `update sessions set last_seen_at = ${now} where ${alive} and id = $3 returning credential`,
        [-IDLE_SECONDS, -MAX_AGE_SECONDS, id],
      )
      return rows[0]?.credential ?? null
    },
    async peek(id) {
      const rows = await db.query<{ credential: string }>(`select credential from sessions where ${alive} and id = $3`, [
        -IDLE_SECONDS,
        -MAX_AGE_SECONDS,
        id,
      ])
      return rows[0]?.credential ?? null
    },
    async end(id) {
      await db.query('delete from sessions where id = $1', [id])
    },
    async endAll() {
      await db.query('delete from sessions')
    },
  }
}

interface StateRow {
  readonly session_id: string
  readonly provider: string
  readonly account: string
  readonly sealed: string
  readonly too_old: boolean | number
}

export function createOAuthStateStore(db: Database): OAuthStateStore {
  const { now, nowPlus } = db.dialect
  return {
    async keep(id, { sessionId, provider, account, sealed }) {
      // Those that never came back are kept for a day, so that a late one is told from a forged one.
      await db.query(`delete from oauth_states where created_at < ${nowPlus('$1')}`, [-24 * 3600])
      await db.query(
        `insert into oauth_states (id, session_id, provider, account, sealed, created_at) values ($1, $2, $3, $4, $5, ${now})`,
        [id, sessionId, provider, account, sealed],
      )
    },
    async take(id) {
      // Deleting is taking: of two that come with the same one, the second finds none.
      const rows = await db.query<StateRow>(
        `delete from oauth_states where id = $2
        returning session_id, provider, account, sealed, created_at <= ${nowPlus('$1')} as too_old`,
        [-STATE_AGE_SECONDS, id],
      )
      return rows[0] === undefined ? null : toState(rows[0])
    },
  }
}

function toState({ session_id, provider, account, sealed, too_old }: StateRow): OAuthState & { tooOld: boolean } {
  return { sessionId: session_id, provider, account, sealed, tooOld: Boolean(too_old) }
}

const FORGOTTEN_AFTER_SECONDS = 3600
export function createSignInAttempts(db: Database): SignInAttempts {
  const { now, nowPlus } = db.dialect
  const failures = `(case when sign_in_attempts.last_at < ${nowPlus('$2')} then 0 else sign_in_attempts.failures end)`
  // Five tries cost nothing; then 1, 2, 4 … seconds, a minute at most: for an owner who waits, it always ends. Not 0 but
  // in the past: of two that come at once, the one that waited for the row has the earlier clock.
  const wait = `(case when ${failures} < 5 then -60 when ${failures} > 10 then 60 else 1 << (${failures} - 5) end)`
  return {
    async begin(source) {
      // Counted in one statement and before the password is looked at: a thousand at once are not one each.
      const counted = await db.query(
        `insert into sign_in_attempts (source, failures, last_at, blocked_until) values ($1, 1, ${now}, ${nowPlus('-60')})
        on conflict (source) do update set last_at = ${now}, failures = ${failures} + 1, blocked_until = ${nowPlus(wait)}
        where sign_in_attempts.blocked_until <= ${now} returning source`,
        [source, -FORGOTTEN_AFTER_SECONDS],
      )
      if (counted.length > 0) return { allowed: true }
      const rows = await db.query<{ blocked_until: Date | string; clock: Date | string }>(
        `select blocked_until, ${now} as clock from sign_in_attempts where source = $1`,
        [source],
      )
      const [row] = rows
      if (row === undefined) return { allowed: false, waitSeconds: 1 }
      const waitMs = new Date(row.blocked_until).getTime() - new Date(row.clock).getTime()
      return { allowed: false, waitSeconds: Math.max(1, Math.ceil(waitMs / 1000)) }
    },
    async succeed(source) {
      await db.query(`delete from sign_in_attempts where source = $1 or last_at < ${nowPlus('$2')}`, [source, -24 * 3600])
    },
  }
}

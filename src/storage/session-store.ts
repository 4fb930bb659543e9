import type { SessionStore } from '../sign-in/session-store.ts'
import type { Database } from './database.ts'

const IDLE_SECONDS = 30 * 60
const MAX_AGE_SECONDS = 12 * 3600
const LIST_TTL_MS = 1000

export function createSessionStore(db: Database): SessionStore {
  const { now, nowPlus } = db.dialect
  const alive = `last_seen_at > ${nowPlus('$1')} and created_at > ${nowPlus('$2')}`
  let listedAtMs = Number.NEGATIVE_INFINITY
  let listed: Promise<{ readonly id: string }[]> = Promise.resolve([])
  return {
    async create(id, credential) {
      await db.query(`delete from sessions where not (${alive})`, [-IDLE_SECONDS, -MAX_AGE_SECONDS])
      const [row] = await db.query<{ created_at: Date | string }>(
        `insert into sessions (id, credential, created_at, last_seen_at) values ($1, $2, ${now}, ${now}) returning created_at`,
        [id, credential],
      )
      return new Date(row?.created_at ?? 0)
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
    async isListed(id) {
      const nowMs = performance.now()
      if (nowMs - listedAtMs > LIST_TTL_MS) {
        listedAtMs = nowMs
        listed = db.query<{ id: string }>(`select id from sessions where ${alive}`, [-IDLE_SECONDS, -MAX_AGE_SECONDS])
      }
      return (await listed).some((row) => row.id === id)
    },
    async end(id) {
      await db.query('delete from sessions where id = $1', [id])
    },
    async endAll() {
      await db.query('delete from sessions')
    },
  }
}

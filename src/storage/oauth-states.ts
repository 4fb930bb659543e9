import type { KeptState, OAuthStateStore } from '../accounts/oauth-states.ts'
import type { Challenge } from '../core/provider.ts'
import type { Database } from './database.ts'

const VALID_SECONDS = 10 * 60
const USED_RETENTION_SECONDS = 10 * 60
const RETENTION_SECONDS = 3600

interface StateRow {
  readonly id: string
  readonly session_id: string
  readonly provider: string
  readonly account: string
  readonly sealed: string
  readonly too_old: boolean | number
  readonly used_seconds_ago: number | string | null
}

export function createOAuthStateStore(db: Database): OAuthStateStore {
  const { now, nowPlus, toSeconds } = db.dialect
  const columns = `id, session_id, provider, account, sealed, created_at <= ${nowPlus('$1')} as too_old,
    ${toSeconds(now)} - ${toSeconds('used_at')} as used_seconds_ago`

  async function select(condition: string, ...params: string[]): Promise<KeptState[]> {
    const rows = await db.query<StateRow>(`select ${columns} from oauth_states where ${condition}`, [-VALID_SECONDS, ...params])
    return rows.map(toState)
  }

  return {
    async keep(id, { sessionId, provider, account, sealed }) {
      await db.query(
        `insert into oauth_states (id, session_id, provider, account, sealed, created_at) values ($1, $2, $3, $4, $5, ${now})`,
        [id, sessionId, provider, account, sealed],
      )
    },
    find: async (id) => (await select('id = $2', id))[0] ?? null,
    async use(id) {
      const sql = `update oauth_states set used_at = ${now}, sealed = '' where id = $1 and used_at is null returning id`
      return (await db.query(sql, [id])).length > 0
    },
    async advance(id, { provider, sealed }) {
      const again = sealed === '' ? '' : `, created_at = ${now}, used_at = null`
      await db.query(`update oauth_states set provider = $2, sealed = $3${again} where id = $1`, [id, provider, sealed])
    },
    async forget(id) {
      await db.query('delete from oauth_states where id = $1', [id])
    },
    waiting: (...steps) => select(`provider in (${steps.map((_, at) => `$${at + 2}`).join(', ')}) and sealed <> ''`, ...steps),
    async challenge() {
      const [row] = await db.query<{ pkce_challenge: Challenge | null }>('select pkce_challenge from installation where id = 1')
      return row?.pkce_challenge ?? null
    },
    async preferChallenge(challenge) {
      await db.query('update installation set pkce_challenge = $1 where id = 1', [challenge])
    },
    async clear() {
      await db.query(`delete from oauth_states where created_at < ${nowPlus('$1')} or used_at < ${nowPlus('$2')}`, [
        -RETENTION_SECONDS,
        -USED_RETENTION_SECONDS,
      ])
    },
  }
}

function toState({ session_id, too_old, used_seconds_ago, ...row }: StateRow): KeptState {
  return {
    ...row,
    sessionId: session_id,
    tooOld: Boolean(too_old),
    usedSecondsAgo: used_seconds_ago === null ? null : Number(used_seconds_ago),
  }
}

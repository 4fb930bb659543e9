import type { Arrival, ConnectLink, LinkState, LinkStore } from '../accounts/links.ts'
import type { AccountEvent } from '../core/account-store.ts'
import { createAccountStore } from './account-store.ts'
import type { Database, Param, Queryable } from './database.ts'
import { isErased } from './erased-users.ts'
import { insertEvent } from './event-row.ts'
import { dropLink, IS_ORPHAN } from './link-rules.ts'

/** How long a link works, and how long its grant waits. */
const WEEK_SECONDS = 7 * 24 * 3600

interface LinkRow {
  readonly id: string
  readonly account: string
  readonly provider: string
  readonly note: string | null
  readonly expected_username: string | null
  readonly expires_at: Date | string
  readonly revoked_at: Date | string | null
  readonly used_at: Date | string | null
  readonly sealed: string | null
  readonly username: string | null
  readonly clock: Date | string
}

const NO_GRANT = 'sealed = null, user_id = null, app_user_id = null, username = null'

export function createLinkStore(db: Database): LinkStore {
  const { now, nowPlus } = db.dialect
  const columns = `id, account, provider, note, expected_username, expires_at, revoked_at, used_at, sealed, username, ${now} as clock`
  const alive = `revoked_at is null and expires_at > ${now} and not (${IS_ORPHAN})`
  const record = (tx: Queryable, event: AccountEvent): Promise<string> => insertEvent(tx, db.dialect, event, Date.now())

  async function select(condition: string, params: readonly Param[] = []): Promise<ConnectLink[]> {
    const sql = `select ${columns} from connect_links where not (${IS_ORPHAN}) and ${condition}`
    return (await db.query<LinkRow>(sql, params)).map(toLink)
  }

  /** Runs the update and `after` in one transaction. False where the update matches no row, unless `by` has used the link before. */
  function use(sql: string, params: readonly Param[], by: Arrival | null, after: (tx: Queryable) => Promise<unknown>): Promise<boolean> {
    return db.transaction(async (tx) => {
      if (by !== null && (await isErased(tx, by))) return false
      if ((await tx.query(`${sql} returning id`, params)).length > 0) {
        await after(tx)
        return true
      }
      if (by === null) return false
      return (await tx.query('select id from connect_links where id = $1 and used_by = $2', [params[0] ?? null, by.request])).length > 0
    })
  }

  return {
    make: ({ id, account, note, expectedUsername }, event) =>
      db.transaction(async (tx) => {
        await dropLink(tx, account)
        const made = await tx.query(
          `insert into connect_links (id, account, provider, for_user, note, expected_username, created_at, expires_at)
          select $1, name, provider, provider_user_id, $3, $4, ${now}, ${nowPlus('$5')} from accounts where name = $2 and removed_at is null
          returning id`,
          [id, account, note, expectedUsername, WEEK_SECONDS],
        )
        if (made.length > 0) await record(tx, event)
        return made.length > 0
      }),

    find: async (id) => (await select('id = $1', [id]))[0] ?? null,
    of: async (account) => (await select('account = $1', [account]))[0] ?? null,
    waiting: () => select(`sealed is not null and ${alive} order by account`),

    take({ id, by, userId }, save) {
      // `for_user` follows, or the change of the account's user would end the link that it came by.
      const sql = `update connect_links set used_at = coalesce(used_at, ${now}), used_by = coalesce($2, used_by), for_user = $3, ${NO_GRANT}
        where id = $1 and ${by === null ? 'sealed is not null' : 'used_at is null'} and ${alive}`
      return use(sql, [id, by?.request ?? null, userId], by, (tx) => {
        const within: Database = { ...db, query: tx.query, transaction: (work) => work(tx) }
        return save(createAccountStore(within))
      })
    },

    keep({ id, by, userId, appUserId, username, sealed }, event) {
      const sql = `update connect_links set used_at = ${now}, used_by = $2, user_id = $3, app_user_id = $4, username = $5, sealed = $6,
        expires_at = ${nowPlus('$7')} where id = $1 and used_at is null and ${alive}`
      return use(sql, [id, by.request, userId, appUserId, username, sealed, WEEK_SECONDS], by, (tx) => record(tx, event))
    },

    async reseal(link, sealed) {
      const sql = 'update connect_links set sealed = $2 where id = $1 and sealed = $3 returning id'
      return (await db.query(sql, [link.id, sealed, link.sealed])).length > 0
    },

    revoke(id, event) {
      const sql = `update connect_links set revoked_at = ${now}, ${NO_GRANT}
        where id = $1 and revoked_at is null and (used_at is null or sealed is not null)`
      return use(sql, [id], null, (tx) => record(tx, event))
    },

    async ofUser(provider, userId) {
      const rows = await db.query<{ id: string; used_at: Date | string }>(
        'select id, used_at from connect_links where provider = $1 and sealed is not null and (user_id = $2 or app_user_id = $2)',
        [provider, userId],
      )
      return rows.map(({ id, used_at }) => ({ id, grantedAt: new Date(used_at) }))
    },

    async forget(id) {
      await db.query('delete from connect_links where id = $1', [id])
    },

    async claimAlerts(leaseSeconds) {
      const isFree = `(alert_lease_until is null or alert_lease_until <= ${now})`
      const sql = `update connect_links set alert_lease_until = ${nowPlus('$1')}
        where sealed is not null and alerted_at is null and ${isFree} and ${alive} returning ${columns}`
      return (await db.query<LinkRow>(sql, [leaseSeconds])).map(toLink)
    },

    settleAlert: (id, event) =>
      db.transaction(async (tx) => {
        await tx.query(`update connect_links set alerted_at = ${now}, alert_lease_until = null where id = $1`, [id])
        await record(tx, event)
      }),

    async clear() {
      await db.query(`delete from connect_links where expires_at <= ${now} or ${IS_ORPHAN}`)
    },
  }
}

function toLink(row: LinkRow): ConnectLink {
  const { id, account, provider, note, expected_username: expectedUsername, sealed, username } = row
  return { id, account, provider, note, expectedUsername, expiresAt: new Date(row.expires_at), state: stateOf(row), sealed, username }
}

function stateOf({ revoked_at, expires_at, clock, sealed, used_at }: LinkRow): LinkState {
  if (revoked_at !== null) return 'revoked'
  if (used_at !== null && sealed === null) return 'used'
  if (new Date(expires_at) <= new Date(clock)) return 'expired'
  return sealed === null ? 'open' : 'waits'
}

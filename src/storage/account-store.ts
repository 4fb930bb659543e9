import { NOTHING_ALERTED } from '../alerts/alert.ts'
import { nextAlertAt } from '../alerts/decide-alert.ts'
import { type Account, DEFAULT_ACCOUNT } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore } from '../core/account-store.ts'
import { createClaims, NO_ATTEMPT } from './account-claims.ts'
import { createLook } from './account-look.ts'
import type { Database, Param, Queryable } from './database.ts'
import { type Clocked, createDatabaseClock } from './database-clock.ts'
import { EVENT_COLUMNS, type EventRow, insertEvent, toEvent } from './event-row.ts'
import { dropFeed, IS_FOREIGN } from './feed-rules.ts'
import { dropLink, IS_ORPHAN } from './link-rules.ts'
import type { AccountRow } from './rows.ts'
import { ACCOUNT_COLUMNS, changedColumns, FILLED_COLUMNS, READ_COLUMNS, toAccount } from './rows.ts'

// Columns that may not be null, and the fingerprint: without it STARTING_TOKEN would restore a removed account.
const NOT_ERASED = ['state', 'failure_count', 'never_expires', 'seed_fingerprint']
const refilled = (column: string): string =>
  column === 'seed_fingerprint' ? `${column} = coalesce(excluded.${column}, accounts.${column})` : `${column} = excluded.${column}`
/**
 * The default's name. The release before knows only accounts.default_since, which this one writes too, so the newest of these
 * marks wins, whatever the table's time: a statement that waited for a lock writes the time of its start. After a removal by
 * this release only a mark that is newer wins.
 */
const DEFAULT_NAME = `(select case
    when marked.name is not null and (installation.default_account is not null or installation.default_since is null
      or marked.default_since > installation.default_since) then marked.name
    when installation.default_since is null then '${DEFAULT_ACCOUNT}'
    else installation.default_account end
  from installation left join (
    select name, default_since from accounts where default_since is not null order by default_since desc limit 1
  ) marked on true where installation.id = 1)`
// Serializes a change of the default with a removal.
const LOCK_INSTALLATION = 'update installation set id = id where id = 1'
export const NO_ALERT = 'failing_since = null, alert_told = null, alert_told_also = null, alert_told_at = null, alert_at = null'

/** Erases all accounts but their names, versions and seeds' fingerprints; a condition may follow. */
export function emptyAccounts(now: string): string {
  const erasures = FILLED_COLUMNS.filter((column) => !NOT_ERASED.includes(column)).map((column) => `${column} = null`)
  return `update accounts set ${erasures.join(', ')}, state = 'unverified', failure_count = 0, never_expires = 0, version = version + 1,
    revision = revision + 1, default_since = null, removed_at = ${now}, ${NO_ALERT}, ${NO_ATTEMPT} where removed_at is null`
}

export function createAccountStore(db: Database, clock = createDatabaseClock()): AccountStore {
  const { now } = db.dialect
  const { ask } = clock
  const write = (tx: Queryable, event: AccountEvent): Promise<string> => insertEvent(tx, db.dialect, event, clock.nowMs())

  // Each change also plans the next alert, so that no caller can forget it. During a delivery its sender plans it.
  const alertAt = (moment: string): string => `alert_at = case when alert_lease_until > ${now} then alert_at else ${moment} end`

  function setsOf(change: AccountChange, params: Param[]): string[] {
    const differs: string[] = []
    let endsWord = 'page_use_confirmed_at is not null'
    const sets = changedColumns(change).map(({ column, value }) => {
      const at = `$${params.push(value)}`
      if (READ_COLUMNS.has(column)) differs.push(`${column} is distinct from ${at}`)
      if (column === 'page_use_ended_at' && value !== null) return `${column} = case when ${endsWord} then ${at} else ${column} end`
      if (column !== 'scopes' || change.pageUseConfirmedAt !== undefined) return `${column} = ${at}`
      // The owner allowed pages the token with its old scopes alone.
      endsWord += ` and scopes is distinct from ${at}`
      return `scopes = ${at}, page_use_confirmed_at = case when scopes is distinct from ${at} then null else page_use_confirmed_at end`
    })
    if (differs.length > 0) sets.push(`revision = revision + case when ${differs.join(' or ')} then 1 else 0 end`)
    if (change.failureCount === 0) sets.push('failing_since = null')
    else if (change.failureCount !== undefined)
      sets.push(`failing_since = case when failure_count = 0 then ${now} else coalesce(failing_since, ${now}) end`)
    return sets
  }

  /** Writes a change and its event in one transaction, and runs `also` in it. False where the change matches no row. */
  function changed(
    sql: string,
    params: readonly Param[],
    event: AccountEvent,
    also?: (tx: Queryable) => Promise<unknown>,
  ): Promise<boolean> {
    return db.transaction(async (tx) => {
      const rows = await ask(tx, `${sql} returning ${now} as clock`, params)
      if (rows.length === 0) return false
      await also?.(tx)
      if (event.endsFeed === true && event.account !== null) await dropFeed(tx, event.account)
      if (event.kind === 'erased' && event.account !== null) await dropLink(tx, event.account)
      await write(tx, event)
      return true
    })
  }

  /** The posts of another user go with the change, and so does the link for that user. */
  const afterUser = async (tx: Queryable, name: string, change: AccountChange): Promise<void> => {
    if (change.providerUserId === undefined) return
    await dropFeed(tx, name, IS_FOREIGN)
    await dropLink(tx, name, IS_ORPHAN)
  }

  async function select(condition: string, params: readonly Param[]): Promise<Account[]> {
    const sql = `select ${ACCOUNT_COLUMNS}, ${now} as clock from accounts where removed_at is null and ${condition}`
    return (await ask<AccountRow & Clocked>(db, sql, params)).map(toAccount)
  }

  return {
    now: () => new Date(clock.nowMs()),
    nowMs: clock.nowMs,
    isClockSure: clock.isSure,
    look: createLook(db, clock, DEFAULT_NAME),
    ...createClaims(db, clock),

    async find(name) {
      const [row] = await (name === null ? select(`name = ${DEFAULT_NAME}`, []) : select('name = $1', [name]))
      return row ?? null
    },

    list: (page) =>
      page === undefined ? select('true order by name', []) : select('name > $1 order by name limit $2', [page.after, page.limit]),

    ofUser: (provider, userId) =>
      select('provider = $1 and (provider_user_id = $2 or provider_app_user_id = $2) order by name', [provider, userId]),

    async seedFingerprint(name) {
      const rows = await db.query<{ seed_fingerprint: string | null }>('select seed_fingerprint from accounts where name = $1', [name])
      return rows[0]?.seed_fingerprint ?? null
    },

    insert(account, event) {
      const changes = changedColumns(account)
      const params: Param[] = [account.name, account.provider, ...changes.map(({ value }) => value)]
      const columns = ['name', 'provider', ...changes.map(({ column }) => column)]
      const sql = `insert into accounts (${columns.join(', ')}, created_at) values (${params.map((_, i) => `$${i + 1}`).join(', ')}, ${now})
        on conflict (name) do update set provider = excluded.provider, created_at = excluded.created_at, removed_at = null,
          version = accounts.version + 1, revision = accounts.revision + 1, ${FILLED_COLUMNS.map(refilled).join(', ')}
        where accounts.removed_at is not null`
      // The first account ever created is the default. A later one becomes it only by makeDefault.
      const first = `update installation set default_account = $1, default_since = ${now}
        where id = 1 and default_since is null and not exists (select 1 from accounts where name <> $1)`
      return changed(sql, params, event, (tx) => tx.query(first, [account.name]))
    },

    replace(name, version, change, event) {
      const params: Param[] = [name, version]
      const sets = [...setsOf(change, params), alertAt(now), 'version = version + 1', 'committed_attempt_id = null', NO_ATTEMPT]
      const sql = `update accounts set ${sets.join(', ')} where name = $1 and version = $2 and removed_at is null`
      return changed(sql, params, event, (tx) => afterUser(tx, name, change))
    },

    update(name, change, event) {
      const params: Param[] = [name]
      const sets = [...setsOf(change, params), alertAt(now)]
      const sql = `update accounts set ${sets.join(', ')} where name = $1 and removed_at is null`
      return changed(sql, params, event, (tx) => afterUser(tx, name, change))
    },

    makeDefault(name, event) {
      const sql = `update installation set default_account = $1, default_since = ${now}
        where id = 1 and exists (select 1 from accounts where name = $1 and removed_at is null)`
      const mark = `update accounts set default_since = case when name = $1 then (select default_since from installation where id = 1) end
        where name = $1 or default_since is not null`
      return changed(sql, [name], event, (tx) => tx.query(mark, [name]))
    },

    remove(name, event) {
      const sql = `${emptyAccounts(now)} and name = $1 returning ${now} as clock`
      return db.transaction(async (tx) => {
        await tx.query(LOCK_INSTALLATION)
        const [{ served } = { served: null }] = await tx.query<{ served: string | null }>(`select ${DEFAULT_NAME} as served`)
        if ((await ask(tx, sql, [name])).length === 0) return false
        await dropFeed(tx, name)
        await dropLink(tx, name)
        if (served === name) await tx.query(`update installation set default_account = null, default_since = ${now} where id = 1`)
        await write(tx, event)
        return true
      })
    },

    async commit({ account, attemptId, claimedAt }, change, event) {
      // Counts from the claim, which is in the database's past, so an alert that is due now is found at once.
      const failingSince = (account.failureCount === 0 ? null : account.failingSince) ?? claimedAt
      const plannedAt = nextAlertAt({ ...account, ...change, failingSince }, NOTHING_ALERTED, claimedAt)
      const params: Param[] = [account.name, attemptId, plannedAt]
      const sets = setsOf(change, params)
      // An alert may have been sent since the claim, so the row's own `alert_told` decides.
      sets.push(alertAt(`case when alert_told is null and alert_told_also is null then $3 else ${now} end`))
      if (change.accessToken !== undefined) sets.push('version = version + 1')
      const isOnlyGrant = change.refreshToken != null
      const own = isOnlyGrant ? `(attempt_id = $2 or version = $${params.push(account.version)})` : 'attempt_id = $2'
      const sql = `update accounts set ${[...sets, 'committed_attempt_id = cast($2 as text)', NO_ATTEMPT].join(', ')}
        where name = $1 and removed_at is null and ${own}`
      const hasOtherUser = change.providerUserId !== undefined && change.providerUserId !== account.providerUserId
      if (await changed(sql, params, event, (tx) => afterUser(tx, account.name, hasOtherUser ? change : {}))) return true
      // The answer to an earlier commit may have been lost and the caller tries again, so a saved attempt counts.
      const saved = `select ${now} as clock from accounts where name = $1 and committed_attempt_id = $2`
      return (await ask(db, saved, [account.name, attemptId])).length > 0
    },

    record: (event) => write(db, event),

    async events(account, limit, before) {
      const params: Param[] = [limit]
      const conditions = [account === null ? 'account is null' : `account = $${params.push(account)}`]
      // Compares with the row, not with a Date: Postgres counts microseconds.
      if (before !== undefined) conditions.push(`(at, id) < (select at, id from events where id = $${params.push(before)})`)
      const rows = await db.query<EventRow>(
        `select ${EVENT_COLUMNS} from events where ${conditions.join(' and ')} order by at desc, id desc limit $1`,
        params,
      )
      return rows.map(toEvent)
    },

    async findEvent(id) {
      const rows = await db.query<EventRow>(`select ${EVENT_COLUMNS} from events where id = $1`, [id])
      return rows[0] ? toEvent(rows[0]) : null
    },

    atomically: (work) =>
      db.transaction((tx) => {
        const inside: Database = { ...db, query: (sql, params) => tx.query(sql, params), transaction: (inner) => inner(tx) }
        return work(createAccountStore(inside, clock))
      }),

    async reseal({ name, accessToken, refreshToken }, sealed) {
      // Compares the sealed text, not the version: each sealing differs, even of the same token.
      const rows = await ask(
        db,
        `update accounts set access_token = $2, refresh_token = $3
        where name = $1 and access_token is not distinct from $4 and refresh_token is not distinct from $5 returning ${now} as clock`,
        [name, sealed.accessToken, sealed.refreshToken, accessToken, refreshToken],
      )
      return rows.length > 0
    },
  }
}

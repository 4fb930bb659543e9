import { randomBytes } from 'node:crypto'
import type { BackupRow, BackupStore, Row } from '../accounts/backup.ts'
import { AppError } from '../core/errors.ts'
import { NO_ATTEMPT } from './account-claims.ts'
import { createAccountStore, emptyAccounts, NO_ALERT } from './account-store.ts'
import type { Database, Param, Queryable } from './database.ts'
import { tablesOf } from './migrate.ts'

/** The tables of a backup by their keys. What is not named here, such as a new table, stays out and is emptied by a restore. */
const COPIED: Readonly<Record<string, string>> = { accounts: 'name', signed_requests: 'digest', events: 'id' }
/** Of `installation` the owner's decisions; the rest belongs to the place where the store lives. */
const DECISIONS = ['default_account', 'default_since', 'pkce_challenge', 'page_use_read_at']
/** A restore leaves these as they are: they hold nothing of an account. */
const KEPT = ['installation', 'sign_in_attempts', 'alert_channels']
/** Rows read by one statement, and on Postgres written. */
const PAGE = 200

const MIGRATIONS = 'select name from schema_migrations order by number'

export function createBackupStore(db: Database, migrationsFolder: string): BackupStore {
  const { now, engine } = db.dialect
  // SQLite compares each parameter's name with all others, so a long statement costs more than many short ones.
  const rowsAtOnce = engine === 'sqlite' ? 1 : PAGE

  return {
    copy: (begin, take) =>
      db.snapshot(async (tx) => {
        const [clock] = await tx.query<{ clock: Date | string }>(`select ${now} as clock`)
        await begin(new Date(clock?.clock ?? 0), await namesOf(tx))
        const [decisions = {}] = await tx.query<Row>(`select ${DECISIONS.join(', ')} from installation where id = 1`)
        await take({ table: 'installation', row: decisions })
        for (const [table, key] of Object.entries(COPIED)) {
          for (let after = ''; ; ) {
            const rows = await tx.query<Row>(`select * from ${table} where ${key} > $1 order by ${key} limit ${PAGE}`, [after])
            for (const row of rows) await take({ table, row })
            const last = rows.at(-1)?.[key]
            if (last === undefined) break
            after = String(last)
          }
        }
      }),

    migrations: () => namesOf(db),

    async restore(rows, replace, settle) {
      const others = (await tablesOf(migrationsFolder)).filter((table) => !(table in COPIED) && !KEPT.includes(table))
      await db.exclusively(async (tx) => {
        // Agents that run meanwhile go on reading; their writes wait or fail.
        if (engine === 'postgres') await tx.script('lock table accounts, installation, signed_requests, events in share row exclusive mode')
        const present = await tx.query('select name from accounts where removed_at is null limit 1')
        if (present.length > 0 && !replace) throw new AppError('conflict', HAS_ACCOUNTS)
        for (const table of others) await tx.query(`delete from ${table}`)
        // Emptied, not deleted: their versions must not fall.
        await tx.query(emptyAccounts(now))
        await putAll(tx, rows)
        await unconfirm(tx)
        const inside: Database = { ...db, query: (sql, params) => tx.query(sql, params), transaction: (work) => work(tx) }
        const erased = await tx.query<{ account: string; at: Date | string }>(
          "select account, max(at) as at from events where kind = 'erased' and account is not null group by account",
        )
        await settle({ store: createAccountStore(inside), erasedAt: new Map(erased.map(({ account, at }) => [account, new Date(at)])) })
      })
    },
  }

  async function namesOf(on: Queryable): Promise<string[]> {
    return (await on.query<{ name: string }>(MIGRATIONS)).map(({ name }) => name)
  }

  async function putAll(tx: Queryable, rows: AsyncIterable<BackupRow>): Promise<void> {
    let page: BackupRow[] = []
    for await (const row of rows) {
      if (page.length === rowsAtOnce || page.some(({ table }) => table !== row.table)) {
        await put(tx, page)
        page = []
      }
      page.push(row)
    }
    await put(tx, page)
  }

  async function put(tx: Queryable, page: readonly BackupRow[]): Promise<void> {
    const [first] = page
    if (first === undefined) return
    const { table } = first
    const columns = Object.keys(first.row)
    if (columns.some((column) => !/^[a-z][a-z_]*$/.test(column))) throw new Error('unreachable: the code of the backup is checked')
    if (table === 'installation') return decide(tx, first.row)
    const key = COPIED[table]
    if (key === undefined)
      throw new AppError('invalid', `The backup has the table ${table}, which this release does not know. Nothing was changed.`)
    const params: Param[] = []
    const values = page.map(({ row }) => `(${columns.map((column) => `$${params.push(row[column] ?? null)}`).join(', ')})`)
    // What happened here stays in the history, and a call that was answered stays answered.
    const onConflict =
      table === 'accounts'
        ? `do update set ${columns
            .filter((column) => column !== key)
            .map(replaced)
            .join(', ')}`
        : 'do nothing'
    await tx.query(`insert into ${table} (${columns.join(', ')}) values ${values.join(', ')} on conflict (${key}) ${onConflict}`, params)
  }

  /** Versions never fall, so that nothing read before the restore counts as newer. */
  function replaced(column: string): string {
    if (column !== 'version' && column !== 'revision') return `${column} = excluded.${column}`
    return `${column} = 1 + case when accounts.${column} > excluded.${column} then accounts.${column} else excluded.${column} end`
  }

  /** Ends the cookies of all browsers, gives the store a new namespace in a shared cache, and makes it a copy. */
  async function decide(tx: Queryable, row: Row): Promise<void> {
    const params: Param[] = [randomBytes(16).toString('base64url')]
    const sets = DECISIONS.map((column) => `${column} = $${params.push(row[column] ?? null)}`)
    await tx.query(
      `update installation set cache_id = $1, signed_out_at = ${now}, copied_at = ${now}, ${sets.join(', ')} where id = 1`,
      params,
    )
  }

  /** No token is served before its provider has said whose it is. */
  async function unconfirm(tx: Queryable): Promise<void> {
    await tx.query(
      `update accounts set ${NO_ATTEMPT}, committed_attempt_id = null, ${NO_ALERT}, alert_lease_until = null, doubted = null, doubted_at = null`,
    )
    await tx.query(
      `update accounts set state = 'unverified', trusted_at = null, issued_at = null, failure_count = 0, refused_at = null,
        last_error_code = null, last_error = null, next_refresh_at = ${now}, alert_at = ${now}, next_check_at = null, checked_at = null,
        connected_at = case when coalesce(connected_at, created_at) > ${now} then ${now} else coalesce(connected_at, created_at) end
      where removed_at is null and (access_token is not null or refresh_token is not null)`,
    )
  }
}

const HAS_ACCOUNTS =
  'This store has accounts. To put the backup in their place, add --replace: what was connected or changed since the backup is lost. Nothing was changed.'

import { statSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/errors.ts'
import type { Database, Dialect, Param, Script } from './database.ts'
import { LAST_CHARACTER, toSql } from './database.ts'
import { createPrivateFile } from './key-file.ts'

// SQLite's own wait blocks the whole process, so it is short. `retryWhileBusy` waits longer.
const BLOCKING_WAIT_MS = 25
const TIMEOUT_MS = 2_000
const MIGRATION_TIMEOUT_MS = 60_000
/** More than the agent has, but for those whose length depends on what they are asked. */
const MOST_PREPARED = 200

const NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
const dialect: Dialect = {
  engine: 'sqlite',
  beginsWith: (text, param) => `(${text} >= ${param} and ${text} < ${param} || '${LAST_CHARACTER}')`,
  now: NOW,
  toSeconds: (instant) => `unixepoch(${instant}, 'subsec')`,
  nowPlus: (seconds) => `strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ${seconds} || ' seconds')`,
  // SQLite has one writer at a time and no row locks.
  skipLocked: '',
}

// Primary result codes, the lowest eight bits: https://www.sqlite.org/rescode.html
const BUSY = 5
const SENTENCES: Record<number, (path: string) => string> = {
  [BUSY]: () => 'Another process has been writing to the embedded store for too long: end it, or try again.',
  8: (path) =>
    `The embedded store ${path} may not be written: give the user that runs the agent the right to write the file and its folder.`,
  10: (path) => `The disk under the embedded store ${path} does not work: check it and its file system.`,
  11: (path) => `The embedded store ${path} is damaged: put a backup in its place.`,
  13: (path) => `The disk under the embedded store ${path} is full: make room on it.`,
  14: (path) =>
    `The embedded store ${path} cannot be opened: give the user that runs the agent the right to write the file and its folder.`,
  26: (path) => `${path} is not a SQLite database: move it away, or name another file in DATABASE_URL (sqlite:/path/to/agent.db).`,
}

/** Opens the embedded store. Other processes, such as the command line, may have it open too. */
export async function openSqlite(path: string): Promise<Database> {
  const explained = async <T>(work: () => T, timeoutMs = TIMEOUT_MS): Promise<T> => {
    try {
      return await retryWhileBusy(work, timeoutMs)
    } catch (error) {
      throw explainSqlite(error, path)
    }
  }
  if (path !== ':memory:') await createPrivateFile(path)
  const sqlite = await explained(() => connect(path), MIGRATION_TIMEOUT_MS)

  // All callers share one connection. Without turns a query would run inside another caller's transaction.
  let lastTurn: Promise<unknown> = Promise.resolve()
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(work)
    lastTurn = turn.catch(() => {})
    return turn
  }

  // To prepare a statement takes as long as to run it.
  const prepared = new Map<string, StatementSync>()
  function prepare(sql: string): StatementSync {
    const known = prepared.get(sql)
    if (known !== undefined) return known
    if (prepared.size === MOST_PREPARED) prepared.clear()
    const statement = sqlite.prepare(sql)
    prepared.set(sql, statement)
    return statement
  }

  const own: Script = {
    query: <Row>(sql: string, params: readonly Param[] = []) =>
      // node:sqlite types a row by what SQLite can hold; the caller knows the columns.
      explained(() => prepare(sql).all(numbered(params)) as Row[]),
    script: (sql) => explained(() => sqlite.exec(sql)),
  }

  function within<T>(timeoutMs: number, work: (tx: Script) => Promise<T>, begin = 'begin immediate'): Promise<T> {
    return inTurn(async () => {
      // `immediate`: a transaction that starts as a reader fails instead of waiting to write.
      await explained(() => sqlite.exec(begin), timeoutMs)
      try {
        const result = await work(own)
        await own.script('commit')
        return result
      } catch (error) {
        // A full disk has already ended the transaction. A rollback would throw and hide the reason.
        if (sqlite.isTransaction) sqlite.exec('rollback')
        throw error
      }
    })
  }

  return {
    dialect,
    query: <Row>(sql: string, params?: readonly Param[]) => inTurn(() => own.query<Row>(sql, params)),
    transaction: (work) => within(TIMEOUT_MS, work),
    // With a write-ahead log a reader keeps the state of its first query, and no writer waits for it.
    snapshot: (work) => within(TIMEOUT_MS, work, 'begin'),
    exclusively: (work) => within(MIGRATION_TIMEOUT_MS, work),
    async tables(names) {
      const rows = await own.query<{ name: string }>("select name from sqlite_master where type = 'table'")
      const existing = new Set(rows.map(({ name }) => name))
      return names.map((name) => (existing.has(name) ? 'there' : 'none')).join()
    },
    // A copied file has another inode, also under the same name.
    identity: async () => (path === ':memory:' ? path : String(statSync(path).ino)),
    close: () => inTurn(async () => sqlite.close()),
  }
}

// Named parameters, `$1` and so on: the first releases of Node 24 do not bind numbered parameters by position.
function numbered(params: readonly Param[]): Record<string, string | number | Uint8Array | null> {
  return Object.fromEntries(params.map((param, index) => [`$${index + 1}`, toSql(param)]))
}

function connect(path: string): DatabaseSync {
  const { DatabaseSync } = loadSqlite()
  const sqlite = new DatabaseSync(path, { timeout: BLOCKING_WAIT_MS })
  try {
    sqlite.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
    return sqlite
  } catch (error) {
    sqlite.close()
    throw error
  }
}

// Node before 24.15 warns at each start that node:sqlite is experimental. An operator cannot act on it, so warnings are
// silent while the module loads.
function loadSqlite(): typeof import('node:sqlite') {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}

async function retryWhileBusy<T>(work: () => T, timeoutMs: number): Promise<T> {
  const until = performance.now() + timeoutMs
  for (;;) {
    try {
      return work()
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error
    }
    await sleep(10 + Math.random() * 40)
  }
}

function isBusy(error: unknown): boolean {
  return kindOf(error) === BUSY
}

/** Turns the store's faults into `unavailable` with a sentence for the operator. Other errors stay. */
function explainSqlite(error: unknown, path: string): unknown {
  const kind = kindOf(error)
  const sentence = kind === null ? undefined : SENTENCES[kind]
  return sentence === undefined ? error : new AppError('unavailable', sentence(path), { cause: error })
}

function kindOf(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : null
}

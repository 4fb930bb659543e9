import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/errors.ts'
import type { Database, Dialect, Param, Script } from './database.ts'
import { LAST_CHARACTER, toSql } from './database.ts'
import { createPrivateFile } from './key-file.ts'

// SQLite's own wait stops the whole process, so it is short; what lasts longer is waited for by a timer.
const BLOCKING_WAIT_MS = 25
const TIMEOUT_MS = 2_000
const MIGRATION_TIMEOUT_MS = 60_000

const NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
const dialect: Dialect = {
  engine: 'sqlite',
  beginsWith: (text, param) => `(${text} >= ${param} and ${text} < ${param} || '${LAST_CHARACTER}')`,
  now: NOW,
  toSeconds: (instant) => `unixepoch(${instant}, 'subsec')`,
  nowPlus: (seconds) => `strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ${seconds} || ' seconds')`,
  // There is one writer at a time, so no row is held.
  skipLocked: '',
}

// https://www.sqlite.org/rescode.html; the lowest eight bits are the kind, the rest is detail.
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

/** The embedded store; other processes (the command line) may have it open too. */
export async function openSqlite(path: string): Promise<Database> {
  const explained = async <T>(work: () => T, timeoutMs = TIMEOUT_MS): Promise<T> => {
    try {
      return await patiently(work, timeoutMs)
    } catch (error) {
      throw explainSqlite(error, path)
    }
  }
  if (path !== ':memory:') await createPrivateFile(path)
  const sqlite = await explained(() => connect(path), MIGRATION_TIMEOUT_MS)

  // All share one connection: without turns a query would slip into another caller's transaction.
  let lastTurn: Promise<unknown> = Promise.resolve()
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(work)
    lastTurn = turn.catch(() => {})
    return turn
  }

  const own: Script = {
    query: <Row>(sql: string, params: readonly Param[] = []) =>
      // The engine types a row by what SQLite can hold; the caller knows what it asked for.
      explained(() => sqlite.prepare(sql).all(numbered(params)) as Row[]),
    script: (sql) => explained(() => sqlite.exec(sql)),
  }

  function within<T>(timeoutMs: number, work: (tx: Script) => Promise<T>): Promise<T> {
    return inTurn(async () => {
      // At once for writing: a transaction that starts as a reader cannot wait for its turn to write, it fails.
      await explained(() => sqlite.exec('begin immediate'), timeoutMs)
      try {
        const result = await work(own)
        await own.script('commit')
        return result
      } catch (error) {
        // A full disk ends the transaction by itself; a second end would hide the reason.
        if (sqlite.isTransaction) sqlite.exec('rollback')
        throw error
      }
    })
  }

  return {
    dialect,
    query: <Row>(sql: string, params?: readonly Param[]) => inTurn(() => own.query<Row>(sql, params)),
    transaction: (work) => within(TIMEOUT_MS, work),
    exclusively: (work) => within(MIGRATION_TIMEOUT_MS, work),
    async tables(names) {
      const rows = await own.query<{ name: string }>("select name from sqlite_master where type = 'table'")
      const there = new Set(rows.map(({ name }) => name))
      return names.map((name) => (there.has(name) ? 'there' : 'none')).join()
    },
    // A copied file has another number, also under the same name.
    identity: async () => (path === ':memory:' ? path : String(statSync(path).ino)),
    close: () => inTurn(async () => sqlite.close()),
  }
}

// By name, `$1` and so on: the first releases of Node 24 count no parameter that has a number.
function numbered(params: readonly Param[]): Record<string, string | number | null> {
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

// Node before 24.15 warns that node:sqlite is experimental, each time the agent starts: nothing an operator can act on.
// The warning is sent while the module loads, so only that one moment is silent.
function loadSqlite(): typeof import('node:sqlite') {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}

async function patiently<T>(work: () => T, timeoutMs: number): Promise<T> {
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

/** What keeps the store from answering becomes `unavailable`, with a sentence for the operator; the rest stays as it is. */
function explainSqlite(error: unknown, path: string): unknown {
  const kind = kindOf(error)
  const sentence = kind === null ? undefined : SENTENCES[kind]
  return sentence === undefined ? error : new AppError('unavailable', sentence(path), { cause: error })
}

function kindOf(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : null
}

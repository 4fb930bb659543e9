import { join } from 'node:path'
import type { Test } from 'tap'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { tempFolder } from '../support/temp-folder.ts'

export const MIGRATIONS = join(import.meta.dirname, '../../migrations')

/** An empty store for one test. */
export interface Engine {
  readonly name: 'sqlite' | 'postgres'
  /** A file's path or a URL. */
  readonly address: string
  /** Another connection to the store, as of another process; closed after the test. */
  open(): Promise<Database>
}

/** Runs a test on both engines, each with its own empty store. */
export function eachEngine(t: Test, name: string, work: (t: Test, engine: Engine) => Promise<void>): void {
  t.test(`${name} (SQLite)`, async (t) => {
    const address = join(tempFolder(t), 'agent.db')
    await work(t, { name: 'sqlite', address, open: () => closedAfter(t, openSqlite(address)) })
  })
  t.test(`${name} (Postgres)`, { skip: missing('postgres') }, async (t) => {
    const { url } = await createDatabase(t)
    await work(t, { name: 'postgres', address: url, open: () => closedAfter(t, Promise.resolve(openPostgres(url))) })
  })
}

/** The same, with a migrated store. */
export function eachStore(t: Test, name: string, work: (t: Test, db: Database, engine: Engine) => Promise<void>): void {
  eachEngine(t, name, async (t, engine) => {
    const db = await engine.open()
    await migrate(db, MIGRATIONS)
    await work(t, db, engine)
  })
}

export function openEngine(name: string, address: string): Promise<Database> {
  return name === 'sqlite' ? openSqlite(address) : Promise.resolve(openPostgres(address))
}

async function closedAfter(t: Test, opening: Promise<Database>): Promise<Database> {
  const db = await opening
  t.teardown(() => db.close().catch(() => {}))
  return db
}

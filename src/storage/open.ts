import { dirname, join } from 'node:path'
import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Secret } from '../core/secret.ts'
import { type WatchedDatabase, watchDatabase } from './availability.ts'
import type { Database } from './database.ts'
import { prepareInstallation } from './installation.ts'
import { loadOrCreateKeyFile } from './key-file.ts'
import { migrate, tablesOf } from './migrate.ts'

export type StoreAddress =
  | { readonly kind: 'postgres'; readonly url: Secret; readonly selfSignedChain: boolean }
  | { readonly kind: 'sqlite'; readonly path: string }

const PREPARING = 'The agent has just started and is bringing its tables up to date.'
const WAITING = 'Another instance of the agent is bringing the tables up to date. This one waits for it.'

/** The store is not ready before `prepareStore`. `queryTimeoutMs` limits a query of Postgres. */
export async function openStore(address: StoreAddress, log: Log, queryTimeoutMs?: number): Promise<WatchedDatabase> {
  const db = watchDatabase(await openDatabase(address, log, queryTimeoutMs))
  db.isNotReady(PREPARING)
  return db
}

/** Migrates the tables and returns the applied migrations. `appUrl`: null for a command, empty where it is a guess. */
export async function prepareStore(db: WatchedDatabase, migrations: string, appUrl: string | null): Promise<readonly string[]> {
  try {
    const applied = await migrate(db, migrations, () => db.isNotReady(WAITING))
    await prepareInstallation(db, appUrl)
    await db.isReady([...(await tablesOf(migrations)), 'schema_migrations'])
    return applied
  } catch (error) {
    if (error instanceof AppError) db.isNotReady(error.message)
    throw error
  }
}

/** Loads only the driver that is needed. */
async function openDatabase(address: StoreAddress, log: Log, queryTimeoutMs?: number): Promise<Database> {
  if (address.kind === 'sqlite') {
    const { openSqlite } = await import('./sqlite.ts')
    return openSqlite(address.path)
  }
  const { openPostgres } = await import('./postgres.ts')
  return openPostgres(address.url.reveal(), {
    selfSignedPlatform: address.selfSignedChain,
    ...(queryTimeoutMs === undefined ? {} : { queryTimeoutMs }),
    onConnectionLost: (err) => log.warn({ err }, 'a connection to the database was lost; a new one is made when needed'),
  })
}

/** The configured keys, newest first; else those of the embedded store's key file. */
export async function encryptionKeys(keys: readonly Secret[] | null, address: StoreAddress): Promise<string[]> {
  if (keys !== null) return keys.map((key) => key.reveal())
  if (address.kind !== 'sqlite') throw new Error('unreachable: readConfig asks for a key with Postgres')
  return loadOrCreateKeyFile(join(dirname(address.path), 'encryption.key'))
}

import { dirname, join } from 'node:path'
import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Secret } from '../core/secret.ts'
import { type WatchedDatabase, watchDatabase } from './availability.ts'
import type { Database } from './database.ts'
import { prepareInstallation } from './installation.ts'
import { createKeyFile, readKeyFile } from './key-file.ts'
import type { Keychain, KeyPlace } from './keychain.ts'
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

/** Where the configuration says that keys are. */
interface KeySource {
  readonly encryptionKeys: readonly Secret[] | null
  readonly database: StoreAddress
  readonly desktop: Keychain['env']
}

/** Without a person a keychain answers at once or never. */
const KEYCHAIN_MS = 5_000

/** The configured keys, newest first; else those of the embedded store's key file or of the keychain. Null = there is no key yet. */
export async function encryptionKeys(
  { encryptionKeys: configured, database, desktop: env }: KeySource,
  withinMs = KEYCHAIN_MS,
): Promise<readonly string[] | null> {
  if (configured !== null) return configured.map((key) => key.reveal())
  const path = keyFileOf(database)
  const found = await readKeyFile(path)
  if (found === null || 'keys' in found) return found?.keys ?? null
  // Nothing of the keychain is loaded before it is needed.
  const { readKeychain } = await import('./keychain.ts')
  return readKeychain({ env, withinMs }, found.keychainId, path)
}

/** Creates the key of a store that has sealed nothing. A new key for sealed tokens would lose them. */
export async function createKey(db: Database, address: StoreAddress): Promise<readonly string[]> {
  const path = keyFileOf(address)
  const known = "select name from sqlite_master where type = 'table' and name = 'accounts'"
  const sealed = 'select name from accounts where access_token is not null or refresh_token is not null limit 1'
  const hasSealed = (await db.query(known)).length > 0 && (await db.query(sealed)).length > 0
  // Another process may have made the key, and sealed with it, since the file was looked for.
  const found = hasSealed ? await readKeyFile(path) : await createKeyFile(path)
  if (found !== null && 'keys' in found) return found.keys
  throw new AppError(
    'invalid',
    `The key file ${path} is missing, and the store holds sealed tokens, which no other key opens. Put the file back. If its key lay in the system’s keychain, write the key that “keychain enable” showed into that file. To start over, move the store away, and seed each account again.`,
  )
}

/** Where the key of the embedded store lies; null where ENCRYPTION_KEY holds it. */
export async function openKeyPlace(
  { encryptionKeys: configured, database, desktop: env }: KeySource,
  withinMs = KEYCHAIN_MS,
): Promise<KeyPlace | null> {
  if (configured !== null) return null
  const { createKeyPlace } = await import('./keychain.ts')
  return createKeyPlace({ env, withinMs }, keyFileOf(database))
}

/** The file beside the embedded store. */
function keyFileOf(address: StoreAddress): string {
  if (address.kind !== 'sqlite') throw new Error('unreachable: readConfig asks for a key with Postgres')
  return join(dirname(address.path), 'encryption.key')
}

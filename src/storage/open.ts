import { dirname, join } from 'node:path'
import type { Log } from '../core/log.ts'
import type { Secret } from '../core/secret.ts'
import type { Database } from './database.ts'
import { loadOrCreateKeyFile } from './key-file.ts'

export type StoreAddress =
  | { readonly kind: 'postgres'; readonly url: Secret; readonly selfSignedChain: boolean }
  | { readonly kind: 'sqlite'; readonly path: string }

/** A driver is loaded when it is needed. `queryTimeoutMs`: how long one answer of a Postgres may take. */
export async function openDatabase(address: StoreAddress, log: Log, queryTimeoutMs?: number): Promise<Database> {
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

/** Newest first. Without any, the embedded store keeps its own beside it. */
export async function encryptionKeys(keys: readonly Secret[] | null, address: StoreAddress): Promise<string[]> {
  if (keys !== null) return keys.map((key) => key.reveal())
  if (address.kind !== 'sqlite') throw new Error('unreachable: readConfig asks for a key with Postgres')
  return loadOrCreateKeyFile(join(dirname(address.path), 'encryption.key'))
}

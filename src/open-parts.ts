import { dirname, join } from 'node:path'
import type { SendAlert } from './alerts/alert.ts'
import type { Config } from './config/config.ts'
import type { Connector } from './core/connector.ts'
import type { Log } from './core/log.ts'
import type { Secret } from './core/secret.ts'
import { createInstagramConnector } from './providers/instagram/connector.ts'
import type { Database } from './storage/database.ts'
import { loadOrCreateKeyFile } from './storage/key-file.ts'

// What the configuration names, opened. A driver is loaded when it is first needed.

export function createConnectors({ instagram: { app, ...rest } }: Config): Map<string, Connector> {
  const connectors = app === null ? [] : [createInstagramConnector({ app, ...rest })]
  return new Map(connectors.map((connector) => [connector.provider, connector]))
}

export async function openDatabase({ database }: Config, log: Log, queryTimeoutMs?: number): Promise<Database> {
  if (database.kind === 'sqlite') {
    const { openSqlite } = await import('./storage/sqlite.ts')
    return openSqlite(database.path)
  }
  const { openPostgres } = await import('./storage/postgres.ts')
  return openPostgres(database.url.reveal(), {
    selfSignedPlatform: database.selfSignedChain,
    ...(queryTimeoutMs === undefined ? {} : { queryTimeoutMs }),
    onConnectionLost: (err) => log.warn({ err }, 'a connection to the database was lost; a new one is made when needed'),
  })
}

export async function openMemcached({ servers, username, password }: NonNullable<Config['memcached']>, log: Log) {
  const { createMemcached } = await import('./cache/memcached.ts')
  return createMemcached({ servers, username: username ?? undefined, password: password?.reveal(), log })
}

export async function openWebhook(url: Secret, appUrl: string): Promise<SendAlert> {
  const { createWebhook } = await import('./webhook/webhook.ts')
  return createWebhook({ url, appUrl })
}

export async function encryptionKeys({ encryptionKeys: keys, database }: Config): Promise<string[]> {
  if (keys !== null) return keys.map((key) => key.reveal())
  if (database.kind !== 'sqlite') throw new Error('unreachable: readConfig asks for a key with Postgres')
  return loadOrCreateKeyFile(join(dirname(database.path), 'encryption.key'))
}

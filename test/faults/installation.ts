import type { Account } from '../../src/core/account.ts'
import type { AccountChange, AccountStore, RecordedEvent } from '../../src/core/account-store.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { MIGRATIONS } from '../support/accounts.ts'
import { createAccounts } from '../support/store-world.ts'
import type { Teardown } from '../support/temp-folder.ts'

/** Secrets of the agents. No output of an agent may contain one. */
export const SECRETS = {
  ENCRYPTION_KEY: 'the-key-that-seals-every-token-of-these-tests',
  SERVER_KEYS: 'a-key-of-a-server-that-reads',
  WEBHOOK_SECRET: 'the-secret-of-the-refresh-hook',
  METRICS_KEY: 'the-metrics-key-0123456789abcdef',
} as const

export interface Installation {
  readonly store: AccountStore
  /** The environment of each agent. */
  readonly env: Record<string, string>
  add(name: string, token: string, change?: AccountChange): Promise<Account>
  account(name: string): Promise<Account>
  /** The stored token in plain text. */
  token(name: string): Promise<string>
  events(name: string): Promise<RecordedEvent[]>
  /** Replaces the token, as a person does. */
  replace(name: string, token: string): Promise<Account>
  query<Row>(sql: string, params?: (string | number | Date | null)[]): Promise<Row[]>
  /** Makes all accounts due, or one. */
  makeDue(name?: string): Promise<void>
  /** Moves the claims back in time: leases last 40 s, too long to wait for in a test. */
  lapseLeases(): Promise<void>
}

interface Options {
  databaseUrl: string
  /** The agents' database URL, if it differs from the tests': through a proxy, or as another user. */
  agentsDatabaseUrl?: string
  instagramUrl?: string
  /** The variables of another provider. */
  env?: Record<string, string>
  memcached?: string
  encryptionKey?: string
}

/** A database with any number of agents. */
export async function createInstallation(t: Teardown, options: Options): Promise<Installation> {
  const {
    databaseUrl,
    agentsDatabaseUrl = databaseUrl,
    instagramUrl,
    memcached,
    env = {},
    encryptionKey = SECRETS.ENCRYPTION_KEY,
  } = options
  // The test itself waits as long as a busy machine needs.
  const db = openPostgres(databaseUrl, { onConnectionLost: () => {}, queryTimeoutMs: 120_000 })
  t.teardown(() => db.close())
  await migrate(db, MIGRATIONS)
  const accounts = createAccounts(db, [encryptionKey])
  const { store } = accounts
  return {
    ...accounts,
    env: {
      ...SECRETS,
      ENCRYPTION_KEY: encryptionKey,
      DATABASE_URL: agentsDatabaseUrl,
      ...(instagramUrl === undefined ? {} : { INSTAGRAM_GRAPH_URL: instagramUrl }),
      ...env,
      ...(memcached === undefined ? {} : { MEMCACHIER_SERVERS: memcached }),
    },
    // Trusted like a seed, which is served before its provider has confirmed it.
    add: (name, token, change = {}) => accounts.add(name, token, { trustedAt: store.now(), nextRefreshAt: store.now(), ...change }),
    replace: (name, token) =>
      accounts.replace(name, token, { failureCount: 0, lastErrorCode: null, lastError: null, refusedAt: null, state: 'active' }),
    query: (sql, params) => db.query(sql, params),
    async makeDue(name) {
      await db.query('update accounts set next_refresh_at = statement_timestamp() where $1::text is null or name = $1', [name ?? null])
    },
    async lapseLeases() {
      await db.query("update accounts set lease_until = statement_timestamp() - interval '1 second' where lease_until is not null")
    },
  }
}

export const READS = { authorization: `Bearer ${SECRETS.SERVER_KEYS}` }

/** Calls the hook of cron services. */
export async function callHook(url: string): Promise<{ status: number; results: { account: string; outcome: string; message: string }[] }> {
  const response = await fetch(`${url}/hooks/refresh`, { method: 'POST', headers: { authorization: `Bearer ${SECRETS.WEBHOOK_SECRET}` } })
  const body = (await response.json()) as { results?: { account: string; outcome: string; message: string }[] }
  return { status: response.status, results: body.results ?? [] }
}

export async function readToken(url: string, account?: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}${account === undefined ? '' : `/accounts/${account}`}/token`, { headers: READS })
  return { status: response.status, text: await response.text() }
}

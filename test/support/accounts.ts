import { join } from 'node:path'
import type { AccountChange } from '../../src/core/account-store.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createVault } from '../../src/storage/vault.ts'

export const MIGRATIONS = join(import.meta.dirname, '../../migrations')
export const ENCRYPTION_KEY = 'the-key-of-the-accounts-of-these-tests'
const DAY_MS = 86_400_000

export interface Kept extends AccountChange {
  readonly name: string
  /** Null = none. */
  readonly token?: string | null
  /** Attempts, oldest first: `ok` or a failure's sentence; one every `everyDays`, the last `agoDays` ago. */
  readonly attempts?: readonly string[]
  readonly everyDays?: number
  readonly agoDays?: number
}

export const tokenOf = (name: string): string => `IGAA-${name}-${'x'.repeat(120)}`

export const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS)

export const DEFAULT: Kept = { name: 'default', username: 'shop' }

/** A healthy account, a week into the life of its token. */
const HEALTHY: AccountChange = {
  providerUserId: '17841400000000001',
  state: 'active',
  issuedAt: inDays(-4),
  expiresAt: inDays(56),
  lastRefreshAt: inDays(-4),
  nextRefreshAt: inDays(3),
}

/** Inserts accounts into a store before the agent starts in the same folder with ENCRYPTION_KEY. */
export async function keepAccounts(cwd: string, accounts: readonly Kept[]): Promise<void> {
  const db = await openSqlite(join(cwd, 'data/token-agent.sqlite'))
  try {
    await migrate(db, MIGRATIONS)
    const store = createAccountStore(db)
    const vault = createVault([ENCRYPTION_KEY])
    for (const { name, token = tokenOf(name), attempts = [], everyDays = 7, agoDays = 4, ...change } of accounts) {
      const accessToken =
        token === null ? null : vault.seal(new Secret(token), accountContext({ provider: 'instagram', name }, 'access_token'))
      const columns = { ...HEALTHY, username: name, ...change, accessToken }
      const row = { name, provider: 'instagram', state: 'active', ...columns, nextRefreshAt: columns.nextRefreshAt ?? null } as const
      await store.insert(row, { account: name, kind: 'created', actor: 'owner', outcome: 'ok', detail: null })
      const events = attempts.map((said, n) => ({
        id: `${name}-${String(n).padStart(3, '0')}`,
        kind: said === 'ok' ? 'refreshed' : 'refresh_failed',
        outcome: said === 'ok' ? 'ok' : 'failed',
        detail: said === 'ok' ? 'The token was refreshed; it is good for another 60 days.' : said,
        at: inDays(-agoDays - (attempts.length - 1 - n) * everyDays),
      }))
      await db.query(
        `insert into events (id, account, kind, actor, outcome, detail, at)
        select value ->> 'id', $1, value ->> 'kind', 'timer', value ->> 'outcome', value ->> 'detail', value ->> 'at' from json_each($2)`,
        [name, JSON.stringify(events)],
      )
    }
  } finally {
    await db.close()
  }
}

import { join } from 'node:path'
import type { AccountChange } from '../../src/core/account-store.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createVault } from '../../src/storage/vault.ts'
import { MIGRATIONS } from '../storage/engines.ts'

export const ENCRYPTION_KEY = 'the-key-of-the-accounts-of-these-tests'
const DAY_MS = 86_400_000

export interface Kept extends AccountChange {
  readonly name: string
  /** Null = it has none. */
  readonly token?: string | null
  /** Attempts, the oldest in front: `ok`, or the sentence of a failure; one every `everyDays`, the last `agoDays` ago. */
  readonly attempts?: readonly string[]
  readonly everyDays?: number
  readonly agoDays?: number
}

export const tokenOf = (name: string): string => `IGAA-${name}-${'x'.repeat(120)}`

export const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS)

/** A healthy account, a week into the life of its token. */
const HEALTHY: AccountChange = {
  providerUserId: '17841400000000001',
  state: 'active',
  issuedAt: inDays(-4),
  expiresAt: inDays(56),
  lastRefreshAt: inDays(-4),
  nextRefreshAt: inDays(3),
}

/** Puts accounts into the store of an agent that is not running yet: it is started in the same folder with ENCRYPTION_KEY. */
export async function keepAccounts(cwd: string, accounts: readonly Kept[]): Promise<void> {
  const db = await openSqlite(join(cwd, 'data/token-agent.sqlite'))
  try {
    await migrate(db, MIGRATIONS)
    const store = createAccountStore(db)
    const vault = createVault([ENCRYPTION_KEY])
    await db.query('begin')
    for (const { name, token = tokenOf(name), attempts = [], everyDays = 7, agoDays = 4, ...change } of accounts) {
      const accessToken = token === null ? null : vault.seal(new Secret(token), accountContext(name, 'access_token'))
      const columns = { ...HEALTHY, username: name, ...change, accessToken }
      await insert(db, store, name, columns)
      for (const [at, said] of attempts.entries()) {
        const when = inDays(-agoDays - (attempts.length - 1 - at) * everyDays)
        const [kind, outcome, detail] =
          said === 'ok'
            ? ['refreshed', 'ok', 'The token was refreshed; it is good for another 60 days.']
            : ['refresh_failed', 'failed', said]
        await db.query('insert into events (id, account, kind, actor, outcome, detail, at) values ($1, $2, $3, $4, $5, $6, $7)', [
          `${name}-${String(at).padStart(3, '0')}`,
          name,
          kind ?? '',
          'timer',
          outcome ?? '',
          detail ?? '',
          when,
        ])
      }
    }
    await db.query('commit')
  } finally {
    await db.close()
  }
}

async function insert(db: Database, store: ReturnType<typeof createAccountStore>, name: string, change: AccountChange): Promise<void> {
  const { nextRefreshAt = null, ...rest } = change
  await db.query('commit')
  await store.insert(
    { name, provider: 'instagram', state: 'active', ...rest, nextRefreshAt },
    { account: name, kind: 'created', actor: 'owner', outcome: 'ok', detail: null },
  )
  await db.query('begin')
}

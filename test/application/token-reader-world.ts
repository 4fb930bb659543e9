import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createTokenReader } from '../../src/application/read-token.ts'
import type { Account } from '../../src/domain/account.ts'
import type { AccountChange, AccountStore } from '../../src/domain/account-store.ts'
import type { RowCache } from '../../src/domain/row-cache.ts'
import { Secret } from '../../src/domain/secret.ts'
import { accountPlace } from '../../src/domain/vault.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'

const MIGRATIONS = join(import.meta.dirname, '../../migrations')
const DAY_MS = 86_400_000

export const digest = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 22)

/** A store with accounts in it, and as many readers on it as a test has instances. */
export async function createWorld(t: Test, open: () => Promise<Database> = () => openSqlite(':memory:')) {
  const db = await open()
  t.teardown(() => db.close().catch(() => {}))
  await migrate(db, MIGRATIONS)
  const store = createAccountStore(db)
  const vault = createVault([generateKey()])
  const seal = (name: string, token: string): string => vault.seal(new Secret(token), accountPlace(name, 'access_token'))
  const expiresIn = (ms: number): Date => new Date(store.now().getTime() + ms)

  async function find(name: string): Promise<Account> {
    const account = await store.find(name)
    if (account === null) throw new Error(`no account ${name}`)
    return account
  }

  return {
    db,
    store,
    vault,
    seal,
    expiresIn,
    find,
    async add(name: string, token: string | null, change: AccountChange = {}): Promise<Account> {
      const accessToken = token === null ? null : seal(name, token)
      const own = { providerUserId: '17841400000000001', accessToken, expiresAt: expiresIn(60 * DAY_MS), state: 'active' as const }
      const event = { account: name, kind: 'seeded', actor: 'cli', outcome: 'ok', detail: null } as const
      await store.insert({ name, provider: 'instagram', ...own, ...change }, event)
      return find(name)
    },
    /** As another process would do it: nobody is told. */
    async replace(name: string, token: string, change: AccountChange = {}): Promise<Account> {
      const event = { account: name, kind: 'replaced', actor: 'cli', outcome: 'ok', detail: null } as const
      const { version } = await find(name)
      await store.replace(name, version, { accessToken: seal(name, token), ...change }, event)
      return find(name)
    },
    /** One instance, with a clock of its own, whose way to the store can be watched, held up and cut. */
    instance({
      cache = null,
      maxSnapshots,
      realTime = false,
    }: {
      cache?: RowCache | null
      maxSnapshots?: number
      realTime?: boolean
    } = {}) {
      const way = { reads: 0, cut: false, gate: null as Promise<void> | null, shiftMs: 0 }
      const clock = { ms: 0 }
      const lines: string[] = []
      const watched: Pick<AccountStore, 'find' | 'now' | 'nowMs'> = {
        async find(name) {
          way.reads++
          await way.gate
          if (way.cut) throw new Error('connect ECONNREFUSED')
          return store.find(name)
        },
        now: () => new Date(store.now().getTime() + way.shiftMs),
        nowMs: () => store.nowMs() + way.shiftMs,
      }
      const reader = createTokenReader({
        store: watched,
        cache,
        vault,
        digest,
        constantName: 'InstagramToken',
        log: { info: (_, message) => void lines.push(message), warn: (_, message) => void lines.push(message) },
        ...(realTime ? {} : { clockMs: () => clock.ms }),
        ...(maxSnapshots === undefined ? {} : { maxSnapshots }),
      })
      return { reader, way, clock, lines, read: async (name: string) => (await reader.read(name)).text.content }
    },
  }
}

/** A promise to hold something up with. */
export function createGate(): { closed: Promise<void>; open: () => void } {
  let open = (): void => {}
  const closed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { closed, open: () => open() }
}

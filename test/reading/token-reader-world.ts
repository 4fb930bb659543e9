import { join } from 'node:path'
import type { Test } from 'tap'
import type { Account } from '../../src/core/account.ts'
import type { AccountChange, AccountStore, Look } from '../../src/core/account-store.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import type { RowCache } from '../../src/reading/row-cache.ts'
import { createSharedCache } from '../../src/reading/shared-cache.ts'
import type { Snapshot, TokenSnapshot } from '../../src/reading/snapshot.ts'
import { createTokenReader } from '../../src/reading/token-reader.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { createDatabaseClock } from '../../src/storage/database-clock.ts'
import { prepareInstallation } from '../../src/storage/installation.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'

const MIGRATIONS = join(import.meta.dirname, '../../migrations')
const DAY_MS = 86_400_000

/** A store with accounts in it, and as many readers on it as a test has instances. */
export async function createWorld(t: Test, open: () => Promise<Database> = () => openSqlite(':memory:'), keys = [generateKey()]) {
  const db = await open()
  t.teardown(() => db.close().catch(() => {}))
  await migrate(db, MIGRATIONS)
  await prepareInstallation(db, 'https://agent.example')
  const store = createAccountStore(db)
  const vault = createVault(keys)
  const seal = (name: string, token: string): string =>
    vault.seal(new Secret(token), accountContext({ provider: 'instagram', name }, 'access_token'))
  const expiresIn = (ms: number): Date => new Date(store.now().getTime() + ms)

  async function find(name: string): Promise<Account> {
    const account = await store.find(name)
    if (account === null) throw new Error(`no account ${name}`)
    return account
  }

  return {
    db,
    cacheId: (await store.look('default')).cacheId,
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
    async change(name: string, change: AccountChange): Promise<void> {
      await store.update(name, change, { account: name, kind: 'changed', actor: 'owner', outcome: 'ok', detail: null })
    },
    async remove(name: string): Promise<void> {
      await store.remove(name, { account: name, kind: 'removed', actor: 'owner', outcome: 'ok', detail: null })
    },
    /** One instance, with clocks of its own, whose way to the store can be watched, held up and cut. */
    instance({ cache = null, maxSnapshots, realTime = false, keys: ownKeys = keys, secondPutMs = 30 }: InstanceOptions = {}) {
      const way = { reads: 0, answers: 0, cut: false, gate: null as Promise<void> | null, shiftMs: 0, answer: null as Look | null }
      // Its own time, and by how much this machine's two clocks are off.
      const clock = { ms: 0, monotonicMs: 0, wallMs: 0 }
      const databaseClock = createDatabaseClock(
        () => performance.now() + clock.monotonicMs,
        () => Date.now() + clock.wallMs,
      )
      const own = createAccountStore(db, databaseClock)
      const lines: string[] = []
      const watched: Pick<AccountStore, 'look' | 'nowMs' | 'isClockSure'> = {
        async look(name) {
          way.reads++
          const { gate, answer } = way
          if (answer !== null) return answer
          // The answer is on its way while the gate is closed.
          const look = way.cut ? null : await own.look(name)
          way.answers++
          await gate
          if (look === null || way.cut) throw new Error('connect ECONNREFUSED')
          return look
        },
        nowMs: () => own.nowMs() + way.shiftMs,
        isClockSure: own.isClockSure,
      }
      const ownVault = createVault(ownKeys)
      const shared = cache === null ? null : createSharedCache({ cache, vault: ownVault, clock: watched, secondPutMs })
      const reader = createTokenReader({
        store: watched,
        shared,
        vault: ownVault,
        constantName: 'InstagramToken',
        log: { info: (_, message) => void lines.push(message), warn: (_, message) => void lines.push(message) },
        ...(realTime ? {} : { clockMs: () => clock.ms }),
        ...(maxSnapshots === undefined ? {} : { maxSnapshots }),
      })
      const snapshot = async (name: string | null) => opened(await reader.read(name))
      return { reader, shared, way, clock, lines, snapshot, read: async (name: string | null) => (await snapshot(name)).text.content }
    },
  }
}

interface InstanceOptions {
  cache?: RowCache | null
  maxSnapshots?: number
  realTime?: boolean
  keys?: string[]
  secondPutMs?: number
}

/** Throws why there is no token. */
function opened(snapshot: Snapshot): TokenSnapshot {
  if (snapshot.problem !== null) throw snapshot.problem
  return snapshot
}

/** A promise to hold something up with. */
export function createGate(): { closed: Promise<void>; open: () => void } {
  let open = (): void => {}
  const closed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { closed, open: () => open() }
}

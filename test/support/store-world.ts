import { seedConfigured } from '../../src/accounts/configured-seed.ts'
import type { SeedDeps } from '../../src/accounts/given-token.ts'
import { seedAccount } from '../../src/accounts/seed.ts'
import { type Account, DEFAULT_ACCOUNT, isServable } from '../../src/core/account.ts'
import type { AccountChange, AccountStore, Look } from '../../src/core/account-store.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createInstagram } from '../../src/providers/instagram/instagram.ts'
import { instagram as module } from '../../src/providers/instagram/module.ts'
import type { RowCache } from '../../src/reading/row-cache.ts'
import { createSharedCache } from '../../src/reading/shared-cache.ts'
import type { TokenSnapshot } from '../../src/reading/snapshot.ts'
import { createTokenReader } from '../../src/reading/token-reader.ts'
import { type CheckDeps, createLookCounters, createTokenChecks } from '../../src/refreshing/check-tokens.ts'
import type { RefreshPolicy } from '../../src/refreshing/next-refresh.ts'
import { createRateLimit, RATE_LIMITS } from '../../src/refreshing/rate-limit.ts'
import { createRefreshCounters } from '../../src/refreshing/refresh-account.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createUnsavedGrants } from '../../src/refreshing/unsaved-grant.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { createDatabaseClock } from '../../src/storage/database-clock.ts'
import { createInstallationStore, prepareInstallation } from '../../src/storage/installation.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createTimetable } from '../../src/storage/timetable.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import { MIGRATIONS } from './accounts.ts'
import { startInstagram } from './instagram.ts'
import type { Knobs } from './instagram-knobs.ts'
import type { Teardown } from './temp-folder.ts'

export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

const INSTANTS = ['issued_at', 'expires_at', 'last_refresh_at', 'next_refresh_at', 'refused_at', 'lease_until', 'attempt_started_at']
const LATER_INSTANTS = [...INSTANTS, 'connected_at', 'trusted_at', 'checked_at', 'next_check_at', 'doubted_at']

/** The accounts of a database, as another process reads and changes them. */
export function createAccounts(db: Database, keys: string[]) {
  const store = createAccountStore(db)
  const vault = createVault(keys)
  const seal = (name: string, token: string): string =>
    vault.seal(new Secret(token), accountContext({ provider: 'instagram', name }, 'access_token'))
  const event = (kind: 'seeded' | 'replaced' | 'changed' | 'removed', account: string) =>
    ({ account, kind, actor: 'cli', outcome: 'ok', detail: null }) as const
  async function account(name = DEFAULT_ACCOUNT): Promise<Account> {
    const found = await store.find(name)
    if (found === null) throw new Error(`There is no account ${name}.`)
    return found
  }
  return {
    store,
    vault,
    seal,
    account,
    /** The stored token in plain text. */
    token: async (name = DEFAULT_ACCOUNT) =>
      vault.open((await account(name)).accessToken ?? '', accountContext({ provider: 'instagram', name }, 'access_token')).reveal(),
    events: (name = DEFAULT_ACCOUNT) => store.events(name, 100),
    async add(name: string, token: string | null, change: AccountChange = {}): Promise<Account> {
      const accessToken = token === null ? null : seal(name, token)
      await store.insert({ name, provider: 'instagram', state: 'active', accessToken, ...change }, event('seeded', name))
      return account(name)
    },
    async replace(name: string, token: string, change: AccountChange = {}): Promise<Account> {
      const { version } = await account(name)
      await store.replace(name, version, { accessToken: seal(name, token), ...change }, event('replaced', name))
      return account(name)
    },
    change: (name: string, change: AccountChange) => store.update(name, change, event('changed', name)),
    remove: (name: string) => store.remove(name, event('removed', name)),
  }
}

interface Options {
  knobs?: Partial<Knobs>
  open?: () => Promise<Database>
  keys?: string[]
  timeoutMs?: number
  policy?: Partial<RefreshPolicy>
}

export type StoreWorld = Awaited<ReturnType<typeof createStoreWorld>>

/** In this process: a real store and vault, the strict stand-in for Instagram, the use cases, and a way to travel in time. */
export async function createStoreWorld(t: Teardown, options: Options = {}) {
  const { knobs = {}, open = () => openSqlite(':memory:'), keys = [generateKey()], timeoutMs = 10_000, policy = {} } = options
  const instagram = await startInstagram({ knobs })
  t.teardown(() => instagram.close())
  const db = await open()
  t.teardown(() => db.close().catch(() => {}))
  await migrate(db, MIGRATIONS)
  await prepareInstallation(db, 'https://agent.example')
  const accounts = createAccounts(db, keys)
  const { store, vault, account } = accounts
  const expiresIn = (ms: number): Date => new Date(store.now().getTime() + ms)
  const published: Account[] = []
  const lines: { details: object; message: string }[] = []
  let travelledMs = 0
  const clockMs = (): number => performance.now() + travelledMs
  const log = (details: object, message: string): void => void lines.push({ details, message })
  const deps: SeedDeps = {
    store,
    vault,
    providers: new Map([['instagram', { ...module, ...createInstagram({ graphUrl: instagram.url, timeoutMs }) }]]),
    policy: { mode: 'cron', frequency: 'weekly', random: () => 0.5, ...policy },
    leaseOwner: 'this process',
    async publish(name, unsaved) {
      published.push(unsaved ?? (await account(name)))
      return null
    },
    unsaved: createUnsavedGrants({ cache: null, vault, cacheId: async () => null }),
    copiedAt: async () => (await createInstallationStore(db).read())?.copiedAt ?? null,
    rateLimit: createRateLimit(RATE_LIMITS, clockMs),
    counters: createRefreshCounters(),
    secrets: { nameIn: () => null, nameOf: () => null },
    log: { info: log, warn: log },
  }
  async function set(column: string, value: string | number | Date | null, name = DEFAULT_ACCOUNT): Promise<void> {
    await db.query(`update accounts set ${column} = $1 where name = $2`, [value, name])
  }

  return {
    ...accounts,
    instagram,
    db,
    deps,
    published,
    lines,
    cacheId: (await store.look('default')).cacheId,
    expiresIn,
    set,
    /** With a token that an Instagram user has confirmed. */
    add: (name: string, token: string | null, change: AccountChange = {}) =>
      accounts.add(name, token, { providerUserId: '17841400000000001', expiresAt: expiresIn(60 * DAY_MS), ...change }),
    /** Another process on the same store. */
    process: (change: Partial<SeedDeps> = {}): SeedDeps => ({ ...deps, leaseOwner: 'another process', ...change }),
    seed: (token: string, name = DEFAULT_ACCOUNT) =>
      seedAccount(deps, { account: name, provider: 'instagram', token: new Secret(token), actor: 'cli', fingerprint: null }),
    /** The daily looks of a process that starts now. */
    checker(change: Partial<CheckDeps> = {}) {
      const looks = createLookCounters()
      const own: CheckDeps = { ...deps, timetable: createTimetable(db), events: store, looks, send: null, clockMs, ...change }
      return { looks, check: createTokenChecks(own, new AbortController().signal) }
    },
    /** STARTING_TOKEN at a start. */
    boot(token: string) {
      const fingerprint = `fingerprint of ${token.slice(-8)}`
      const seed = { variable: 'STARTING_TOKEN', account: 'default', provider: 'instagram', token: new Secret(token), fingerprint }
      return seedConfigured(deps, seed)
    },
    refresh: (force = false) => refreshDue(deps, { actor: 'timer', force }),
    isServed: async (name?: string) => isServable(await account(name), store.now()),
    /** Everything that is stored happened this much longer ago, and Instagram's clock goes on by as much. */
    async later(ms: number): Promise<void> {
      travelledMs += ms
      instagram.clock.advance(ms)
      const rows = await db.query<Record<string, Date | string | null>>(`select name, ${LATER_INSTANTS.join(', ')} from accounts`)
      for (const row of rows) {
        for (const column of LATER_INSTANTS) {
          const at = row[column]
          if (at) await set(column, new Date(new Date(at).getTime() - ms), String(row['name']))
        }
      }
    },
    /** The reader of one instance with its own clocks, whose queries can be counted, delayed and cut. */
    openReader(options: InstanceOptions = {}) {
      const {
        cache = null,
        maxSnapshots,
        isFast = false,
        keys: ownKeys = keys,
        secondPutMs = 30,
        timeoutMs = isFast ? undefined : 60_000,
      } = options
      const way = { reads: 0, answers: 0, cut: false, gate: null as Promise<void> | null, shiftMs: 0, answer: null as Look | null }
      // Its own time, corrected by the offset of this machine's two clocks.
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
          // A closed gate holds the answer back.
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
        constantNames: { instagram: 'InstagramToken' },
        providers: new Map([
          ['instagram', { renewal: 'self', isPublicSafe: (scopes) => scopes === null || scopes === 'instagram_business_basic' }],
        ]),
        log: { info: (_, message) => void lines.push(message), warn: (_, message) => void lines.push(message) },
        // Ten seconds in one: what a second brings, a test sees ten times in it.
        clockMs: () => (isFast ? performance.now() * 10 : clock.ms),
        timeoutMs,
        ...(maxSnapshots === undefined ? {} : { maxSnapshots }),
      })
      /** Throws the reason if there is no token. */
      async function snapshot(name: string | null): Promise<TokenSnapshot> {
        const found = await reader.read(name)
        if (found.problem !== null) throw found.problem
        return found
      }
      return { reader, shared, way, clock, lines, snapshot, read: async (name: string | null) => (await snapshot(name)).text.content }
    },
  }
}

interface InstanceOptions {
  cache?: RowCache | null
  maxSnapshots?: number
  /** Its clock goes on by itself, not by `clock.ms`. */
  isFast?: boolean
  keys?: string[]
  secondPutMs?: number
  /** By default the agent’s with `isFast`, and a minute without: on a busy machine any answer is late. */
  timeoutMs?: number | undefined
}

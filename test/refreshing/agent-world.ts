import type { Test } from 'tap'
import { type SeedDeps, type SeedResult, seedAccount, seedConfigured } from '../../src/accounts/seed.ts'
import { type Account, DEFAULT_ACCOUNT, isServable } from '../../src/core/account.ts'
import type { RecordedEvent } from '../../src/core/account-store.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createInstagram } from '../../src/providers/instagram/instagram.ts'
import { instagram as module } from '../../src/providers/instagram/module.ts'
import { type CheckDeps, createLookCounters, createTokenChecks } from '../../src/refreshing/check-tokens.ts'
import type { RefreshPolicy } from '../../src/refreshing/next-refresh.ts'
import { createRateLimit, RATE_LIMITS } from '../../src/refreshing/rate-limit.ts'
import { createRefreshCounters } from '../../src/refreshing/refresh-account.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createUnsavedGrants } from '../../src/refreshing/unsaved-grant.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createTimetable } from '../../src/storage/timetable.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import { MIGRATIONS } from '../storage/engines.ts'
import { type Instagram, startInstagram } from '../support/instagram.ts'
import type { Knobs } from '../support/instagram-knobs.ts'

export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

const INSTANTS = [
  'issued_at',
  'expires_at',
  'last_refresh_at',
  'next_refresh_at',
  'refused_at',
  'lease_until',
  'attempt_started_at',
  'connected_at',
  'trusted_at',
  'checked_at',
  'next_check_at',
  'doubted_at',
]

export interface World {
  readonly instagram: Instagram
  readonly db: Database
  readonly deps: SeedDeps
  readonly published: Account[]
  readonly lines: { details: object; message: string }[]
  /** Another process on the same store. */
  process(change?: Partial<SeedDeps>): SeedDeps
  seed(token: string, account?: string): Promise<SeedResult>
  /** The daily looks of a process that starts now. */
  checker(change?: Partial<CheckDeps>): { looks: CheckDeps['looks']; check: () => Promise<void> }
  /** STARTING_TOKEN at a start. */
  boot(token: string): Promise<SeedResult | null>
  refresh(force?: boolean): ReturnType<typeof refreshDue>
  account(name?: string): Promise<Account>
  /** The token itself, opened. */
  token(name?: string): Promise<string>
  isServed(name?: string): Promise<boolean>
  events(name?: string): Promise<RecordedEvent[]>
  set(column: string, value: string | number | Date | null, name?: string): Promise<void>
  /** Everything that is stored happened this much longer ago, and Instagram's clock goes on by as much. */
  later(ms: number): Promise<void>
}

interface Options {
  knobs?: Partial<Knobs>
  open?: () => Promise<Database>
  timeoutMs?: number
  policy?: Partial<RefreshPolicy>
}

/** The use cases on a real store and the strict stand-in for Instagram, and a way to travel in time. */
export async function createAgentWorld(t: Test, { knobs = {}, open, timeoutMs = 10_000, policy = {} }: Options = {}): Promise<World> {
  const instagram = await startInstagram({ knobs })
  t.teardown(() => instagram.close())
  const db = await (open ?? (() => openSqlite(':memory:')))()
  t.teardown(() => db.close().catch(() => {}))
  await migrate(db, MIGRATIONS)
  const store = createAccountStore(db)
  const vault = createVault([generateKey()])
  const published: Account[] = []
  const lines: World['lines'] = []
  let travelledMs = 0
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
    rateLimit: createRateLimit(RATE_LIMITS, () => performance.now() + travelledMs),
    counters: createRefreshCounters(),
    secrets: { nameIn: () => null, nameOf: () => null },
    log: { info: log, warn: log },
  }
  const account = async (name = DEFAULT_ACCOUNT): Promise<Account> => {
    const found = await store.find(name)
    if (found === null) throw new Error(`There is no account ${name}.`)
    return found
  }
  const set: World['set'] = async (column, value, name = DEFAULT_ACCOUNT) => {
    await db.query(`update accounts set ${column} = $1 where name = $2`, [value, name])
  }

  return {
    instagram,
    db,
    deps,
    published,
    lines,
    process: (change = {}) => ({ ...deps, leaseOwner: 'another process', ...change }),
    seed: (token, name = DEFAULT_ACCOUNT) =>
      seedAccount(deps, { account: name, provider: 'instagram', token: new Secret(token), actor: 'cli', fingerprint: null }),
    checker(change = {}) {
      const looks = createLookCounters()
      const clockMs = (): number => performance.now() + travelledMs
      const own: CheckDeps = { ...deps, timetable: createTimetable(db), events: store, looks, send: null, clockMs, ...change }
      return { looks, check: createTokenChecks(own, new AbortController().signal) }
    },
    boot: (token) =>
      seedConfigured(deps, {
        variable: 'STARTING_TOKEN',
        account: 'default',
        provider: 'instagram',
        token: new Secret(token),
        fingerprint: `fingerprint of ${token.slice(-8)}`,
      }),
    refresh: (force = false) => refreshDue(deps, { actor: 'timer', force }),
    account,
    async token(name = DEFAULT_ACCOUNT) {
      return vault.open((await account(name)).accessToken ?? '', accountContext(name, 'access_token')).reveal()
    },
    isServed: async (name) => isServable(await account(name), store.now()),
    events: (name = DEFAULT_ACCOUNT) => store.events(name, 100),
    set,
    async later(ms) {
      travelledMs += ms
      instagram.clock.advance(ms)
      const rows = await db.query<Record<string, Date | string | null>>(`select name, ${INSTANTS.join(', ')} from accounts`)
      for (const row of rows) {
        for (const column of INSTANTS) {
          const at = row[column]
          if (at) await set(column, new Date(new Date(at).getTime() - ms), String(row['name']))
        }
      }
    },
  }
}

import type { SeedDeps } from '../../src/accounts/given-token.ts'
import type { Alert, SendAlert } from '../../src/alerts/alert.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import { AppError } from '../../src/core/errors.ts'
import type { Vault } from '../../src/core/vault.ts'
import { createLookCounters, createTokenChecks } from '../../src/refreshing/check-tokens.ts'
import type { RefreshFrequency } from '../../src/refreshing/next-refresh.ts'
import { createRateLimit, RATE_LIMITS } from '../../src/refreshing/rate-limit.ts'
import { createRefreshCounters } from '../../src/refreshing/refresh-account.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createUnsavedGrants } from '../../src/refreshing/unsaved-grant.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { createDatabaseClock } from '../../src/storage/database-clock.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createTimetable } from '../../src/storage/timetable.ts'
import { MIGRATIONS } from '../storage/engines.ts'
import { channelsOn } from '../support/alert-channels.ts'
import { createVirtualClock } from '../support/virtual-clock.ts'
import type { Kind } from './kind.ts'
import { CRASH_ONCE_IN, HOUR_MS, type Host, type Script } from './script.ts'

/** How often the database goes away between the answer of a refresh and its commit, and for how long. */
const CUT_ONCE_IN = 500
const CUT_MS = 2 * HOUR_MS

export interface VirtualStore {
  readonly db: Database
  /** In milliseconds since 1970. */
  now(): number
  setNow(at: number): Promise<void>
}

/** The real embedded store by a clock that stands in a table: no door in the agent's code leads to it. */
export async function openVirtualStore(at: number): Promise<VirtualStore> {
  let atMs = at
  const sqlite = await openSqlite(':memory:')
  await migrate(sqlite, MIGRATIONS)
  const clock = await createVirtualClock(sqlite, new Date(at))
  return {
    db: clock.of(sqlite),
    now: () => atMs,
    setNow(to) {
      atMs = to
      return clock.set(new Date(to))
    },
  }
}

export interface Place {
  readonly kind: Kind
  readonly script: Script
  readonly host: Host
  readonly frequency: RefreshFrequency
  readonly store: VirtualStore
  readonly vault: Vault
  readonly random: () => number
  readonly send: SendAlert
}

export interface AgentProcess {
  readonly deps: SeedDeps
  readonly startedAt: number
  isDead(): boolean
  /** What the timer does each minute, as far as it is due. Resolves also where the process dies in it. */
  tick(due: { readonly refresh: boolean; readonly look: boolean; readonly alert: boolean }): Promise<void>
}

/** One process of the agent, wired as src/agent.ts wires it. */
export function startProcess({ kind, script, host, frequency, store, vault, random, send }: Place): AgentProcess {
  const startedAt = store.now()
  let isDead = false
  let isCut = false
  /** By account, the tokens whose refresh was answered last. */
  const uncommitted = new Map<string, string>()
  let die: () => void
  const death = new Promise<void>((resolve) => {
    die = resolve
  })

  const db: Database = {
    ...store.db,
    // Nothing that a dead process asks is ever answered.
    query: (sql, params) => (isDead ? new Promise(() => {}) : store.db.query(sql, params)),
    async transaction(work) {
      if (isDead) return new Promise(() => {})
      if (!isCut) return store.db.transaction(work)
      isCut = false
      await store.setNow(store.now() + CUT_MS)
      throw new AppError('unavailable', 'The database is away.')
    },
  }

  const provider = kind.provider(async (path, token) => {
    if (isDead) return new Promise(() => {})
    const answer = kind.answer(host, path, token, store.now())
    if (path !== kind.refreshPath || answer?.status !== 200) return answer
    const { name } = kind.grantOf(token).account
    uncommitted.set(name, token)
    if (script.happens('crash', name, store.now(), CRASH_ONCE_IN * kind.rarity)) {
      for (const lost of uncommitted.values()) kind.lose(lost, store.now())
      isDead = true
      die()
      return new Promise(() => {})
    }
    isCut = script.happens('cut', name, store.now(), CUT_ONCE_IN * kind.rarity)
    return answer
  })
  const accounts = createAccountStore(db, createDatabaseClock(store.now, store.now))
  const log = { info: () => {}, warn: () => {} }
  const deps: SeedDeps = {
    store: accounts,
    vault,
    providers: new Map([[provider.name, provider]]),
    policy: { mode: 'cron', frequency, random },
    leaseOwner: `process of ${startedAt}`,
    secrets: { nameIn: () => null, nameOf: () => null },
    publish: async (name) => void uncommitted.delete(name),
    unsaved: createUnsavedGrants({ cache: null, vault, cacheId: async () => null }),
    // Time stands still within a tick: nothing may wait for it to pass.
    copiedAt: async () => null,
    rateLimit: createRateLimit({ ...RATE_LIMITS, burst: 10_000 }, store.now),
    counters: createRefreshCounters(),
    clockMs: store.now,
    log,
  }
  const webhook = async (alerts: readonly Alert[]): Promise<void> => {
    for (const alert of alerts) await send(alert)
  }
  const channels = channelsOn(db, { webhook }, { clockMs: store.now })
  const looks = createLookCounters()
  const check = createTokenChecks({ ...deps, timetable: createTimetable(db), events: accounts, looks, send }, new AbortController().signal)

  const work: AgentProcess['tick'] = async ({ refresh, look, alert }) => {
    if (refresh) await refreshDue(deps, { actor: 'timer' })
    if (look) await check()
    if (alert) await sendAlerts({ alerts: createAlertStore(db), channels, log, clockMs: store.now })
  }
  return { deps, startedAt, isDead: () => isDead, tick: (due) => Promise.race([work(due), death]) }
}

import t from 'tap'
import { type SeedDeps, seedAccount } from '../../src/accounts/seed.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import { Secret } from '../../src/core/secret.ts'
import { createInstagram } from '../../src/providers/instagram/instagram.ts'
import { instagram } from '../../src/providers/instagram/module.ts'
import { createLookCounters, createTokenChecks } from '../../src/refreshing/check-tokens.ts'
import type { RefreshFrequency } from '../../src/refreshing/next-refresh.ts'
import { createRateLimit } from '../../src/refreshing/rate-limit.ts'
import { createRefreshCounters } from '../../src/refreshing/refresh-account.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createUnsavedGrants } from '../../src/refreshing/unsaved-grant.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createTimetable } from '../../src/storage/timetable.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import { MIGRATIONS } from '../storage/engines.ts'
import { channelsOn, into } from '../support/alert-channels.ts'
import { graphError } from '../support/instagram-faults.ts'
import { createGraph, Refusal } from '../support/instagram-graph.ts'
import { DEFAULT_KNOBS } from '../support/instagram-knobs.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../support/store-world.ts'

const START = Date.parse('2026-11-25T08:00:00Z')
const YEARS = 5
/** The timer ticks once a minute. */
const TICK_MS = MINUTE_MS

/** The real embedded store with a virtual clock in a table. */
async function openAt(at: Date): Promise<{ db: Database; setClock(at: Date): Promise<void> }> {
  const sqlite = await openSqlite(':memory:')
  await migrate(sqlite, MIGRATIONS)
  await sqlite.query('create table virtual_clock (at text not null)')
  await sqlite.query('insert into virtual_clock values ($1)', [at])
  const now = '(select at from virtual_clock)'
  const nowPlus = (seconds: string): string => `strftime('%Y-%m-%dT%H:%M:%fZ', ${now}, ${seconds} || ' seconds')`
  return {
    db: { ...sqlite, dialect: { ...sqlite.dialect, now, nowPlus } },
    setClock: async (to) => void (await sqlite.query('update virtual_clock set at = $1', [to])),
  }
}

for (const frequency of ['daily', 'weekly', 'monthly'] satisfies RefreshFrequency[]) {
  t.test(`in five years of ${frequency} refreshes each token that its user ended is alerted within 26 hours`, async (t) => {
    let nowMs = START
    const { db, setClock } = await openAt(new Date(nowMs))
    const graph = createGraph(
      () => nowMs,
      { ...DEFAULT_KNOBS },
      () => ({}),
    )
    const calls = { '/me': 0, '/refresh_access_token': 0 }
    // The stand-in's rules without its server: five years are ten thousand calls.
    const fetch = async (address: string | URL | Request): Promise<Response> => {
      const { pathname, searchParams } = new URL(address as URL)
      const ask = pathname === '/me' ? graph.me : graph.refresh
      calls[pathname as keyof typeof calls]++
      try {
        const { status, body } = ask(searchParams)
        return new Response(body.toString(), { status })
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        const { status, body } = graphError({ kind: 'graph', code: error.code, message: error.message })
        return new Response(body.toString(), { status })
      }
    }
    const store = createAccountStore(db)
    const vault = createVault([generateKey()])
    const log = { info: () => {}, warn: () => {} }
    const deps: SeedDeps = {
      store,
      vault,
      providers: new Map([['instagram', { ...instagram, ...createInstagram({ graphUrl: 'https://graph.example', fetch }) }]]),
      policy: { mode: 'cron', frequency, random: Math.random },
      leaseOwner: 'this process',
      secrets: { nameIn: () => null, nameOf: () => null },
      publish: async () => null,
      unsaved: createUnsavedGrants({ cache: null, vault, cacheId: async () => null }),
      rateLimit: createRateLimit({ concurrency: 1, perSecond: 1e6, burst: 100 }),
      counters: createRefreshCounters(),
      log,
    }
    const looks = createLookCounters()
    const clockMs = (): number => nowMs
    const check = createTokenChecks(
      { ...deps, timetable: createTimetable(db), events: store, looks, send: null, clockMs },
      new AbortController().signal,
    )
    const alerts: Alert[] = []
    const channels = channelsOn(db, { webhook: into(alerts) }, { clockMs })
    const seed = async (): Promise<string> => {
      const token = graph.issue({ userId: '17841400000000001', ageSeconds: 2 * 86_400 })
      await seedAccount(deps, { account: 'default', provider: 'instagram', token: new Secret(token), actor: 'cli', fingerprint: null })
      return token
    }
    await seed()
    let endAt = nowMs + 10 * DAY_MS
    let endedAt: number | null = null
    const noticedMs: number[] = []
    while (nowMs < START + YEARS * 365 * DAY_MS) {
      const [row] = await db.query<Record<string, string | null>>('select next_refresh_at, next_check_at, alert_at from accounts')
      const due = ['next_refresh_at', 'next_check_at', 'alert_at'].flatMap((column) => (row?.[column] ? [Date.parse(row[column])] : []))
      nowMs = Math.max(nowMs + TICK_MS, Math.min(...due, endAt) + TICK_MS)
      await setClock(new Date(nowMs))
      if (endedAt === null && nowMs >= endAt) {
        for (const held of graph.tokens.values()) graph.end(held, 'revoked')
        endedAt = nowMs
        endAt = Number.POSITIVE_INFINITY
      }
      await refreshDue(deps, { actor: 'timer' })
      await check()
      await sendAlerts({ alerts: createAlertStore(db), channels, log, clockMs })
      if (endedAt !== null && alerts.at(-1)?.event === 'person_needed') {
        noticedMs.push(nowMs - endedAt)
        graph.tokens.clear()
        await seed()
        alerts.length = 0
        endedAt = null
        // At varying hours and distances from a refresh.
        endAt = nowMs + (3 + (noticedMs.length % 40)) * DAY_MS + ((noticedMs.length * 7) % 24) * HOUR_MS
      }
    }
    const days = (nowMs - START) / DAY_MS
    const longest = Math.max(...noticedMs) / HOUR_MS
    t.comment(
      `${noticedMs.length} ends, noticed after ${longest.toFixed(1)} h at most; ${calls['/me']} looks, ${calls['/refresh_access_token']} refreshes`,
    )
    t.ok(noticedMs.length > 50)
    t.ok(longest <= 26, `${longest.toFixed(1)} h`)
    t.ok(looks.works + looks.refused <= days, 'at most one look a day')
    if (frequency === 'daily') t.ok(looks.works < days / 20, 'hardly any with daily refreshes')
    t.equal(looks.held, 0)
    await db.close()
  })
}

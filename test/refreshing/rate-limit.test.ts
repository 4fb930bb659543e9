import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Provider } from '../../src/core/provider.ts'
import { nextRefreshAt } from '../../src/refreshing/next-refresh.ts'
import { createRateLimit } from '../../src/refreshing/rate-limit.ts'
import { createRefreshCounters } from '../../src/refreshing/refresh-account.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { sweep } from '../../src/refreshing/sweep.ts'
import { createStoreWorld, DAY_MS, type StoreWorld } from '../support/store-world.ts'

const LIMITS = { concurrency: 4, perSecond: 10, burst: 20 }

t.test('permits a burst, then a fixed number a second, and saves at most a burst', async (t) => {
  let now = 0
  const rateLimit = createRateLimit(LIMITS, () => now)
  const permits = (provider: string): number => {
    let count = 0
    while (rateLimit.take(provider)) count++
    return count
  }
  t.equal(permits('instagram'), 20)
  t.equal(permits('another'), 20, 'each provider has its own limit')
  now += 99
  t.equal(permits('instagram'), 0)
  now += 901
  t.equal(await rateLimit.permits('instagram', 8), 8)
  t.equal(await rateLimit.permits('instagram', 8), 2)
  now += 3_600_000
  t.equal(permits('instagram'), 20)
})

t.test('waits for permits are in turn, and end with none where the provider is paused meanwhile', async (t) => {
  const now = 0
  const rateLimit = createRateLimit({ concurrency: 4, perSecond: 20, burst: 2 }, () => now)
  const startedAt = performance.now()
  t.strictSame(await Promise.all([4, 4, 4].map((wanted) => rateLimit.permits('instagram', wanted))), [2, 1, 1])
  t.ok(performance.now() - startedAt >= 98, 'two more than the burst, at twenty a second')
  t.notOk(rateLimit.take('instagram'), 'an awaited permit is taken')
  const waiting = rateLimit.permits('instagram', 1)
  rateLimit.pause('instagram', 60)
  t.equal(await waiting, 0)
})

t.test('pauses as long as the provider asks, a minute by default, an hour at most', async (t) => {
  for (const [asked, seconds] of [
    [120, 120],
    [null, 60],
    [1e6, 3600],
  ] as const) {
    let now = 0
    const rateLimit = createRateLimit(LIMITS, () => now)
    rateLimit.pause('instagram', asked)
    now = seconds * 1000 - 1
    t.notOk(rateLimit.take('instagram'))
    t.equal(await rateLimit.permits('instagram', 1), 0)
    t.ok(rateLimit.take('another'))
    now++
    t.equal(await rateLimit.permits('instagram', 1), 1)
  }
})

async function worldWith(t: Test, amount: number): Promise<StoreWorld> {
  const world = await createStoreWorld(t)
  for (let n = 0; n < amount; n++) await world.seed(world.instagram.issue(), `shop-${n}`)
  await world.later(8 * DAY_MS)
  world.instagram.calls.length = 0
  return world
}
const refreshes = ({ instagram }: StoreWorld) => instagram.calls.filter(({ path }) => path === '/refresh_access_token')

t.test('a sweep calls no faster than its rate limit, and each provider has its turn', async (t) => {
  const world = await worldWith(t, 12)
  const rateLimit = createRateLimit({ concurrency: 4, perSecond: 20, burst: 2 })
  const startedAt = performance.now()
  t.match(await refreshDue({ ...world.deps, rateLimit }, { actor: 'timer' }), { refreshed: 12, failed: 0 })
  t.ok(performance.now() - startedAt >= 490, 'ten more than the burst, at twenty a second')
})

t.test('the number of concurrent calls is limited', async (t) => {
  const world = await worldWith(t, 12)
  world.instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 100 })
  await refreshDue({ ...world.deps, rateLimit: createRateLimit({ concurrency: 3, perSecond: 1000, burst: 1000 }) }, { actor: 'timer' })
  const calls = refreshes(world)
  t.equal(calls.length, 12)
  const together = calls.map(
    (call) => calls.filter((other) => other.startedAt <= call.startedAt && (other.endedAt ?? 0) > call.startedAt).length,
  )
  t.ok(Math.max(...together) <= 3, String(together))
})

t.test('after a limit of all calls no account is called until it is over', async (t) => {
  const world = await worldWith(t, 12)
  let now = 0
  const deps = { ...world.deps, rateLimit: createRateLimit({ concurrency: 1, perSecond: 1000, burst: 1000 }, () => now) }
  world.instagram.fail('/refresh_access_token', 'tooMany', 1)
  t.match(await refreshDue(deps, { actor: 'timer' }), { refreshed: 0, failed: 1 })
  now += 119_000
  t.match(await refreshDue(deps, { actor: 'timer' }), { refreshed: 0, failed: 0 })
  t.equal(refreshes(world).length, 1)
  t.match(await refreshDue(deps, { actor: 'cli', account: 'shop-7' }), { refreshed: 1 }, 'a refresh by name is not delayed')
  now += 2_000
  t.match(await refreshDue(deps, { actor: 'timer' }), { refreshed: 10, failed: 0 })
})

t.test('after an unexpected failure what runs ends, nothing new begins, and the failure is thrown', async (t) => {
  const left = ['long', 'broken', 'next']
  const [begun, ended] = [[] as string[], [] as string[]]
  const queue = {
    name: 'instagram',
    claim: async (limit: number) => left.splice(0, limit),
    run: async (one: string) => {
      begun.push(one)
      if (one === 'broken') throw new Error('a mistake of ours')
      await sleep(20)
      ended.push(one)
    },
  }
  await t.rejects(sweep(createRateLimit({ ...LIMITS, concurrency: 2 }), [queue]), { message: 'a mistake of ours' })
  t.strictSame([begun, ended], [['long', 'broken'], ['long']])
})

t.test('the limit of one account delays no other', async (t) => {
  const world = await worldWith(t, 6)
  world.instagram.fail('/refresh_access_token', 'businessLimit', 1)
  const deps = { ...world.deps, rateLimit: createRateLimit({ ...LIMITS, concurrency: 1 }) }
  t.match(await refreshDue(deps, { actor: 'timer' }), { refreshed: 5, failed: 1 })
})

t.test('the longest overdue come first, and a failing account delays none', async (t) => {
  const world = await worldWith(t, 5)
  const order = [3, 1, 4, 0, 2]
  for (const [place, n] of order.entries()) await world.set('next_refresh_at', new Date(Date.now() - (10 - place) * 60_000), `shop-${n}`)
  world.instagram.fail('/refresh_access_token', 'serviceTrouble', 1)
  const { results } = await refreshDue({ ...world.deps, rateLimit: createRateLimit({ ...LIMITS, concurrency: 1 }) }, { actor: 'timer' })
  t.strictSame(
    results.map(({ account }) => account),
    order.map((n) => `shop-${n}`),
  )
  t.equal(results[0]?.outcome, 'failed')
})

t.test('a paused, slow or unknown provider delays no other', async (t) => {
  const world = await worldWith(t, 4)
  await world.db.query("update accounts set provider = 'other' where name = 'shop-0'")
  await world.db.query("update accounts set provider = 'unheard-of' where name = 'shop-1'")
  const other = { ...(world.deps.providers.get('instagram') as Provider), name: 'other' }
  const deps = { ...world.deps, counters: createRefreshCounters(), providers: new Map([...world.deps.providers, ['other', other]]) }
  deps.rateLimit.pause('other', 60)
  const { results } = await refreshDue(deps, { actor: 'timer' })
  t.strictSame(results.map(({ account, outcome }) => `${account} ${outcome}`).sort(), [
    'shop-1 failed',
    'shop-2 refreshed',
    'shop-3 refreshed',
  ])
  t.match(results.find(({ account }) => account === 'shop-1')?.message, /does not know the provider/)
  t.strictSame(deps.counters, { refreshed: 2, verified: 0, failed: 1, lost: 0 })
})

t.test('a hundred thousand accounts seeded at once do not become due at once', async (t) => {
  const now = new Date()
  const history = {
    issuedAt: now,
    expiresAt: new Date(now.getTime() + 60 * DAY_MS),
    refused: false,
    failureCount: 0,
    retryAfterSeconds: null,
    minimumAgeSeconds: 86_400,
  }
  const perMinute = new Map<number, number>()
  for (let n = 0; n < 100_000; n++) {
    const minute = Math.floor(nextRefreshAt(history, { mode: 'cron', frequency: 'monthly', random: Math.random }, now).getTime() / 60_000)
    perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1)
  }
  t.ok(perMinute.size >= 10)
  t.ok(Math.max(...perMinute.values()) < 11_000, 'accounts due in the same minute wait for their turn')
})

t.test('each attempt is one log line with the id of its request', async (t) => {
  const world = await worldWith(t, 2)
  world.instagram.fail('/refresh_access_token', 'serviceTrouble', 1)
  await refreshDue({ ...world.deps, rateLimit: createRateLimit({ ...LIMITS, concurrency: 1 }) }, { actor: 'webhook', reqId: 'req-7' })
  const lines = world.lines.filter(({ details }) => 'reqId' in details && details.reqId === 'req-7')
  t.match(lines, [
    { details: { account: /shop/, actor: 'webhook', outcome: 'failed', durationMs: Number, nextRefreshAt: Date, attempt: String } },
    { details: { account: /shop/, actor: 'webhook', outcome: 'refreshed', durationMs: Number, nextRefreshAt: Date, attempt: String } },
  ])
})

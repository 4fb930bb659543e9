import t, { type Test } from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { fractionOf } from '../../src/refreshing/next-refresh.ts'
import { createRateLimit } from '../../src/refreshing/rate-limit.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createTimetable } from '../../src/storage/timetable.ts'
import { eachEngine } from '../storage/engines.ts'
import { oldRelease } from '../support/old-release.ts'
import { createStoreWorld, DAY_MS, HOUR_MS, MINUTE_MS, type StoreWorld } from '../support/store-world.ts'
import { waitFor } from '../support/wait-for.ts'
import { openVirtualStore } from '../years/agent-process.ts'

type Options = Parameters<typeof createStoreWorld>[1]

/** Accounts a day after their last refresh, with the next one far off. */
async function dayAfter(t: Test, options: Options = {}, names = ['default']) {
  const world = await createStoreWorld(t, { policy: { frequency: 'monthly' }, ...options })
  for (const name of names) await world.seed(world.instagram.issue(), name)
  await world.later(DAY_MS + 21 * MINUTE_MS)
  return world
}

const looksAt = (world: StoreWorld): number => world.instagram.counts['/me'] ?? 0

eachEngine(t, 'each token has one look a day, and its next refresh stays', async (t, engine) => {
  const world = await dayAfter(t, { open: () => engine.open() }, ['default', 'shop'])
  const { looks, check } = world.checker()
  const before = looksAt(world)
  const { nextRefreshAt } = await world.account('shop')
  for (let hour = 0; hour < 49; hour++) {
    await check()
    await world.later(HOUR_MS)
  }
  t.equal(looksAt(world) - before, 4, 'two accounts, two days')
  t.match(looks, { works: 4, refused: 0, failed: 0, held: 0, lost: 0 })
  const after = await world.account('shop')
  t.equal(after.nextRefreshAt?.getTime(), (nextRefreshAt?.getTime() ?? 0) - 49 * HOUR_MS, 'the same instant, two days nearer')
  t.ok(after.checkedAt)
  t.equal((await world.events('shop')).length, 2, 'a successful look is no event')
})

t.test('with daily refreshes there is no look', async (t) => {
  const world = await createStoreWorld(t, { policy: { frequency: 'daily' } })
  await world.seed(world.instagram.issue())
  const { looks, check } = world.checker()
  for (let minutes = 0; minutes < 73 * 60; minutes += 20) {
    await world.later(20 * MINUTE_MS)
    await world.refresh()
    await check()
  }
  t.match(looks, { works: 0 })
  t.match(await world.account(), { version: 5 }, 'three refreshes in three days')
})

eachEngine(t, 'a look notices a revoked token, and the refresh decides', async (t, engine) => {
  const world = await dayAfter(t, { open: () => engine.open() })
  world.instagram.revoke(await world.token())
  const { looks, check } = world.checker()
  await check()
  t.match(looks, { refused: 1, works: 0 })
  t.match(
    await world.account(),
    { state: 'active', failureCount: 0, refusedAt: null, lastErrorCode: null },
    'a refused look is not one of the two refusals',
  )
  t.match(await world.refresh(), { failed: 1 }, 'the refresh is due at once')
  t.match(await world.account(), { state: 'active', failureCount: 1 })
  await world.later(12 * MINUTE_MS)
  await world.refresh()
  t.match(await world.account(), { state: 'reconnect' })
  await world.later(2 * DAY_MS)
  await check()
  t.match(looks, { refused: 1 }, 'a refused account has its daily refresh instead')
  t.match(await world.refresh(), { failed: 1 })
})

t.test('a deauthorized account keeps its daily refresh, and recovers by it', async (t) => {
  const world = await dayAfter(t)
  await world.set('state', 'reconnect')
  await world.set('next_refresh_at', new Date(Date.now() - 1000))
  t.match(await world.refresh(), { refreshed: 1 })
  t.match(await world.account(), { state: 'active' })
})

t.test('another user in the answer counts as a refusal and changes nothing', async (t) => {
  const world = await dayAfter(t)
  const before = await world.account()
  world.instagram.issue({ userId: '17841400000009999', username: 'stranger' })
  world.instagram.knobs.profileUser = '17841400000009999'
  const { looks, check } = world.checker()
  await check()
  t.match(looks, { refused: 1 })
  t.match(await world.account(), { providerUserId: before.providerUserId, username: before.username })
  world.instagram.knobs.profileUser = null
  t.match(await world.refresh(), { refreshed: 1 }, 'once: the refresh succeeds')
})

t.test('any other error only moves the next look', async (t) => {
  for (const [fault, hours] of [
    ['html502', 1],
    ['reset', 1],
    ['truncated', 1],
    ['userLimit', 1],
    ['noPermission', 24],
    ['unheardOf', 24],
  ] as const) {
    const world = await dayAfter(t)
    world.instagram.fail('/me', fault)
    const before = await world.account()
    const { looks, check } = world.checker()
    await check()
    t.match(looks, { failed: 1 }, fault)
    const { nextCheckAt, ...after } = await world.account()
    const { nextCheckAt: _, ...same } = before
    t.same(after, same, fault)
    t.equal(Math.round(((nextCheckAt?.getTime() ?? 0) - Date.now()) / HOUR_MS), hours, fault)
    t.equal((await world.events()).length, 2)
  }
})

t.test('paused, token-less, unreadable and soon refreshed accounts have no look', async (t) => {
  const world = await dayAfter(t)
  const before = looksAt(world)
  const { looks, check } = world.checker()
  const { accessToken, nextRefreshAt } = await world.account()
  for (const [column, value, back] of [
    ['paused_at', new Date(), null],
    ['access_token', null, accessToken],
    ['access_token', 'v1.otherkey.AAAA.AAAA', accessToken],
    ['state', 'unverified', 'active'],
    ['next_refresh_at', new Date(Date.now() + 30_000), nextRefreshAt],
  ] as const) {
    await world.set(column, value)
    await world.set('next_check_at', new Date(Date.now() - 1000))
    await check()
    await world.set(column, back)
  }
  t.equal(looksAt(world), before)
  await world.set('next_check_at', new Date(Date.now() - 1000))
  await check()
  t.match(looks, { works: 1 })
})

eachEngine(t, 'a refresh does not wait for a look, and its result counts', async (t, engine) => {
  const world = await dayAfter(t, { open: () => engine.open() })
  world.instagram.fail('/me', { kind: 'slowAnswer', ms: 600 }, 1)
  const { looks, check } = world.checker()
  const before = looksAt(world)
  const looking = check()
  await waitFor('the look', () => looksAt(world) > before)
  t.match(await refreshDue(world.process(), { actor: 'owner', account: 'default', force: true }), { refreshed: 1 })
  const after = await world.account()
  await looking
  t.match(looks, { lost: 1 })
  t.same(await world.account(), after)
})

t.test('a look that ends late does not end the lease of a refresh by the same process', async (t) => {
  const world = await dayAfter(t)
  const timetable = createTimetable(world.db)
  const { leaseOwner } = world.deps
  const [check] = await timetable.claimChecks({ leaseOwner, leaseSeconds: 20, provider: 'instagram', limit: 1 })
  const [claim] = await world.deps.store.claimDue({ leaseOwner, leaseSeconds: 40, limit: 1, account: 'default', force: true })
  if (check === undefined || claim === undefined) throw new Error('nothing was claimed')
  t.notOk(await timetable.settleCheck(check, { nextCheckAt: new Date() }))
  t.strictSame(await world.deps.store.claimDue({ leaseOwner: 'another', leaseSeconds: 40, limit: 1, account: 'default', force: true }), [])
})

eachEngine(t, 'eight instances look at each token once', async (t, engine) => {
  const names = Array.from({ length: 20 }, (_, n) => `shop-${n}`)
  const world = await dayAfter(t, { open: () => engine.open() }, names)
  const before = looksAt(world)
  const instances = Array.from({ length: 8 }, (_, n) => world.checker({ leaseOwner: `instance ${n}` }))
  for (let round = 0; round < 3; round++) await Promise.all(instances.map(({ check }) => check()))
  t.equal(looksAt(world) - before, names.length)
})

t.test(
  'where more than a tenth of the last fifty looks are refused it is the provider’s trouble: one alert, and no account is judged',
  async (t) => {
    const names = Array.from({ length: 40 }, (_, n) => `shop-${n}`)
    const rateLimit = createRateLimit({ concurrency: 1, perSecond: 10_000, burst: 100 })
    const world = await dayAfter(t, {}, names)
    world.instagram.fail('/me', 'tokenDead')
    const alerts: Alert[] = []
    let isDown = true
    const send = async (alert: Alert) => {
      if (isDown) throw new Error('the webhook is down')
      alerts.push(alert)
    }
    const { looks, check } = world.checker({ rateLimit, send })
    const other = world.checker({ rateLimit, send })
    await check()
    t.match(looks, { refused: 5, held: 35 })
    isDown = false
    world.instagram.heal()
    t.match(await world.refresh(), { refreshed: 5, failed: 0 }, 'a refresh of the five succeeds')
    world.instagram.fail('/me', 'tokenDead')
    for (const { name } of await world.deps.store.list()) await world.set('next_check_at', new Date(Date.now() - 1000), name)
    await other.check()
    await check()
    t.match(alerts, [{ event: 'provider_trouble', message: /tenth of the last 50/ }])
    t.equal((await world.deps.store.events(null, 10)).filter(({ kind }) => kind === 'provider_trouble').length, 1)
    t.equal((await world.deps.store.list()).filter(({ state }) => state !== 'active').length, 0)

    // The trouble is over, and one user has ended a token in it.
    world.instagram.heal()
    world.instagram.revoke(await world.token('shop-39'))
    const waits = (await world.deps.store.list()).map(({ nextCheckAt }) => (nextCheckAt?.getTime() ?? 0) - Date.now())
    t.equal(waits.filter((ms) => ms < 1.01 * HOUR_MS).length, 30, 'a look that was held is made again after an hour')
    for (let hour = 0; hour < 2; hour++) {
      await world.later(HOUR_MS + MINUTE_MS)
      await other.check()
    }
    t.ok(((await world.account('shop-39')).nextRefreshAt?.getTime() ?? 0) <= Date.now(), 'and the token that ended is judged')
  },
)

eachEngine(t, 'an upgrade of many accounts spreads the first looks over a day', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open(), policy: { frequency: 'monthly' } })
  const count = 3000
  await insertMany(world, count, { issuedAt: new Date(Date.now() - 10 * DAY_MS), nextRefreshAt: new Date(Date.now() + 20 * DAY_MS) })
  const { check } = world.checker({ providers: new Map() })
  await check()
  const planned = (await world.deps.store.list()).map(({ nextCheckAt }) => ((nextCheckAt?.getTime() ?? 0) - Date.now()) / HOUR_MS)
  const byHour = Array.from({ length: 24 }, (_, hour) => planned.filter((at) => Math.floor(at) === hour).length)
  t.ok(Math.min(...planned) > -0.1 && Math.max(...planned) < 24)
  t.ok(
    byHour.every((looks) => looks > count / 24 / 2 && looks < (count / 24) * 1.5),
    byHour.join(' '),
  )
  const again = (await world.account('shop-7')).nextCheckAt
  await world.checker({ providers: new Map() }).check()
  t.same((await world.account('shop-7')).nextCheckAt, again, 'a second start moves none')
})

t.test('a look is skipped after a refresh by an older release', async (t) => {
  const world = await dayAfter(t)
  await world.set('last_refresh_at', new Date(Date.now() - HOUR_MS))
  const before = looksAt(world)
  const { check } = world.checker()
  await check()
  t.equal(looksAt(world), before)
  const { nextCheckAt } = await world.account()
  t.equal(Math.round(((nextCheckAt?.getTime() ?? 0) - Date.now()) / HOUR_MS), 23)
})

eachEngine(
  t,
  'the release before beside this one neither takes a token that is looked at, nor loses its own work to a look',
  async (t, engine) => {
    const world = await dayAfter(t, { open: () => engine.open() })
    const { load } = oldRelease(t)
    const { createAccountStore } = await load<typeof import('../../src/storage/account-store.ts')>('storage/account-store.ts')
    const old = createAccountStore(world.db)
    // The release before calls it owner.
    const force = { owner: 'the release before', leaseOwner: '', leaseSeconds: 40, limit: 1, account: 'default', force: true }
    const timetable = createTimetable(world.db)
    const claim = () => timetable.claimChecks({ leaseOwner: 'this', leaseSeconds: 20, provider: 'instagram', limit: 5 })
    const [check] = await claim()
    if (check === undefined) throw new Error('nothing was due')
    t.strictSame(await old.claimDue(force), [])
    await world.later(21_000)
    const [taken] = await old.claimDue(force)
    if (taken === undefined) throw new Error('the lease of a look never ends')
    t.notOk(await timetable.settleCheck(check, { nextCheckAt: new Date(), refused: true }), 'a late look changes nothing')
    const event = { account: 'default', kind: 'refresh_failed', actor: 'timer', outcome: 'failed', detail: null } as const
    t.ok(await old.commit(taken, { failureCount: 1, lastErrorCode: 'transient', nextRefreshAt: new Date(Date.now() + DAY_MS) }, event))
    await old.insert(
      { name: 'its-own', provider: 'instagram', state: 'active', accessToken: 'v1.a', nextRefreshAt: null },
      { ...event, account: 'its-own' },
    )
    await world.checker().check()
    t.ok((await world.account('its-own')).nextCheckAt, 'its accounts have looks too')
  },
)

eachEngine(t, 'a changed frequency or mode replans each refresh, without a storm, also with several instances', async (t, engine) => {
  const day = (n: number) => new Date(Date.now() + n * DAY_MS)
  const world = await createStoreWorld(t, { open: () => engine.open() })
  // Refreshed ten days ago under a monthly policy.
  await insertMany(world, 1000, { issuedAt: day(-10), nextRefreshAt: day(20) })
  const start = (policy: { mode?: 'cron' | 'scheduled'; frequency?: 'daily' | 'weekly' | 'monthly' }, instances = 1) =>
    Promise.all(
      Array.from({ length: instances }, () =>
        world.checker({ providers: world.deps.providers, policy: { ...world.deps.policy, ...policy } }).check(),
      ),
    )
  await world.db.query("update accounts set next_check_at = '2099-01-01T00:00:00.000Z'")
  const planned = async () => (await world.deps.store.list()).map(({ nextRefreshAt }) => nextRefreshAt?.getTime() ?? 0)
  const inDays = async () => (await planned()).map((ms) => (ms - Date.now()) / DAY_MS)

  await start({ frequency: 'monthly' })
  t.ok(
    (await inDays()).every((days) => Math.abs(days - 20) < 0.1),
    'the same policy moves nothing',
  )
  await start({ frequency: 'weekly' }, 3)
  const [before, soon] = [await planned(), await inDays()]
  t.ok(
    soon.every((days) => days > -0.1 && days < 1.1),
    'overdue: within a day',
  )
  const quarters = [0, 1, 2, 3].map((part) => soon.filter((days) => Math.floor(days * 4) === part).length)
  t.ok(
    quarters.every((rows) => rows > 200 && rows < 300),
    `spread evenly: ${quarters.join(' ')}`,
  )
  await start({ frequency: 'daily' })
  t.same(await planned(), before, 'never put off by another start')

  await world.db.query('update accounts set issued_at = $1, last_refresh_at = $1, next_refresh_at = $2', [day(-0.5), day(0.5)])
  await start({ frequency: 'monthly' }, 3)
  t.ok(
    (await inDays()).every((days) => Math.abs(days - 29.5) < 0.1),
    'and the other way round',
  )
  await start({ mode: 'scheduled' })
  t.ok(
    (await inDays()).every((days) => Math.abs(days - 37.4) < 0.1),
    'at a quarter of the life',
  )
  await start({ mode: 'cron', frequency: 'daily' })
  t.ok((await inDays()).every((days) => days > -0.1 && days <= 1.1))

  const retryAt = day(0.1)
  await world.db.query("update accounts set failure_count = 3, next_refresh_at = $1 where name = 'shop-1'", [retryAt])
  await start({ frequency: 'monthly' })
  t.same((await world.account('shop-1')).nextRefreshAt, retryAt, 'a failing account keeps its retry')
})

t.test('a changed frequency plans by the database’s clock, not by the machine’s', async (t) => {
  const { db, now } = await openVirtualStore(Date.now() + 400 * DAY_MS)
  const world = await createStoreWorld(t, { open: async () => db })
  await insertMany(world, 1, { issuedAt: new Date(now() - DAY_MS), nextRefreshAt: new Date(now() + 29 * DAY_MS) })
  await world.checker({ policy: { ...world.deps.policy, frequency: 'weekly' } }).check()
  const { nextRefreshAt } = await world.account('shop-0')
  t.equal(Math.round(((nextRefreshAt?.getTime() ?? 0) - now()) / DAY_MS), 6)
})

t.test('names that differ in one digit are spread', async (t) => {
  const parts = Array.from({ length: 10_000 }, (_, n) => Math.floor(fractionOf(`shop-${n}`) * 10))
  for (let part = 0; part < 10; part++) {
    const rows = parts.filter((one) => one === part).length
    t.ok(rows > 850 && rows < 1150, `${rows} in part ${part}`)
  }
})

async function insertMany(
  world: StoreWorld,
  count: number,
  { issuedAt, nextRefreshAt }: { issuedAt: Date; nextRefreshAt: Date },
): Promise<void> {
  await world.seed(world.instagram.issue(), 'shop-0')
  const { accessToken } = await world.account('shop-0')
  const expiresAt = new Date(issuedAt.getTime() + 60 * DAY_MS)
  for (let from = 0; from < count; from += 500) {
    const rows = Array.from(
      { length: Math.min(500, count - from) },
      (_, n) => `('shop-${from + n}', 'instagram', '17', $1, 'active', $2, $2, $3, $4, $2)`,
    )
    await world.db.query(
      `insert into accounts (name, provider, provider_user_id, access_token, state, issued_at, last_refresh_at, expires_at, next_refresh_at, created_at)
      values ${rows.join(', ')} on conflict (name) do update set issued_at = excluded.issued_at,
        last_refresh_at = excluded.last_refresh_at, expires_at = excluded.expires_at, next_refresh_at = excluded.next_refresh_at, next_check_at = null`,
      [accessToken, issuedAt, expiresAt, nextRefreshAt],
    )
  }
}

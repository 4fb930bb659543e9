import t, { type Test } from 'tap'
import type { Param, Queryable } from '../../src/storage/database.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createFeedWorld, DAY_MS, HOUR_MS, MINUTE_MS } from '../support/feed-world.ts'
import { FAULTS, type FaultName } from '../support/instagram-faults.ts'

const LIST = '/me/media'

t.test('the first visitor starts the fetch and gets the posts with their pictures', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  t.match(await world.read(), { problem: { code: 'unavailable' }, first: { account: 'shop' } })
  const feed = await world.visit()
  t.equal(feed.problem, null)
  t.strictSame(
    await world.ids(),
    [0, -1, -2, -3, -4, -5].map((id) => id + 0),
  )
  t.equal(world.instagram.counts[LIST], 1)
  t.equal(await world.pictures(), 6)
  t.match(await world.row(), { postCount: 6, failures: 0, lastError: null, version: 1 })
  const [post] = (await world.shown()).posts
  t.match(post?.picture, {
    width: 150,
    height: 150,
    sizes: [{ width: 150, url: /^https:\/\/agent\.example\/accounts\/shop\/pictures\/[0-9a-f]{32}-150\.webp$/ }],
  })
})

t.test('nobody reads: nothing is fetched; a feed costs calls only while it is read', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  for (let n = 0; n < 10; n++) await world.poll()
  t.equal(world.instagram.counts[LIST], undefined)
  await world.visit()
  const callsIn = async (hours: number): Promise<number> => {
    const before = world.instagram.counts[LIST] ?? 0
    for (let n = 0; n < hours * 6; n++) {
      await world.travel(10 * MINUTE_MS)
      await world.feeds.fetching.run()
    }
    return (world.instagram.counts[LIST] ?? 0) - before
  }
  const daily = await callsIn(24)
  t.ok(daily >= 36 && daily <= 50, `${daily} on the day of the read`)
  const weekly = await callsIn(5 * 24)
  t.ok(weekly >= 15 && weekly <= 30, `${weekly} in the next five days`)
  await callsIn(30)
  t.equal(await callsIn(3 * 24), 0, 'none after a week')
  await world.visit()
  t.equal(await callsIn(0.5), 1, 'a reader brings it back within a minute')
})

t.test('a new post appears, a deleted one goes with its picture; an unchanged poll changes nothing', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  await world.visit()
  const before = (await world.shown()).bodyAt(world.now())
  await world.visit()
  await world.poll()
  const same = (await world.shown()).bodyAt(world.now())
  t.equal(same.etag, before.etag)
  t.equal(same, before, 'not even built again')
  world.instagram.knobs.newestPost = 2
  world.instagram.knobs.deletedPosts = [-1]
  await world.poll()
  t.strictSame(await world.ids(), [2, 1, 0, -2, -3])
  t.equal(await world.pictures(), 5)
  const kept = Object.entries(world.instagram.counts).filter(([path]) => path === '/cdn/-2.png')
  t.strictSame(kept, [['/cdn/-2.png', 1]], 'a known picture is not downloaded again, though its address has changed')
})

t.test('a poll costs few statements: docs/speed.md names them', async (t) => {
  const statements: string[] = []
  const counted = <T extends Queryable>(db: T): T => ({
    ...db,
    query: <Row>(sql: string, params?: readonly Param[]) => {
      // The test's own clock.
      if (!sql.includes('update virtual_clock')) statements.push(sql)
      return db.query<Row>(sql, params)
    },
  })
  const world = await createFeedWorld(t, {
    async open() {
      const db = await openSqlite(':memory:')
      return { ...counted(db), transaction: (work) => db.transaction((tx) => work(counted(tx))) }
    },
  })
  await world.connect()
  await world.visit()
  await world.poll()
  const cost = async (): Promise<number> => {
    await world.visit()
    statements.length = 0
    await world.poll()
    return statements.length
  }
  t.equal(await cost(), 5, 'unchanged; one of them notes the readers, every ten minutes')
  world.instagram.knobs.newestPost++
  t.equal(await cost(), 14, 'a new post, whose picture takes the place of the oldest')
})

t.test('ninety days: every picture of every answer is there, though addresses die in four', async (t) => {
  const world = await createFeedWorld(t, { knobs: { mediaCount: 12 } })
  await world.connect()
  await world.visit()
  let missing = 0
  for (let hour = 1; hour <= 90 * 24; hour++) {
    await world.travel(HOUR_MS)
    if (hour % 7 === 0) world.instagram.knobs.newestPost++
    await world.visit()
    await world.feeds.fetching.run()
    const feed = await world.shown()
    for (const { name, width } of feed.files.values()) if ((await world.feeds.store.picture('shop', name, width)) === null) missing++
    if (feed.posts.length === 0) missing++
  }
  t.equal(missing, 0)
  t.ok((await world.pictures()) <= 12, 'only those of the newest posts are kept')
})

t.test('a thousand polls of all-new posts leave as many rows as one', async (t) => {
  const world = await createFeedWorld(t, { settings: { posts: 4 } })
  await world.connect()
  await world.visit()
  for (let n = 0; n < 1000; n++) {
    world.instagram.knobs.newestPost += 4
    await world.feeds.fetching.byHand('shop')
  }
  t.equal(await world.pictures(), 4)
  const row = await world.row()
  const [sum] = await world.db.query<{ bytes: number }>('select sum(length(bytes)) as bytes from pictures')
  t.equal(row?.bytes, sum?.bytes)
})

t.test('an empty answer is believed when it comes again ten minutes later, and its next page is looked at', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  await world.visit()
  world.instagram.knobs.emptyFirstPage = true
  await world.poll()
  t.equal((await world.ids()).length, 6, 'the next page has them')
  world.instagram.knobs.emptyFirstPage = false
  world.instagram.knobs.mediaCount = 0
  await world.visit()
  await world.poll()
  t.equal((await world.ids()).length, 6, 'once is not believed')
  t.match(await world.row(), { lastError: /listed no posts/, failures: 0 })
  await world.travel(5 * MINUTE_MS)
  await world.feeds.fetching.run()
  t.equal((await world.ids()).length, 6, 'nor asked again too early')
  await world.travel(7 * MINUTE_MS)
  await world.feeds.fetching.run()
  t.strictSame(await world.ids(), [])
  t.equal(await world.pictures(), 0)
})

const FAILING: [fault: FaultName, refreshIsDue: boolean][] = [
  ['html502', false],
  ['html200', false],
  ['truncated', false],
  ['tenMegabytes', false],
  ['reset', false],
  ['noPermission', false],
  ['unsupported', false],
  ['userLimit', false],
  ['tokenDead', true],
  ['appRemoved', true],
]
for (const [fault, refreshIsDue] of FAILING)
  t.test(`${fault}: the last good feed stays, the waits grow, and stale says so`, async (t) => {
    const world = await createFeedWorld(t)
    await world.connect()
    await world.visit()
    await world.set('next_refresh_at', new Date(world.now() + 5 * DAY_MS), 'shop')
    world.instagram.fail(LIST, FAULTS[fault])
    const before = world.instagram.counts[LIST] ?? 0
    for (let n = 0; n < 7 * 60; n++) {
      await world.travel(MINUTE_MS)
      await world.visit()
      await world.feeds.fetching.run()
    }
    const calls = (world.instagram.counts[LIST] ?? 0) - before
    t.ok(calls >= 4 && calls <= 30, `${calls} calls in seven hours`)
    const feed = await world.shown()
    t.equal(feed.posts.length, 6)
    t.match(JSON.parse(feed.bodyAt(world.now()).content.toString()), { stale: true })
    t.match(await world.row(), { lastError: /^[A-Z]/ })
    const { nextRefreshAt } = await world.account('shop')
    t.equal((nextRefreshAt?.getTime() ?? 0) <= world.now(), refreshIsDue, 'the refresh judges')
    world.instagram.heal()
    await world.travel(6 * HOUR_MS)
    await world.feeds.fetching.run()
    t.notMatch(JSON.parse((await world.shown()).bodyAt(world.now()).content.toString()), { stale: true })
  })

t.test('without a good answer for two weeks the feed is thrown away', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  await world.visit()
  world.instagram.fail(LIST, 'html502')
  for (let day = 0; day < 13; day++) {
    await world.travel(DAY_MS)
    await world.visit()
    await world.feeds.fetching.run()
  }
  t.equal((await world.ids()).length, 6)
  await world.travel(DAY_MS + HOUR_MS)
  t.equal(await world.ids(), 'unavailable')
  await world.feeds.fetching.run()
  t.equal(await world.pictures(), 0)
})

t.test('a limit of all calls holds refreshes and feeds; a nearly used up one slows feeds', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  world.instagram.knobs.usagePercent = 85
  await world.visit()
  const { nextFetchAt } = (await world.row()) ?? { nextFetchAt: new Date(0) }
  t.ok(nextFetchAt.getTime() - world.now() > 4 * HOUR_MS)
  world.instagram.fail(LIST, 'appLimit', 1)
  t.equal(await world.feeds.fetching.byHand('shop'), 'failed')
  t.equal(world.deps.rateLimit.isPaused('instagram'), true)
  t.equal(await world.feeds.fetching.byHand('shop'), 'waits', 'refreshes go first')
})

t.test('a picture that cannot be had is tried three times; then its post is shown without it', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  world.instagram.fail('/cdn/-2.png', { kind: 'answer', status: 403, body: 'no' })
  await world.visit()
  t.strictSame(
    await world.ids(),
    [0, -1, -3, -4, -5].map((id) => id + 0),
    'the post waits for it',
  )
  for (let n = 0; n < 2; n++) {
    await world.travel(3 * MINUTE_MS)
    await world.feeds.fetching.run()
  }
  t.equal((await world.ids()).length, 6)
  const post = (await world.shown()).posts[2]
  t.notOk('media_url' in (post ?? {}) || 'picture' in (post ?? {}))
  await world.visit()
  await world.poll()
  await world.poll()
  t.equal(world.instagram.counts['/cdn/-2.png'], 3)
  await world.travel(6 * HOUR_MS)
  await world.poll()
  t.equal(world.instagram.counts['/cdn/-2.png'], 4, 'four times a day once more')
  t.equal((await world.ids()).length, 6, 'and the post stays meanwhile')
  world.instagram.heal()
  t.equal(await world.feeds.fetching.byHand('shop'), 'changed', 'and where a person asks')
  t.ok((await world.shown()).posts[2]?.picture)
})

t.test('fields that a token could not read once are asked for again within hours', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  world.instagram.fail(LIST, 'unsupported', 1)
  await world.visit()
  t.match(await world.row(), { isShort: true })
  const alts = async () => (await world.shown()).posts.filter((post) => 'alt_text' in post).length
  t.equal(await alts(), 0)
  await world.poll()
  t.match(await world.row(), { isShort: true }, 'not at each fetch')
  await world.travel(6 * HOUR_MS)
  await world.poll()
  t.match(await world.row(), { isShort: false })
  t.ok((await alts()) > 0)
})

t.test('FEED_INTERVAL of a day: a good feed is not stale in between', async (t) => {
  const world = await createFeedWorld(t, { settings: { intervalMs: DAY_MS } })
  await world.connect()
  await world.visit()
  const isStale = async () => 'stale' in JSON.parse((await world.shown()).bodyAt(world.now()).content.toString())
  await world.travel(23 * HOUR_MS)
  t.equal(await isStale(), false)
  await world.travel(7 * HOUR_MS)
  t.equal(await isStale(), true)
})

t.test('no picture is kept while a token waits for the store', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  let mayKeep = false
  const feeds = world.process({ mayKeep: () => mayKeep })
  await world.visit('shop', feeds)
  t.equal(await world.pictures(), 0)
  mayKeep = true
  await world.travel(3 * MINUTE_MS)
  await feeds.fetching.run()
  t.equal(await world.pictures(), 6)
})

/** “shop” has its feed, “new” has none yet, and `tight` is a process whose FEED_STORE_MB is `times` the room of the first. */
async function tightWorld(t: Test, times: number) {
  const world = await createFeedWorld(t, { settings: { posts: 6 } })
  await world.connect()
  await world.connect('new')
  await world.visit()
  const { bytes = 0 } = (await world.row()) ?? {}
  return { world, tight: world.process({ settings: { storeBytes: Math.round(bytes * times) } }) }
}

t.test('a full budget gives a new feed nothing and takes nothing from others', async (t) => {
  const { world, tight } = await tightWorld(t, 1.3)
  t.match(await world.visit('new', tight), { problem: { code: 'unavailable' } })
  t.match(await world.row('new'), { posts: null, bytes: 0, lastError: /FEED_STORE_MB/ })
  t.equal(await world.pictures(), 6)
  await world.travel(8 * DAY_MS)
  t.match(await world.read('shop', tight), { problem: null })
  t.match(await world.visit('new', tight), { problem: null }, 'a week unread frees the room')
  t.match(await world.row(), { posts: null, bytes: 0 })
  t.match(await world.read('shop', tight), { problem: { code: 'unavailable' } }, 'which no reader’s memory outlasts')
})

t.test('a feed that was read just now gives way to none', async (t) => {
  const { world, tight } = await tightWorld(t, 1.3)
  await world.travel(8 * DAY_MS)
  await world.visit('shop', tight)
  t.match(await world.visit('new', tight), { problem: { code: 'unavailable' } })
  t.equal(await world.pictures(), 6)
})

t.test('a feed without room for its new posts says so, and asks no more often for it', async (t) => {
  const { world, tight } = await tightWorld(t, 0.5)
  world.instagram.knobs.newestPost += 2
  await world.visit('shop', tight)
  await world.poll(tight)
  t.match(await world.row(), { failures: 0, lastError: /limit, so new posts are not shown: raise FEED_STORE_MB/ })
  t.match(world.lines.at(-1), { message: /raise FEED_STORE_MB/ })
  await world.travel(3 * MINUTE_MS)
  await tight.fetching.run()
  const calls = world.instagram.counts[LIST] ?? 0
  for (let n = 0; n < 8; n++) {
    await world.travel(3 * MINUTE_MS)
    await tight.fetching.run()
  }
  t.ok((world.instagram.counts[LIST] ?? 0) - calls <= 1, 'the usual interval')
  await world.poll(world.feeds)
  t.match(await world.row(), { lastError: null })
  t.equal((await world.ids()).length, 6, 'a larger FEED_STORE_MB shows them')
})

t.test('at most four first fetches run, and none for readers whose feed just failed', async (t) => {
  const world = await createFeedWorld(t)
  world.instagram.fail(LIST, { kind: 'slow', ms: 300 })
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  for (const name of names) await world.connect(name)
  const outcomes = await Promise.allSettled(names.map((name) => world.visit(name)))
  t.equal(outcomes.filter(({ status }) => status === 'rejected').length, 2)
  t.equal(world.instagram.counts[LIST], 4)
  world.instagram.heal()
  world.instagram.fail(LIST, 'html502')
  for (let n = 0; n < 5; n++) t.match(await world.visit('e'), { problem: { code: 'unavailable' } })
  t.equal(world.instagram.counts[LIST], 5)
})

t.test('a good answer counts as the daily look', async (t) => {
  const world = await createFeedWorld(t)
  await world.connect()
  await world.visit()
  const { nextCheckAt, checkedAt } = await world.account('shop')
  t.equal(checkedAt?.getTime(), world.now())
  t.ok((nextCheckAt?.getTime() ?? 0) > world.now() + DAY_MS)
})

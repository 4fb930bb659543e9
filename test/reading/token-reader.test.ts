import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { shortDigest } from '../../src/core/digest.ts'
import { createStoreWorld } from '../support/store-world.ts'
import { waitFor } from '../support/wait-for.ts'

const DAY_MS = 86_400_000
const unavailable = (words: RegExp) => ({ code: 'unavailable', message: words })

t.test('serves the token in three forms, each with the ETag of its bytes', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'IGAA-token')
  const snapshot = await world.openReader().snapshot('default')
  t.same(JSON.parse(snapshot.json.content), { token: 'IGAA-token' })
  t.equal(snapshot.text.content, 'IGAA-token')
  t.match(snapshot.script().content, 'Object.defineProperty(globalThis, "InstagramToken"')
  t.match(snapshot.script('Other').content, '"Other"')
  t.equal(snapshot.script('InstagramToken'), snapshot.script(), 'the default name is rendered once')
  for (const { content, etag } of [snapshot.json, snapshot.text, snapshot.script(), snapshot.script('Other')]) {
    t.equal(etag, `"${shortDigest(content)}"`)
  }
})

t.test('a browser caches an answer for five minutes, and not beyond the token’s expiry', async (t) => {
  const world = await createStoreWorld(t)
  const now = world.store.now()
  await world.add('long', 'one')
  await world.add('unknown-life', 'two', { expiresAt: null })
  await world.add('short', 'three', { expiresAt: new Date(now.getTime() + 90_900) })
  const { snapshot } = world.openReader()
  t.equal((await snapshot('long')).maxAgeSeconds(now.getTime()), 300)
  t.equal((await snapshot('unknown-life')).maxAgeSeconds(now.getTime()), 300)
  t.equal((await snapshot('short')).maxAgeSeconds(now.getTime()), 90)
  t.equal((await snapshot('short')).maxAgeSeconds(now.getTime() + DAY_MS), 0)
})

t.test('asks the store once for a hundred concurrent readers', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token')
  const { read, way } = world.openReader()
  const tokens = await Promise.all(Array.from({ length: 100 }, () => read('default')))
  t.ok(tokens.every((token) => token === 'token'))
  t.equal(way.reads, 1)
})

t.test('asks the store at most once a second under any load, and is synchronous in between', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token')
  const { reader, read, way, clock } = world.openReader()
  await read('default')
  for (clock.ms = 0; clock.ms < 10_000; clock.ms += 10) {
    const found = reader.read('default')
    if (clock.ms <= 1000) t.notOk(found instanceof Promise)
    await Promise.all([found, reader.read('default'), reader.read('default')])
  }
  t.ok(way.reads >= 9 && way.reads <= 10, `${way.reads} reads in 10 s`)
  t.equal(reader.counters.process + reader.counters.store, 3001)
})

t.test('a token that another process wrote is served after a second', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'old')
  const { read, clock } = world.openReader()
  t.equal(await read('default'), 'old')
  await world.replace('default', 'new')
  clock.ms = 1001
  t.equal(await read('default'), 'new')
})

t.test('an answer is as old as its question', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'old')
  const { reader, read, way, clock } = world.openReader()
  const gate = Promise.withResolvers<void>()
  way.gate = gate.promise
  const waiting = read('default')
  clock.ms = 900
  gate.resolve()
  await waiting
  t.notOk(reader.read('default') instanceof Promise)
  clock.ms = 1001
  await world.replace('default', 'new')
  t.equal(await read('default'), 'new')
})

t.test('a published token is served at once, even if an older answer arrives later', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'old')
  const { reader, read, way, clock } = world.openReader()
  await read('default')
  const gate = Promise.withResolvers<void>()
  way.gate = gate.promise
  clock.ms = 1001
  const waiting = read('default')
  await world.replace('default', 'new')
  way.gate = null
  await reader.publish('default')
  t.equal(await read('default'), 'new')
  gate.resolve()
  t.equal(await waiting, 'new')
  t.equal(await read('default'), 'new')
})

t.test('of two writes published out of order the newer one stays', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'old')
  const { reader, read, way } = world.openReader()
  const gate = Promise.withResolvers<void>()
  way.gate = gate.promise
  const late = reader.publish('default')
  way.gate = null
  await world.replace('default', 'new')
  await reader.publish('default')
  gate.resolve()
  await late
  t.equal(await read('default'), 'new')
})

t.test('while the store fails, the last token is served until it expires, and not after', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token', { expiresAt: world.expiresIn(DAY_MS) })
  const { reader, read, way, clock, lines } = world.openReader()
  await read('default')
  way.cut = true
  for (let hour = 1; hour < 24; hour++) {
    clock.ms = hour * 3_600_000
    way.shiftMs = clock.ms
    t.equal(await read('default'), 'token')
  }
  t.equal(reader.counters.stale, 23)
  way.shiftMs = DAY_MS + 1
  await t.rejects(read('default'), unavailable(/expired/))
  clock.ms += 1000
  await t.rejects(read('default'), unavailable(/expired/))

  await world.replace('default', 'new', { expiresAt: world.expiresIn(9 * DAY_MS) })
  way.cut = false
  clock.ms += 250
  await waitFor('the new token', async () => (await read('default')) === 'new')
  t.equal(lines.length, 2, 'one line at the start, one at the end')
})

t.test('after a failure no read waits, and the store is asked at most four times a second', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token')
  const { reader, read, way, clock } = world.openReader()
  await read('default')
  way.cut = true
  clock.ms = 20_000
  t.equal(await read('default'), 'token', 'the first read finds out')
  const before = way.reads
  for (let ms = 0; ms < 5000; ms += 10) {
    clock.ms += 10
    if (reader.read('default') instanceof Promise) t.fail('had to wait')
    await new Promise(setImmediate)
  }
  t.ok(way.reads - before >= 15 && way.reads - before <= 20, `${way.reads - before} in 5 s`)
  way.cut = false
  await world.replace('default', 'new')
  clock.ms += 250
  await waitFor('the new token', async () => (await read('default')) === 'new')
})

t.test('with a warm snapshot no read waits for a hanging store; its answer counts when it arrives', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'old')
  const { reader, read, way, clock } = world.openReader({ timeoutMs: 15 })
  await read('default')
  await world.replace('default', 'new')
  const gate = Promise.withResolvers<void>()
  way.gate = gate.promise
  clock.ms = 1001
  t.equal(await read('default'), 'old', 'after a timeout of some milliseconds')
  clock.ms += 15
  t.notOk(reader.read('default') instanceof Promise, 'later reads do not wait at all')
  clock.ms += 20_000
  t.notOk(reader.read('default') instanceof Promise, 'even if the snapshot grows old meanwhile')
  t.equal(way.reads, 2)
  gate.resolve()
  way.gate = null
  await waitFor('the new token', async () => (await read('default')) === 'new')
})

t.test('with an old snapshot a read waits for the answer', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'old')
  const { read, way, clock } = world.openReader()
  await read('default')
  await world.replace('default', 'new')
  clock.ms = 5001
  const gate = Promise.withResolvers<void>()
  way.gate = gate.promise
  const waiting = Promise.all([read('default'), read('default')])
  const first = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 100, 'nothing yet'))])
  t.equal(first, 'nothing yet')
  gate.resolve()
  t.same(await waiting, ['new', 'new'])
  t.equal(way.reads, 2)
})

t.test('with no snapshot and no store it says so, and a flood of readers does not reach the store', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token')
  const { read, way, clock } = world.openReader()
  way.cut = true
  const refused = await Promise.allSettled(Array.from({ length: 50 }, () => read('default')))
  t.ok(refused.every((one) => one.status === 'rejected'))
  await t.rejects(read('default'), unavailable(/cannot be looked up at the moment/))
  t.equal(way.reads, 1)
  way.cut = false
  clock.ms += 250
  t.equal(await read('default'), 'token')
})

t.test('each reason for having no token has its own sentence', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('none', null, { state: 'unverified', providerUserId: null, expiresAt: null })
  await world.add('refused', 'token', { state: 'reconnect', providerUserId: null })
  await world.add('expired', 'token', { expiresAt: world.expiresIn(-1000) })
  await world.add('unreadable', 'token', { accessToken: world.seal('another', 'token') })
  await world.add('fine', 'token')
  const { read } = world.openReader()
  await t.rejects(read('none'), unavailable(/no token yet.*\/setup/))
  await t.rejects(read('refused'), unavailable(/provider refused.*\/setup/))
  await t.rejects(read('expired'), unavailable(/expired.*\/setup/))
  await t.rejects(read('unreadable'), unavailable(/ENCRYPTION_KEY/))
  t.equal(await read('fine'), 'token', 'none of them affects another account')
})

t.test('a confirmed token that the provider now refuses is served until it expires', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token', { state: 'reconnect', expiresAt: world.expiresIn(60_000) })
  const { read, way, clock } = world.openReader()
  t.equal(await read('default'), 'token')
  // Also within the second in which the store is not asked.
  way.shiftMs = 60_000
  await t.rejects(read('default'), unavailable(/expired/))
  clock.ms = 1001
  await t.rejects(read('default'), unavailable(/expired/))
})

t.test('an unknown account is remembered for a second', async (t) => {
  const world = await createStoreWorld(t)
  const { reader, read, way, clock } = world.openReader()
  await t.rejects(read('nobody'), { code: 'not_found' })
  await t.rejects(read('nobody'), { code: 'not_found' })
  t.equal(way.reads, 1)
  await t.rejects(read('Not/A/Name'), { code: 'not_found' })
  t.equal(way.reads, 1, 'an invalid name is not looked up')
  await world.add('nobody', 'token')
  clock.ms = 1000
  t.equal(await read('nobody'), 'token')

  await world.add('other', 'second')
  await t.rejects(world.openReader().read('third'), { code: 'not_found' })
  await reader.publish('other')
  t.equal(await read('other'), 'second')
})

t.test('a removed account is gone at once, and a refresh that ended before the removal does not restore it', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token')
  const { reader, read, way, clock } = world.openReader()
  await read('default')
  const gate = Promise.withResolvers<void>()
  way.gate = gate.promise
  clock.ms = 1001
  const waiting = read('default')
  const published = reader.publish('default')
  way.gate = null
  await world.remove('default')
  await reader.publish('default')
  await t.rejects(read('default'), { code: 'not_found' })
  gate.resolve()
  await published
  await t.rejects(waiting, { code: 'not_found' })
  await t.rejects(read('default'), { code: 'not_found' })
  clock.ms += 2000
  await t.rejects(read('default'), { code: 'not_found' })
})

t.test('an account that another process removed is gone after a second, even after a failure', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token')
  const [calm, troubled] = [world.openReader(), world.openReader()]
  for (const { read } of [calm, troubled]) await read('default')
  troubled.way.cut = true
  troubled.clock.ms = 1001
  t.equal(await troubled.read('default'), 'token')
  troubled.way.cut = false
  await world.db.query('delete from accounts')

  calm.clock.ms = 1001
  await t.rejects(calm.read('default'), { code: 'not_found' })
  await t.rejects(calm.read('default'), { code: 'not_found' })
  troubled.clock.ms += 250
  t.equal(await troubled.read('default'), 'token', 'while the look-up runs in the background')
  await waitFor('the account to be gone', () =>
    troubled.read('default').then(
      () => false,
      (error: { code: string }) => error.code === 'not_found',
    ),
  )
})

t.test('a name unknown a moment ago is known once it is published, even with a small memory', async (t) => {
  const world = await createStoreWorld(t)
  const { reader, read } = world.openReader({ maxSnapshots: 1 })
  await t.rejects(read('late'), { code: 'not_found' })
  for (const name of ['late', 'other']) {
    await world.add(name, 'token')
    await reader.publish(name)
  }
  t.equal(await read('late'), 'token')
})

t.test('keeps the snapshots of the accounts that were looked up last', async (t) => {
  const world = await createStoreWorld(t)
  const names = Array.from({ length: 12 }, (_, index) => `account-${index}`)
  for (const name of names) await world.add(name, `token-${name}`)
  const { reader, read, way } = world.openReader({ maxSnapshots: 10 })
  for (const name of names) t.equal(await read(name), `token-${name}`)
  t.notOk(reader.read('account-2') instanceof Promise)
  await read('account-1')
  t.equal(way.reads, 13)
})

t.test('100,000 made-up names neither fill the memory nor evict an account', async (t) => {
  const world = await createStoreWorld(t)
  await world.add('default', 'token')
  const { reader, read, way } = world.openReader()
  await read('default')
  // The memory of this process is measured, so the database stays out of it.
  way.answer = { at: new Date(), cacheId: null, account: null, isRemoved: false }
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const flood = async (from: number) => {
    for (let index = from; index < from + 50_000; index++) await read(`made-up-${index}`).catch(() => {})
    collect()
    return process.memoryUsage().heapUsed
  }
  const half = await flood(0)
  const whole = await flood(50_000)
  t.ok(whole - half < 15_000_000, `${Math.round((whole - half) / 1000)} kB more after the second half`)
  t.notOk(reader.read('default') instanceof Promise)
})

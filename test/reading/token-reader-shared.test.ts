import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createMemcached } from '../../src/cache/memcached.ts'
import { shortDigest } from '../../src/core/digest.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { startMemcached } from '../support/memcached.ts'
import { startPostgres } from '../support/postgres.ts'
import { missing } from '../support/services.ts'
import { createStoreWorld } from '../support/store-world.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait-for.ts'

const skip = missing('memcached')
const SILENT = { info() {}, warn() {} }

async function createSharedWorld(t: Test) {
  const memcached = await startMemcached(t)
  // Generous: these tests check values, not speed.
  const connect = (deadlineMs = 5000, server = memcached.server) => {
    const cache = createMemcached({ servers: server, deadlineMs, log: SILENT })
    t.teardown(() => cache.close())
    return cache
  }
  const world = await createStoreWorld(t)
  const cache = connect()
  await waitFor('Memcached to be there', () => cache.state().up)
  const keyOf = (name: string) => shortDigest(`v2 ${world.cacheId} row ${name}`)
  return { ...world, memcached, connect, cache, keyOf, shared: (name: string) => cache.get(keyOf(name)) }
}

type Instance = ReturnType<Awaited<ReturnType<typeof createSharedWorld>>['openReader']>

/** Reads while `action` runs, and returns the sorted durations. */
async function readMeanwhile(instance: Instance, expected: string, action: () => Promise<unknown>): Promise<number[]> {
  const durations: number[] = []
  const reads: Promise<void>[] = []
  let over = false
  const acting = action().finally(() => {
    over = true
  })
  while (!over) {
    const start = performance.now()
    const read = instance.read('default').then((token) => {
      if (token !== expected) throw new Error(`read ${token}`)
      durations.push(performance.now() - start)
    })
    reads.push(read)
    await sleep(2)
  }
  await Promise.all([acting, ...reads])
  return durations.sort((one, other) => one - other)
}

function summary(durations: number[]): string {
  const at = (share: number) => durations[Math.floor((durations.length - 1) * share)]?.toFixed(1)
  return `${durations.length} reads, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`
}

t.test('an instance uses Memcached only after the store has answered it once', { skip }, async (t) => {
  const { add, cache, openReader, shared } = await createSharedWorld(t)
  await add('default', 'token')
  await add('other', 'second')
  t.equal(await openReader({ cache }).read('default'), 'token')
  await waitFor('the row in Memcached', () => shared('default'))
  const cold = openReader({ cache })
  cold.way.cut = true
  await t.rejects(cold.read('default'), { code: 'unavailable' }, 'only the store gives its namespace')
  cold.way.cut = false
  await cold.read('other')
  cold.way.cut = true
  cold.clock.ms = 1001
  t.equal(await cold.read('default'), 'token')
  t.same({ ...cold.reader.counters }, { process: 0, memcached: 1, store: 1, stale: 0 })
})

t.test('a published token reaches the other instances within a second, without the store', { skip }, async (t) => {
  const { add, replace, cache, openReader, shared } = await createSharedWorld(t)
  await add('default', 'old')
  const [refreshing, other] = [openReader({ cache }), openReader({ cache })]
  t.equal(await refreshing.read('default'), 'old')
  t.equal(await other.read('default'), 'old')
  await waitFor('the row in Memcached', () => shared('default'))
  await replace('default', 'new')
  t.equal(await refreshing.reader.publish('default'), null)
  t.equal(await refreshing.read('default'), 'new')
  const readsBefore = other.way.reads
  other.clock.ms = 1001
  t.equal(await other.read('default'), 'new')
  t.equal(other.way.reads, readsBefore)
})

t.test('a cached row older than the last one seen is a miss, and is replaced', { skip }, async (t) => {
  const { add, replace, cache, keyOf, shared, openReader } = await createSharedWorld(t)
  await add('default', 'old')
  const { read, clock, way } = openReader({ cache })
  await read('default')
  const old = await waitFor('the row in Memcached', () => shared('default'))
  await replace('default', 'new')
  await cache.set(keyOf('default'), '', 60)
  clock.ms = 1001
  t.equal(await read('default'), 'new')
  // The background put must finish before the old row is written back.
  await waitFor('the new row in Memcached', async () => ![old, '', null].includes(await shared('default')))
  await cache.set(keyOf('default'), old, 60)
  clock.ms = 2002
  const readsBefore = way.reads
  t.equal(await read('default'), 'new')
  t.equal(way.reads, readsBefore + 1)
  await waitFor('the new row in Memcached', async () => ![old, null].includes(await shared('default')))
  t.equal(await openReader({ cache }).read('default'), 'new')
})

t.test('a slow reader does not overwrite a refreshed row', { skip }, async (t) => {
  const { add, replace, cache, openReader } = await createSharedWorld(t)
  await add('default', 'old')
  await add('other', 'second')
  const [slow, refreshing, third] = [openReader({ cache }), openReader({ cache }), openReader({ cache })]
  await third.read('other')
  const gate = Promise.withResolvers<void>()
  slow.way.gate = gate.promise
  const waiting = slow.read('default')
  await waitFor('the slow reader to be at the store', () => slow.way.reads === 1)
  await sleep(20)
  await replace('default', 'new')
  await refreshing.reader.publish('default')
  gate.resolve()
  t.equal(await waiting, 'old')
  await sleep(50)
  t.equal(await third.read('default'), 'new')
  t.equal(third.way.reads, 1, 'from Memcached')
})

for (const [change, outcome] of [
  [{}, 'goes on while the store is silent'],
  [{ scopes: 'instagram_business_basic instagram_business_content_publish' }, 'stops, where the newer token can do more than read'],
  [{ allowedDomains: 'other.example' }, 'stops, where the newer token has other readers'],
] as const) {
  t.test(`after a late look-up of a refreshed token the older one ${outcome}`, { skip }, async (t) => {
    const { add, replace, cache, openReader, shared } = await createSharedWorld(t)
    await add('default', 'old', { allowedDomains: 'shop.example' })
    const [late, reading] = [openReader({ cache }), openReader({ cache })]
    t.equal(await reading.read('default'), 'old')
    const first = await waitFor('the row in Memcached', () => shared('default'))
    await late.read('default')
    await replace('default', 'new', change)
    const gate = Promise.withResolvers<void>()
    late.way.gate = gate.promise
    late.clock.ms = 6000
    const looking = late.read('default')
    await waitFor('the late look-up to be answered', () => late.way.answers === 2)
    late.clock.monotonicMs = late.clock.wallMs = 1900
    gate.resolve()
    await looking
    await waitFor('the tombstone', async () => ![first, null].includes(await shared('default')))
    reading.way.cut = true
    reading.clock.ms = 1001
    if (Object.keys(change).length === 0) t.equal(await reading.read('default'), 'old')
    // A read does not wait for a slow Memcached, so on a busy machine the first one may still get the older token.
    else
      await waitFor('the older token to stop', () =>
        reading.read('default').then(
          () => false,
          ({ code }) => code === 'unavailable',
        ),
      )
  })
}

t.test('no altered, foreign or made-up value in Memcached is ever served', { skip }, async (t) => {
  const { add, cache, keyOf, shared, openReader } = await createSharedWorld(t)
  await add('default', 'good')
  await add('another', 'foreign')
  await openReader({ cache }).read('default')
  await openReader({ cache }).read('another')
  const good = await waitFor('the row in Memcached', () => shared('default'))
  const foreign = await waitFor('the row in Memcached', () => shared('another'))
  const forged = JSON.stringify({ name: 'default', version: 99, accessToken: 'evil', expiresAt: null, allowedDomains: null })
  const flipped = Array.from({ length: good.length }, (_, at) => `${good.slice(0, at)}${good[at] === 'A' ? 'B' : 'A'}${good.slice(at + 1)}`)
  const sealed = (await add('sealed', 'x')).accessToken as string
  const others = [
    '',
    ' ',
    '{}',
    'null',
    forged,
    foreign,
    sealed,
    good.slice(0, -1),
    `${good}A`,
    good.repeat(2),
    'v1.....',
    '\u0000',
    'é'.repeat(500),
  ]
  const reading = openReader({ cache })
  await reading.read('default')
  for (const value of [...flipped, ...others]) {
    await cache.set(keyOf('default'), value, 60)
    // Old enough that a read waits.
    reading.clock.ms += 5001
    const before = reading.way.reads
    const token = await reading.read('default')
    if (token !== 'good') t.fail(`gave out ${token}`)
    // The original value is good too; the reader's own put may be under way.
    if (value !== good && reading.way.reads !== before + 1) t.fail(`believed ${value.slice(0, 40)}`)
  }
  t.pass(`${flipped.length + others.length} values`)
})

t.test('Memcached sees no token, no account name and no unsealed row', { skip }, async (t) => {
  const { add, cache, keyOf, shared, openReader } = await createSharedWorld(t)
  await add('canary-name', 'canary-token', { username: 'canary-user', refreshToken: 'canary-refresh' })
  await openReader({ cache }).read('canary-name')
  const value = await waitFor('the row in Memcached', () => shared('canary-name'))
  t.notMatch(`${keyOf('canary-name')} ${value} ${Buffer.from(value.split('.').at(-1) ?? '', 'base64url')}`, /canary/)
})

t.test('a token that is not served any more leaves only a tombstone', { skip }, async (t) => {
  const { add, replace, change, cache, shared, openReader } = await createSharedWorld(t)
  await add('default', null, { expiresAt: null })
  const other = openReader({ cache })
  await t.rejects(other.read('default'), { code: 'unavailable' })
  await replace('default', 'token')
  other.clock.ms = 1001
  t.equal(await other.read('default'), 'token', 'seen after a second, without a publication')
  const length = await waitFor('the row in Memcached', async () => {
    const sealed = (await shared('default')) ?? ''
    return sealed.length > 200 && sealed.length
  })
  await change('default', { state: 'reconnect', providerUserId: null })
  const refreshing = openReader({ cache })
  await refreshing.reader.publish('default')
  await t.rejects(refreshing.read('default'), { code: 'unavailable', message: /refused/ })
  const left = (await shared('default'))?.length ?? 0
  t.ok(left > 0 && left < length / 2, `${left} of ${length} characters`)
  other.clock.ms += 1001
  await t.rejects(other.read('default'), { code: 'unavailable', message: /refused/ })
})

t.test('with Memcached stopped under load no read fails or hangs, and new tokens still arrive', { skip }, async (t) => {
  const { add, replace, connect, openReader, memcached, shared } = await createSharedWorld(t)
  await add('default', 'token')
  const cache = connect(50)
  const serving = openReader({ cache, isFast: true })
  await serving.read('default')
  await waitFor('the row in Memcached', () => shared('default'))
  const durations = await readMeanwhile(serving, 'token', async () => {
    await sleep(150)
    memcached.freeze()
    await sleep(500)
  })
  t.comment(summary(durations))
  t.ok((durations.at(-1) ?? 0) < 2000, 'none hangs')
  await replace('default', 'new')
  await waitFor('the new token', async () => (await serving.read('default')) === 'new', { timeoutMs: 5000 })
  memcached.thaw()
  await waitFor('Memcached to be used again', () => cache.state().up, { timeoutMs: 5000 })
})

t.test('with a warm snapshot no read waits for a Memcached that hangs without end', { skip }, async (t) => {
  const { add, connect, openReader, memcached, shared } = await createSharedWorld(t)
  await add('default', 'token')
  const cache = connect(3_600_000)
  await waitFor('it to be there', () => cache.state().up)
  const { reader, read, way, clock } = openReader({ cache, timeoutMs: 15 })
  await read('default')
  await waitFor('the row in Memcached', () => shared('default'))
  memcached.freeze()
  clock.ms = 1001
  t.equal(await read('default'), 'token', 'after a timeout of some milliseconds')
  clock.ms += 15
  t.notOk(reader.read('default') instanceof Promise, 'later reads do not wait at all')
  t.equal(way.reads, 1, 'the look-up still waits for Memcached')
})

t.test('with Memcached cut, reset and killed under load no read fails', { skip }, async (t) => {
  const { add, connect, openReader, memcached } = await createSharedWorld(t)
  await add('default', 'token')
  const proxy = await startTcpProxy(t, { port: memcached.port })
  const serving = openReader({ cache: connect(50, proxy.server), isFast: true })
  await serving.read('default')
  const durations = await readMeanwhile(serving, 'token', async () => {
    for (const harm of [() => proxy.cutAfter(40), () => proxy.reset(), () => proxy.blackHole(), () => proxy.delay(200)]) {
      harm()
      await sleep(200)
      proxy.pass()
    }
    await memcached.kill()
    await sleep(200)
    await memcached.restart()
  })
  t.comment(summary(durations))
  t.ok((durations.at(-1) ?? 0) < 2000, 'none hangs')
})

t.test(
  'with Postgres suspended under load reads continue, and its answers count again when it resumes',
  {
    skip: missing('postgres'),
  },
  async (t) => {
    const postgres = await startPostgres(t)
    const world = await createStoreWorld(t, { open: async () => openPostgres(postgres.url) })
    await world.add('default', 'token')
    const serving = world.openReader({ isFast: true })
    await serving.read('default')
    const durations = await readMeanwhile(serving, 'token', async () => {
      await sleep(300)
      postgres.freeze()
      await sleep(500)
    })
    t.comment(summary(durations))
    t.ok((durations.at(-1) ?? 0) < 2000, 'none hangs')
    postgres.thaw()
    await waitFor('the store to answer', () => world.replace('default', 'new'))
    await waitFor('the new token', async () => (await serving.read('default')) === 'new', { timeoutMs: 5000 })
  },
)

import t, { type Test } from 'tap'
import { createMemcached } from '../../src/cache/memcached.ts'
import { shortDigest } from '../../src/core/digest.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { generateKey } from '../../src/storage/vault.ts'
import { flush } from '../faults/memcached-text.ts'
import { freePort } from '../support/free-port.ts'
import { startMemcached } from '../support/memcached.ts'
import { oldRelease } from '../support/old-release.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { createStoreWorld } from '../support/store-world.ts'
import { waitFor } from '../support/wait-for.ts'

const skip = missing('postgres', 'memcached')
const SILENT = { info() {}, warn() {} }
const MINUTE_MS = 60_000
/** After this time a read waits for its look-up, even on a slow machine. */
const STALE_MS = 6000
const [OLD_KEY, NEW_KEY] = [generateKey(), generateKey()]
/** The number of random orders of a race. */
const ORDERS = Number(process.env['ORDERS'] ?? 100)

type StoreWorld = Awaited<ReturnType<typeof createRightsWorld>>
type Instance = ReturnType<StoreWorld['openReader']>

async function createRightsWorld(t: Test, memcached?: Awaited<ReturnType<typeof startMemcached>>) {
  const server = memcached ?? (await startMemcached(t))
  const { url } = await createDatabase(t)
  const world = await createStoreWorld(t, { open: async () => openPostgres(url), keys: [OLD_KEY] })
  const connect = (to = server.server) => {
    const cache = createMemcached({ servers: to, deadlineMs: 5000, log: SILENT })
    t.teardown(() => cache.close())
    return cache
  }
  const cache = connect()
  await waitFor('Memcached to be there', () => cache.state().up)
  const keyOf = (name: string): string => shortDigest(`v2 ${world.cacheId} row ${name}`)
  return {
    ...world,
    memcached: server,
    connect,
    cache,
    /** Waits for background puts: Memcached answers in order. */
    async settled() {
      for (let turn = 0; turn < 5; turn++) await cache.get('turn')
    },
    stored: (name: string) => cache.get(keyOf(name)),
    /** The row in Memcached. */
    copied: (name: string) => waitFor('the row in Memcached', async () => rowIn(await cache.get(keyOf(name)))),
    putBack: (name: string, value: string) => cache.set(keyOf(name), value, 60),
  }
}

/** A tombstone is shorter than any row. */
function rowIn(sealed: string | null): string | null {
  return sealed !== null && sealed.length > 200 ? sealed : null
}

/** Whether a removed site still gets the token. */
async function isServed({ reader }: Instance, name = 'shop'): Promise<boolean> {
  const { problem, allowList } = await reader.read(name)
  return problem === null && allowList?.exact.has('https://gone.example') === true
}

const REMOVALS: readonly { what: string; act(world: StoreWorld): Promise<unknown> }[] = [
  { what: 'a site taken off the list', act: ({ change }) => change('shop', { allowedDomains: 'stays.example' }) },
  { what: 'a pause', act: ({ change, store }) => change('shop', { pausedAt: store.now() }) },
  { what: 'a removal', act: ({ remove }) => remove('shop') },
]

const LISTED = { allowedDomains: 'gone.example stays.example' }

for (const { what, act } of REMOVALS) {
  t.test(`all instances see ${what} at their next look-up, in every order of their keys`, { skip }, async (t) => {
    const world = await createRightsWorld(t)
    const { add, openReader, cache } = world
    await add('shop', 'token', LISTED)
    const acting = openReader({ cache, keys: [NEW_KEY, OLD_KEY] })
    const others = [
      [OLD_KEY, NEW_KEY],
      [NEW_KEY, OLD_KEY],
    ].map((keys) => openReader({ cache, keys }))
    for (const one of [acting, ...others]) t.ok(await isServed(one))
    await world.copied('shop')
    await act(world)
    t.equal(await acting.reader.publish('shop'), null)
    t.notOk(await isServed(acting))
    for (const other of others) {
      other.clock.ms += STALE_MS
      t.notOk(await isServed(other))
    }
  })

  t.test(`after ${what} replayed old values of the agent are served for a minute at most`, { skip }, async (t) => {
    const world = await createRightsWorld(t)
    const { add, openReader, cache } = world
    await add('shop', 'token', LISTED)
    const [acting, informed, other] = [openReader({ cache }), openReader({ cache }), openReader({ cache })]
    for (const one of [acting, informed, other]) t.ok(await isServed(one))
    const old = await world.copied('shop')
    await act(world)
    await acting.reader.publish('shop')
    informed.clock.ms += STALE_MS
    t.notOk(await isServed(informed))
    for (const seconds of [1, 30, 56, 61, 120, 3600]) {
      for (const one of [acting, informed, other]) {
        one.clock.ms += STALE_MS
        // Both clocks advance alike.
        one.clock.monotonicMs = one.clock.wallMs = seconds * 1000
        await world.putBack('shop', old)
        const served = await isServed(one)
        if (one !== other || seconds > 60) t.notOk(served, `${seconds} s later, on the ${one === acting ? 'acting' : 'other'} instance`)
      }
    }
  })

  t.test(`${what} by an instance without Memcached is seen within a minute, and it names the moment`, { skip }, async (t) => {
    const world = await createRightsWorld(t)
    const { add, openReader, cache, connect } = world
    await add('shop', 'token', LISTED)
    const acting = openReader({ cache: connect(`127.0.0.1:${await freePort()}`) })
    const other = openReader({ cache })
    for (const one of [acting, other]) t.ok(await isServed(one))
    await world.copied('shop')
    await act(world)
    const until = await acting.reader.publish('shop')
    const leftMs = (until?.getTime() ?? 0) - world.store.nowMs()
    t.ok(Math.abs(leftMs - MINUTE_MS) < 5000, `it names the moment, ${leftMs} ms from now`)
    t.notOk(await isServed(acting))
    other.clock.ms += MINUTE_MS
    other.clock.monotonicMs = other.clock.wallMs = MINUTE_MS
    t.notOk(await isServed(other), 'although the old value is still in Memcached')
  })

  for (const lateMs of [1900, 0]) {
    t.test(`a look-up answered before ${what} that arrives ${lateMs} ms later restores nothing`, { skip }, async (t) => {
      const world = await createRightsWorld(t)
      const { add, openReader, cache, memcached } = world
      await add('shop', 'token', LISTED)
      // Memcached has no row when the slow instance asks.
      const [acting, slow, third] = [
        openReader({ cache, secondPutMs: 500 }),
        openReader({ cache: { ...cache, get: async () => null } }),
        openReader({ cache }),
      ]
      for (const one of [acting, slow, third]) t.ok(await isServed(one))
      await world.settled()
      const gate = Promise.withResolvers<void>()
      slow.way.gate = gate.promise
      slow.clock.ms += STALE_MS
      const waiting = isServed(slow)
      await waitFor('the slow one to be answered', () => slow.way.answers === 2)
      await act(world)
      await acting.reader.publish('shop')
      await flush(memcached.port)
      slow.clock.monotonicMs = slow.clock.wallMs = lateMs
      gate.resolve()
      await waiting
      await world.settled()
      slow.way.gate = null
      if (lateMs === 0) {
        t.ok(rowIn(await world.stored('shop')), 'the flushed Memcached stores the old row')
        await acting.shared?.close()
        t.notOk(rowIn(await world.stored('shop')), 'until the second put of the acting instance')
      }
      for (const one of [third, slow]) {
        one.clock.ms += STALE_MS
        t.notOk(await isServed(one))
      }
    })
  }
}

t.test('with three instances and a flushed Memcached a removed site is refused in every order', { skip }, async (t) => {
  const world = await createRightsWorld(t)
  const { add, openReader, cache, memcached, change } = world
  let served = 0
  for (let order = 0; order < ORDERS; order++) {
    const name = `shop-${order}`
    await add(name, 'token', LISTED)
    const [acting, slow, third] = [
      openReader({ cache }),
      openReader({ cache: { ...cache, get: async () => null } }),
      openReader({ cache }),
    ] as const
    for (const one of [acting, slow, third]) await isServed(one, name)
    const gate = Promise.withResolvers<void>()
    slow.way.gate = gate.promise
    slow.clock.ms += STALE_MS
    const looking = isServed(slow, name)
    await waitFor('the slow one to be answered', () => slow.way.answers === 2, { everyMs: 1 })
    const steps = [
      async () => gate.resolve(),
      () => flush(memcached.port),
      async () => {
        third.clock.ms += STALE_MS
        await isServed(third, name)
      },
      async () => {
        await change(name, { allowedDomains: 'stays.example' })
        await acting.reader.publish(name)
      },
    ]
    for (const step of steps.sort(() => Math.random() - 0.5)) await step()
    await looking
    await world.settled()
    slow.way.gate = null
    // The second put of the acting instance.
    await acting.shared?.close()
    for (const one of [acting, slow, third]) {
      one.clock.ms += STALE_MS
      if (await isServed(one, name)) served++
    }
  }
  t.equal(served, 0, `in ${ORDERS} orders`)
})

t.test('two agents with one Memcached, one key and the same names never see each other’s accounts', { skip }, async (t) => {
  const memcached = await startMemcached(t)
  const worlds = [await createRightsWorld(t, memcached), await createRightsWorld(t, memcached)] as const
  for (const [index, world] of worlds.entries()) await world.add('default', `token-${index}`)
  for (let round = 0; round < 5; round++) {
    for (const [index, world] of worlds.entries()) {
      if (round === 3) await world.change('default', { allowedDomains: 'a.example' })
      const one = world.openReader({ cache: world.cache })
      if (round === 3) await one.reader.publish('default')
      t.equal(await one.read('default'), `token-${index}`)
      t.equal(await one.read(null), `token-${index}`)
      await world.copied('default')
      one.clock.ms += STALE_MS
      await one.read('default')
      t.ok(one.reader.counters.memcached > 0, 'each finds its own row')
    }
  }
})

t.test('the previous release sees the rights that this one removes', { skip }, async (t) => {
  const world = await createRightsWorld(t)
  const { add, db, openReader, cache, vault, change } = world
  const { load } = oldRelease(t)
  const [{ createTokenReader }, { createAccountStore }, { createVault }] = await Promise.all([
    // The types differ between releases.
    load<{ createTokenReader(deps: object): { read(name: string): Promise<{ text: { content: string } }> } }>('application/read-token.ts'),
    load<{ createAccountStore(db: object): object }>('storage/account-store.ts'),
    load<{ createVault(keys: string[]): object }>('storage/vault.ts'),
  ])
  await add('shop', 'token', LISTED)
  const clock = { ms: 0 }
  const old = createTokenReader({
    store: createAccountStore(db),
    cache: { ...cache, add: cache.set },
    vault: createVault([OLD_KEY]),
    constantName: 'InstagramToken',
    digest: shortDigest,
    log: SILENT,
    clockMs: () => clock.ms,
  })
  t.equal((await old.read('shop')).text.content, 'token')
  await waitFor('its row in Memcached', async () => rowIn(await cache.get(shortDigest(`${vault.keyIds.at(-1)} row shop`))))
  const acting = openReader({ cache })
  await acting.read('shop')
  await change('shop', { pausedAt: world.store.now() })
  t.equal(await acting.reader.publish('shop'), null)
  clock.ms += STALE_MS
  await t.rejects((async () => old.read('shop'))(), { message: /paused/ })
})

t.test('an instance that is unsure of the time asks the database', { skip }, async (t) => {
  const world = await createRightsWorld(t)
  await world.add('shop', 'token', LISTED)
  const DAY_MS = 86_400_000
  const one = world.openReader({ cache: world.cache })
  const looks = async (how: string, expected: number) => {
    await world.copied('shop')
    const before = one.way.reads
    one.clock.ms += STALE_MS
    await one.read('shop')
    t.equal(one.way.reads - before, expected, how)
  }
  await one.read('shop')
  await looks('by clocks that go on alike', 0)
  one.clock.wallMs = -DAY_MS
  await looks('after a day back', 1)
  await looks('then again from Memcached', 0)
  one.clock.wallMs = DAY_MS
  await looks('after two days on', 1)
  await looks('then again from Memcached', 0)
  one.clock.monotonicMs += 10 * MINUTE_MS
  one.clock.wallMs += 10 * MINUTE_MS
  await looks('after ten minutes without a turn', 1)
})

import t from 'tap'
import type { RowCache } from '../../src/reading/row-cache.ts'
import { createStoreWorld } from '../support/store-world.ts'

const event = { account: null, kind: 'changed', actor: 'owner', outcome: 'ok', detail: null } as const

/** A cache shared by several readers, without Memcached's faults. */
function createCache(): RowCache & { readonly rows: Map<string, string> } {
  const rows = new Map<string, string>()
  return {
    rows,
    get: async (key) => rows.get(key) ?? null,
    gets: async (key) => ({ text: rows.get(key) ?? null, tag: Buffer.from(rows.get(key) ?? '') }),
    set: async (key, value) => rows.set(key, value).size > 0,
    async cas(key, value, _ttl, seen) {
      if ((rows.get(key) ?? null) !== seen.text) return false
      return rows.set(key, value).size > 0
    },
    close: () => {},
  }
}

for (const shared of [false, true]) {
  t.test(`the address without a name serves the default account, ${shared ? 'with' : 'without'} a shared cache`, async (t) => {
    const { store, add, account, replace, remove, openReader } = await createStoreWorld(t)
    const cache = shared ? createCache() : null
    const [one, other] = [openReader({ cache }), openReader({ cache })]
    const served = ({ read }: typeof one) => read(null)
    const publish = async (changed: Promise<{ name: string }>) => one.reader.publish((await changed).name)
    await t.rejects(one.read(null), { code: 'unavailable', message: /no token yet/ })
    await t.rejects(one.read(''), { code: 'not_found' }, 'an empty name is unknown')
    await publish(add('default', 'token-of-default'))
    t.equal(await served(one), 'token-of-default', 'at once in the process that wrote it')
    t.equal(await served(other), 'token-of-default')

    for (let version = 0; version < 5; version++) await publish(replace('default', `token-of-default-${version}`))
    other.clock.ms += 1001
    t.equal(await served(other), 'token-of-default-4')
    await add('shop', 'token-of-shop')
    await store.makeDefault('shop', event)
    await one.reader.publishDefault()
    t.equal(await served(one), 'token-of-shop', 'although its version is lower than the old default’s')
    other.clock.ms += 1001
    const reads = other.way.reads
    t.equal(await served(other), 'token-of-shop')
    if (shared) t.equal(other.way.reads, reads, 'from the cache: versions of different accounts are not compared')
    t.equal(await one.read('default'), 'token-of-default-4')

    await publish(replace('shop', 'second-token-of-shop'))
    t.equal(await served(one), 'second-token-of-shop', 'a new token is published to both addresses')
    other.clock.ms += 1001
    t.equal(await served(other), 'second-token-of-shop')

    one.way.cut = true
    await one.reader.publishDefault()
    if (!shared) t.equal(await served(one), 'second-token-of-shop', 'while the store is silent the old default is served')
    one.way.cut = false

    await remove('shop')
    await one.reader.publish('shop')
    await one.reader.publishDefault()
    one.clock.ms += 1001
    await t.rejects(served(one), { message: /no token yet/ }, 'no other account replaces it')
    other.clock.ms += 1001
    await t.rejects(served(other), { message: /no token yet/ })
    await t.rejects(one.read('shop'), { code: 'not_found' })
    t.match(await account('default'), { version: 6 })
  })
}

t.test('the cache holds no name in plain text, and a name written by others is ignored', async (t) => {
  const { add, openReader } = await createStoreWorld(t)
  const cache = createCache()
  await add('default', 'token-of-default')
  await add('shop', 'token-of-shop')
  t.equal(await openReader({ cache }).read(null), 'token-of-default')
  t.notMatch(JSON.stringify([...cache.rows]), /default|shop/)
  const fresh = openReader({ cache })
  for (const key of cache.rows.keys()) cache.rows.set(key, 'shop')
  t.equal(await fresh.read(null), 'token-of-default')
})

t.test('a broken own list in the store allows no site', async (t) => {
  const { add, openReader } = await createStoreWorld(t)
  await add('shop', 'token', { allowedDomains: 'good.example http://[' })
  const { allowList } = await openReader().snapshot('shop')
  t.strictSame(allowList, { exact: new Set(), wildcards: new Set() })
})

import t from 'tap'
import { shortDigest } from '../../src/core/digest.ts'
import { Secret } from '../../src/core/secret.ts'
import type { RowCache } from '../../src/reading/row-cache.ts'
import { createUnsavedGrants } from '../../src/refreshing/unsaved-grant.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'

const [OLD_KEY, NEW_KEY] = [generateKey(), generateKey()]
const CHANGE = { accessToken: 'v1.sealed', expiresAt: new Date('2027-01-01T00:00:00Z') }

/** A shared cache for several processes, without faults. */
function createCache() {
  const rows = new Map<string, string>()
  const ttls: number[] = []
  const cache: RowCache = {
    get: async (key) => rows.get(key) ?? null,
    gets: async () => null,
    async set(key, value, ttlSeconds) {
      ttls.push(ttlSeconds)
      return rows.set(key, value).size > 0
    },
    cas: async () => null,
    close: () => {},
  }
  const keeper = (keys: string[], cacheId: string | null | Error) =>
    createUnsavedGrants({
      cache,
      vault: createVault(keys),
      cacheId: async () => {
        if (cacheId instanceof Error) throw cacheId
        return cacheId
      },
    })
  return { rows, ttls, keeper }
}

t.test('a process with another order of keys finds an unsaved grant, a copy of the store does not', async (t) => {
  const { keeper, ttls } = createCache()
  const keeping = keeper([OLD_KEY, NEW_KEY], 'store')
  t.equal(await keeping.find('shop', 3, false), null)
  await keeping.keep('shop', { version: 3, change: CHANGE })
  t.strictSame(ttls, [24 * 3600])
  const other = keeper([NEW_KEY, OLD_KEY], 'store')
  t.equal(await other.find('shop', 4, false), null, 'it replaces only the token of its own version')
  t.equal(await keeper([OLD_KEY], 'copy').find('shop', 3, false), null)
  t.strictSame(await other.find('shop', 3, false), CHANGE)
  await other.drop('shop')
  t.equal(await keeping.find('shop', 3, false), null)
})

t.test('a grant of the release before is found, and one is kept while the store is down', async (t) => {
  const { rows, keeper } = createCache()
  const old = createVault([NEW_KEY, OLD_KEY])
  const sealed = old.seal(new Secret(JSON.stringify({ version: 3, change: CHANGE })), { table: 'cache', row: 'shop', column: 'pending' })
  rows.set(shortDigest(`${old.keyIds.at(-1)} pending shop`), sealed)
  t.strictSame(await keeper([OLD_KEY, NEW_KEY], 'store').find('shop', 3, false), CHANGE)
  const silent = keeper([OLD_KEY], new Error('no answer'))
  await silent.keep('second', { version: 1, change: CHANGE })
  t.strictSame(await keeper([OLD_KEY], 'store').find('second', 1, false), CHANGE)
})

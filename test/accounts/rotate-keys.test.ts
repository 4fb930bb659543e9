import t from 'tap'
import { rotateKeys } from '../../src/accounts/rotate-keys.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import { eachEngine } from '../storage/engines.ts'
import { createStoreWorld, DAY_MS, type StoreWorld } from '../support/store-world.ts'

const [OLD, NEW, LOST] = [generateKey(), generateKey(), generateKey()]
const [before, during, after] = [createVault([OLD]), createVault([NEW, OLD]), createVault([NEW])]

async function sealedBy(world: StoreWorld, key: string, name: string, token: string): Promise<void> {
  await world.seed(world.instagram.issue(), name)
  await world.set(
    'access_token',
    createVault([key]).seal(new Secret(token), accountContext({ provider: 'instagram', name }, 'access_token')),
    name,
  )
}

async function opened(world: StoreWorld, name: string, vault = after): Promise<string> {
  return vault.open((await world.account(name)).accessToken ?? '', accountContext({ provider: 'instagram', name }, 'access_token')).reveal()
}

eachEngine(t, 'every token is sealed again with the newest key, so the old key can be removed', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  await sealedBy(world, OLD, 'one', 'token-1')
  await sealedBy(world, NEW, 'two', 'token-2')
  const two = (await world.account('two')).accessToken
  const { version } = await world.account('one')
  t.match(await rotateKeys(world.deps.store, during), { resealed: ['one'], current: ['two'], unreadable: [] })
  t.equal(await opened(world, 'one'), 'token-1')
  t.equal((await world.account('two')).accessToken, two, 'a current token is not changed')
  t.equal((await world.account('one')).version, version, 'it is the same token')
  t.throws(() => before.open(two ?? '', accountContext({ provider: 'instagram', name: 'two' }, 'access_token')))
  t.match(await rotateKeys(world.deps.store, during), { resealed: [], current: ['one', 'two'], unreadable: [] })
})

t.test('the refresh token is sealed again too', async (t) => {
  const world = await createStoreWorld(t)
  await sealedBy(world, OLD, 'one', 'token-1')
  await world.set(
    'refresh_token',
    before.seal(new Secret('refresh-1'), accountContext({ provider: 'instagram', name: 'one' }, 'refresh_token')),
    'one',
  )
  await rotateKeys(world.deps.store, during)
  const { refreshToken } = await world.account('one')
  t.equal(after.open(refreshToken ?? '', accountContext({ provider: 'instagram', name: 'one' }, 'refresh_token')).reveal(), 'refresh-1')
})

t.test('a token that no key opens is reported and left unchanged, and the others are rotated', async (t) => {
  const world = await createStoreWorld(t)
  await sealedBy(world, LOST, 'aaa', 'token-0')
  await sealedBy(world, OLD, 'one', 'token-1')
  const lost = (await world.account('aaa')).accessToken
  t.match(await rotateKeys(world.deps.store, during), { resealed: ['one'], current: [], unreadable: ['aaa'] })
  t.equal((await world.account('aaa')).accessToken, lost)
})

t.test('a refresh between read and write wins', async (t) => {
  const world = await createStoreWorld(t)
  await sealedBy(world, OLD, 'one', 'token-1')
  let first = true
  const store = {
    ...world.deps.store,
    async find(name: string | null) {
      const account = await world.deps.store.find(name)
      if (first)
        await world.set(
          'access_token',
          before.seal(new Secret('token-2'), accountContext({ provider: 'instagram', name: 'one' }, 'access_token')),
          'one',
        )
      first = false
      return account
    },
  }
  t.match(await rotateKeys(store, during), { resealed: ['one'] })
  t.equal(await opened(world, 'one'), 'token-2')
})

t.test('keys are rotated while tokens are refreshed: none is lost', async (t) => {
  const world = await createStoreWorld(t)
  const names = Array.from({ length: 10 }, (_, n) => `shop-${n}`)
  const deps = { ...world.deps, vault: during }
  for (const name of names) {
    await world.seed(world.instagram.issue(), name)
    const token = new Secret(await world.token(name))
    await world.set('access_token', before.seal(token, accountContext({ provider: 'instagram', name }, 'access_token')), name)
  }
  await world.later(8 * DAY_MS)
  const [{ refreshed }] = await Promise.all([refreshDue(deps, { actor: 'timer' }), rotateKeys(deps.store, during)])
  t.equal(refreshed, names.length)
  for (const name of names) t.equal(world.instagram.issued.get(await opened(world, name))?.endedBy, null, name)
})

import t from 'tap'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { eachEngine } from '../storage/engines.ts'
import { createStoreWorld, DAY_MS } from '../support/store-world.ts'
import { waitFor } from '../support/wait-for.ts'

const NAMES = Array.from({ length: 20 }, (_, n) => `shop-${n + 1}`)

eachEngine(t, 'each due account is refreshed once, by any number of processes', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  for (const name of NAMES) await world.seed(world.instagram.issue(), name)
  await world.later(8 * DAY_MS)
  const before = world.instagram.counts['/refresh_access_token'] ?? 0
  world.instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 20 })
  const sweeps = await Promise.all(
    ['one', 'two', 'three'].map((leaseOwner) => refreshDue(world.process({ leaseOwner }), { actor: 'timer' })),
  )
  t.equal(
    sweeps.reduce((sum, { refreshed }) => sum + refreshed, 0),
    NAMES.length,
  )
  t.equal((world.instagram.counts['/refresh_access_token'] ?? 0) - before, NAMES.length)
  t.match(world.instagram.overlaps, { count: 0 })
  for (const name of NAMES) t.equal((await world.account(name)).version, 3, name)
})

t.test('one account is refreshed by name, and an unknown name is an error', async (t) => {
  const world = await createStoreWorld(t)
  await world.seed(world.instagram.issue(), 'one')
  await world.seed(world.instagram.issue(), 'two')
  await world.later(8 * DAY_MS)
  t.match((await refreshDue(world.deps, { actor: 'cli', account: 'two' })).results, [{ account: 'two', outcome: 'refreshed' }])
  t.equal((await world.account('one')).version, 2)
  await t.rejects(refreshDue(world.deps, { actor: 'cli', account: 'three' }), { code: 'not_found', message: /no account “three”/ })
})

t.test('accounts that are not due are skipped without force', async (t) => {
  const world = await createStoreWorld(t)
  for (const name of NAMES.slice(0, 10)) await world.seed(world.instagram.issue(), name)
  await world.later(2 * DAY_MS)
  t.match(await world.refresh(), { refreshed: 0, failed: 0, results: [] })
  t.match(await world.refresh(true), { refreshed: 10, failed: 0 })
})

t.test('no account waits for another whose provider hangs', async (t) => {
  const world = await createStoreWorld(t, { timeoutMs: 1500 })
  for (const name of NAMES.slice(0, 12)) await world.seed(world.instagram.issue(), name)
  await world.later(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'hang', 1)
  const sweep = refreshDue(world.deps, { actor: 'timer' })
  const refreshed = async () => (await world.deps.store.list()).filter(({ version }) => version === 3).length
  await waitFor('the others', async () => (await refreshed()) === 11)
  t.match(await sweep, { refreshed: 11, failed: 1 })
})

t.test('a stop saves running calls and starts no new ones', async (t) => {
  const world = await createStoreWorld(t)
  for (const name of NAMES) await world.seed(world.instagram.issue(), name)
  await world.later(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 300 })
  const stopping = new AbortController()
  const before = world.instagram.calls.length
  const sweep = refreshDue(world.deps, { actor: 'timer' }, stopping.signal)
  await waitFor('the first calls', () => world.instagram.calls.length > before)
  stopping.abort()
  const { refreshed, failed } = await sweep
  t.ok(refreshed > 0 && refreshed <= 8, `${refreshed} were under way`)
  t.equal(failed, 0)
  for (const account of await world.deps.store.list()) {
    const token = await world.token(account.name)
    t.equal(world.instagram.issued.get(token)?.replacedBy, null, `${account.name} has the newest token`)
  }
})

t.test('no refresh starts if the store cannot save its claim', async (t) => {
  const world = await createStoreWorld(t)
  await world.seed(world.instagram.issue())
  await world.later(8 * DAY_MS)
  const before = world.instagram.calls.length
  const store = { ...world.deps.store, claimDue: () => Promise.reject(new Error('read-only')) }
  await t.rejects(refreshDue({ ...world.deps, store }, { actor: 'timer' }), { message: 'read-only' })
  t.equal(world.instagram.calls.length, before)
})

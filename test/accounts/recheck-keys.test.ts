import t from 'tap'
import { recheckKeys } from '../../src/accounts/recheck-keys.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext, type Vault } from '../../src/core/vault.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { reportStatus } from '../../src/status/report.ts'
import { createOverview } from '../../src/storage/account-queries.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import { eachEngine } from '../storage/engines.ts'
import { channelsOn, into } from '../support/alert-channels.ts'
import { createStoreWorld, DAY_MS, HOUR_MS, type StoreWorld } from '../support/store-world.ts'

/** Starts an instance with these keys; returns the accounts that it makes due. */
async function start(world: StoreWorld, vault: Vault): Promise<string[]> {
  const before = await world.deps.store.list()
  await recheckKeys({ overview: createOverview(world.db, vault.keyPrefixes), vault, providers: world.deps.providers, log: world.deps.log })
  const after = await world.deps.store.list()
  return after.filter(({ nextRefreshAt }, n) => nextRefreshAt?.getTime() !== before[n]?.nextRefreshAt?.getTime()).map(({ name }) => name)
}

const sweep = (world: StoreWorld, vault: Vault) => refreshDue(world.process({ vault }), { actor: 'boot' })

async function look({ db, deps }: StoreWorld): Promise<Alert[]> {
  const sent: Alert[] = []
  await sendAlerts({ alerts: createAlertStore(db), channels: channelsOn(db, { webhook: into(sent) }), log: deps.log })
  return sent
}

const everything = ({ db }: StoreWorld) => db.query<Record<string, unknown>>('select * from accounts order by name')

eachEngine(t, 'a lost key is marked and alerted at the start; the next start with the key clears the mark', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const mine = world.deps.vault
  const other = createVault([generateKey()])
  await world.seed(world.instagram.issue())
  await world.later(2 * DAY_MS)
  const { accessToken } = await world.account()

  t.strictSame(await start(world, mine), [], 'with the sealing keys nothing is due')
  t.strictSame(await start(world, other), ['default'])
  t.match(await world.account(), { accessToken, lastErrorCode: null, failureCount: 0, version: 2 }, 'only due: the attempt marks it')
  t.match(await sweep(world, other), { failed: 1 })
  t.match(await world.account(), { accessToken, lastErrorCode: 'unreadable' })
  t.match(await look(world), [{ event: 'unreadable' }])
  t.strictSame(await start(world, other), [], 'a marked account is not made due again by each start')
  t.strictSame(await createOverview(world.db, other.keyPrefixes).keySuspects('', 10), [], 'and is not read')

  t.strictSame(await start(world, mine), ['default'])
  t.match(await sweep(world, mine), { refreshed: 1 })
  t.match(await world.account(), { state: 'active', lastErrorCode: null, lastError: null, failureCount: 0 })
  t.strictSame((await reportStatus(world.deps)).needPerson, [])
  t.match(await look(world), [{ event: 'recovered' }])
  t.strictSame(await start(world, mine), [])
})

eachEngine(t, 'paused, removed, leased, due and never-due accounts are not changed', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const { deps } = world
  const names = ['at-work', 'due', 'empty', 'never-due', 'paused', 'removed']
  for (const name of names) await world.seed(world.instagram.issue(), name)
  const event = { actor: 'owner', outcome: 'ok', detail: null } as const
  await deps.store.claimDue({ leaseOwner: 'another', leaseSeconds: 60, limit: 1, account: 'at-work', force: true })
  // As with a clock that is a little behind.
  await world.set('next_refresh_at', new Date(Date.now() + HOUR_MS), 'at-work')
  await world.set('next_refresh_at', new Date(0), 'due')
  await world.set('access_token', null, 'empty')
  await world.set('next_refresh_at', null, 'never-due')
  await deps.store.update('paused', { pausedAt: deps.store.now() }, { ...event, account: 'paused', kind: 'paused' })
  await deps.store.remove('removed', { ...event, account: 'removed', kind: 'removed' })
  // A removed row that still has all its data.
  await world.set('access_token', 'v1.otherkey.AAAA.AAAA', 'removed')
  await world.set('next_refresh_at', new Date(Date.now() + HOUR_MS), 'removed')
  const before = await everything(world)
  const other = createVault([generateKey()])
  await start(world, other)
  t.strictSame(await everything(world), before)
  const overview = createOverview(world.db, other.keyPrefixes)
  t.equal(await overview.makeSuspectsDue(names), 0, 'nor if they have changed since they were read')
  t.strictSame(await everything(world), before)
})

eachEngine(t, 'a damaged, marked token is not made due again by each start', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  for (const name of ['altered', 'fine']) await world.seed(world.instagram.issue(), name)
  await world.set('access_token', (await world.account('fine')).accessToken, 'altered')
  await refreshDue(world.deps, { actor: 'timer', account: 'altered', force: true })
  t.match(await world.account('altered'), { lastErrorCode: 'unreadable' })
  t.strictSame(await start(world, world.deps.vault), [])
})

eachEngine(t, 'during a rotation instances do not keep making each other’s accounts due', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const [OLD, NEW] = [generateKey(), generateKey()]
  const [before, during] = [createVault([OLD]), createVault([NEW, OLD])]
  for (const [name, vault] of [
    ['by-new', during],
    ['by-old', before],
  ] as const) {
    await world.seed(world.instagram.issue(), name)
    const token = new Secret(await world.token(name))
    await world.set('access_token', vault.seal(token, accountContext({ provider: 'instagram', name }, 'access_token')), name)
  }
  t.strictSame(await start(world, during), [], 'it opens the tokens of both')
  t.strictSame(await start(world, before), ['by-new'])
  t.strictSame(await start(world, before), [], 'nor does one with the old keys')
  await sweep(world, before)
  t.match(await world.account('by-new'), { lastErrorCode: 'unreadable' })
  t.strictSame(await start(world, before), [])
  t.strictSame(await start(world, during), ['by-new'])
  await world.later(2 * DAY_MS)
  t.match(await sweep(world, during), { refreshed: 1 })
  t.strictSame(await start(world, during), [])
})

eachEngine(t, 'of very many accounts each suspect is checked, and no healthy one', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const names = Array.from({ length: 1_201 }, (_, n) => `shop-${n}`)
  const rows = names.map((name, n) => {
    const vault = n % 3 === 0 ? world.deps.vault : createVault([`key ${n % 3}`])
    return `('${name}', 'instagram', 'active', '${vault.seal(new Secret('t'), accountContext({ provider: 'instagram', name }, 'access_token'))}', $1, $1)`
  })
  const sql = `insert into accounts (name, provider, state, access_token, next_refresh_at, created_at) values ${rows.join(', ')}`
  await world.db.query(sql, [new Date(Date.now() + 30 * DAY_MS)])
  t.equal((await start(world, world.deps.vault)).length, 800)
})

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createMaintenance } from '../../src/status/maintenance.ts'
import { createSummary } from '../../src/status/summary.ts'
import { createOverview } from '../../src/storage/account-queries.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import { createLinkStore } from '../../src/storage/link-store.ts'
import { createWrongPasswords } from '../../src/storage/sign-in-attempts.ts'
import { channelsOn } from '../support/alert-channels.ts'
import { createStoreWorld, DAY_MS } from '../support/store-world.ts'

t.test('an altered token counts as unreadable before its first use', async (t) => {
  const { db, deps, seed, set, instagram } = await createStoreWorld(t)
  await seed(instagram.issue(), 'one')
  await seed(instagram.issue(), 'two')
  const overview = createOverview(db, deps.vault.keyPrefixes)
  t.match(await createSummary({ ...deps, overview }).take(), { unreadable: 0, needPerson: 0 })
  await set('access_token', (await deps.store.find('two'))?.accessToken ?? '', 'one')
  t.match(await overview.summarize(), { unreadable: 0 })
  t.match(await createSummary({ ...deps, overview }).take(), { unreadable: 1, needPerson: 1 })
})

t.test('the store gets one query at a time, and fewer the slower it answers', async (t) => {
  const { deps, db } = await createStoreWorld(t)
  const real = createOverview(db, deps.vault.keyPrefixes)
  let now = 0
  let asked = 0
  let takes = 0
  const overview = {
    ...real,
    async summarize() {
      asked++
      await sleep(1)
      now += takes
      return real.summarize()
    },
  }
  const summary = createSummary({ ...deps, overview, clockMs: () => now })
  await Promise.all([summary.take(), summary.take(), summary.take()])
  t.equal(asked, 1)
  now += 999
  await summary.take()
  t.equal(asked, 1)
  takes = 500
  now += 1
  await summary.take()
  t.equal(asked, 2)
  now += 9_000
  await summary.take()
  t.equal(asked, 2)
  now += 1_000
  await summary.take()
  t.equal(asked, 3)
})

t.test('once a day all events older than 400 days are deleted', async (t) => {
  const { db, deps } = await createStoreWorld(t)
  const event = { account: null, kind: 'signed_in', actor: 'owner', outcome: 'ok', detail: null } as const
  const old = async (): Promise<void> => {
    for (let n = 0; n < 2_300; n++) await deps.store.record(event)
    await db.query('update events set at = $1', [new Date(Date.now() - 401 * DAY_MS)])
    await deps.store.record(event)
  }
  const left = async () => (await db.query('select id from events')).length
  let now = 0
  let cleared = 0
  let sampled = 0
  const overview = createOverview(db, deps.vault.keyPrefixes)
  const alerts = createAlertStore(db)
  const maintain = createMaintenance(
    {
      alerts,
      channels: channelsOn(db, {}),
      wrongPasswords: createWrongPasswords(db),
      links: createLinkStore(db),
      overview,
      summary: createSummary({ store: deps.store, overview, vault: deps.vault }),
      readHistory: { sample: () => void sampled++ },
      shortLived: [{ clear: async () => void cleared++ }],
      log: deps.log,
      clockMs: () => now,
    },
    new AbortController().signal,
  )
  await old()
  await maintain()
  t.equal(await left(), 1)
  await old()
  await maintain()
  t.ok((await left()) > 2_000, 'not twice on one day')
  now += DAY_MS
  await maintain()
  t.equal(await left(), 1)
  t.same([cleared, sampled], [3, 3], 'short-lived rows are deleted, and reads counted, at each run')
})

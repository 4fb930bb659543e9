import t, { type Test } from 'tap'
import type { Alert, AlertStore, SendAlert } from '../../src/alerts/alert.ts'
import { linkOf } from '../../src/alerts/message.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import type { Log } from '../../src/core/log.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { MIGRATIONS } from '../storage/engines.ts'
import { channelsOn } from '../support/alert-channels.ts'
import { oldRelease } from '../support/old-release.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { DAY_MS, HOUR_MS } from '../support/store-world.ts'
import { createVirtualClock } from '../support/virtual-clock.ts'

const skip = missing('postgres')
const START = Date.parse('2026-11-01T08:00:00Z')
const STEP_MS = 3 * HOUR_MS
const NAMES = ['shop', 'cafe', 'studio']
const LOG: Log = { info: () => {}, warn: () => {} }

/** One look of an instance, by its own connection. */
type Instance = () => Promise<number>
type Sent = Alert & { readonly at: number }

/** 30 days on one store, in which tokens with 31 days left are not renewed; `start` gives what happens at each step. */
async function through(t: Test, start: (open: () => Database, send: SendAlert) => (step: number) => Promise<unknown>) {
  const { url } = await createDatabase(t)
  const connect = (): Database => {
    const db = openPostgres(url)
    t.teardown(() => db.close())
    return db
  }
  const own = connect()
  const clock = await createVirtualClock(own, new Date(START))
  await migrate(own, MIGRATIONS)
  let nowMs = START
  const store = createAccountStore(clock.of(own))
  for (const name of NAMES) {
    const [issuedAt, expiresAt] = [new Date(START - 29 * DAY_MS), new Date(START + 31 * DAY_MS)]
    const row = { name, provider: 'instagram', state: 'active', accessToken: 'v1.a', issuedAt, expiresAt } as const
    await store.insert(row, { account: name, kind: 'created', actor: 'owner', outcome: 'ok', detail: null })
  }
  const sent: Sent[] = []
  const work = start(
    () => clock.of(connect()),
    async (alert) => void sent.push({ ...alert, at: nowMs }),
  )
  for (let step = 0; step * STEP_MS <= 30 * DAY_MS; step++) {
    nowMs = START + step * STEP_MS
    await clock.set(new Date(nowMs))
    // As each failed refresh does.
    if (step % 3 === 0) await own.query('update accounts set alert_at = (select at from virtual_clock)')
    await work(step)
  }
  /** The event, and how many days the token lives then. */
  return { sent, lines: NAMES.map((name) => sent.filter(({ account }) => account === name).map(({ event, at }) => [event, daysLeft(at)])) }
}

const daysLeft = (at: number): number => Math.round((START + 31 * DAY_MS - at) / DAY_MS)

function present(db: Database, send: SendAlert): Instance {
  const channels = channelsOn(db, { webhook: async (alerts) => void (await Promise.all(alerts.map(send))) })
  return () => sendAlerts({ alerts: createAlertStore(db), channels, log: LOG })
}

/** A quarter, the weekly repetition of what lasts, a week, a tenth. */
const EXPECTED = [
  ['quarter_of_life_left', 15],
  ['quarter_of_life_left', 8],
  ['week_left', 7],
  ['tenth_of_life_left', 6],
]

t.test('two instances send one alert each at a quarter, a week and a tenth of the life', { skip }, async (t) => {
  const { sent, lines } = await through(t, (open, send) => {
    const instances = [present(open(), send), present(open(), send)]
    return () => Promise.all(instances.map((instance) => instance()))
  })
  t.strictSame(
    lines,
    NAMES.map(() => EXPECTED),
  )
  for (const alert of sent) t.equal(linkOf(alert, 'https://agent.example'), `https://agent.example/admin/accounts/${alert.account}`)
})

t.test('the release before beside this one sends none of them again, and no false recovery', { skip }, async (t) => {
  const { load } = oldRelease(t)
  const [{ sendAlerts: sendOld }, { createAlertStore: createOld }] = await Promise.all([
    load<{ sendAlerts: (deps: { alerts: AlertStore; send: SendAlert; log: Log }) => Promise<number> }>('application/send-alerts.ts'),
    load<{ createAlertStore: (db: Database) => AlertStore }>('storage/alert-store.ts'),
  ])
  let ofOld = 0
  const { lines } = await through(t, (open, send) => {
    const counted: SendAlert = async (alert) => {
      ofOld++
      await send(alert)
    }
    const alerts = createOld(open())
    const instances: Instance[] = [present(open(), send), () => sendOld({ alerts, send: counted, log: LOG })]
    return async (step) => {
      for (const instance of step % 2 === 0 ? instances : instances.toReversed()) await instance()
    }
  })
  t.strictSame(
    lines,
    NAMES.map(() => EXPECTED),
  )
  t.ok(ofOld > 0 && ofOld < 4 * NAMES.length, `both have sent: the release before ${ofOld} of ${4 * NAMES.length}`)
})

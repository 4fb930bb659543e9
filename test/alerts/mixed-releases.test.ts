import t from 'tap'
import type { Alert, AlertStore, SendAlert } from '../../src/alerts/alert.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import type { Log } from '../../src/core/log.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { eachEngine } from '../storage/engines.ts'
import { channelsOn, into } from '../support/alert-channels.ts'
import { oldRelease } from '../support/old-release.ts'
import { createStoreWorld, DAY_MS, type StoreWorld } from '../support/store-world.ts'

const { load } = oldRelease(t)

interface OldDeps {
  readonly alerts: AlertStore
  readonly send: SendAlert
  readonly log: Log
}

/** 1.0.0 and this release on one store; each gives the events that it sends now. */
async function bothOn(world: StoreWorld) {
  const [{ sendAlerts: sendOld }, { createAlertStore: createOld }] = await Promise.all([
    load<{ sendAlerts: (deps: OldDeps) => Promise<number> }>('application/send-alerts.ts'),
    load<{ createAlertStore: (db: Database) => AlertStore }>('storage/alert-store.ts'),
  ])
  const { db, deps } = world
  const due = () => world.set('alert_at', new Date(0))
  return {
    async old(): Promise<string[]> {
      const sent: Alert[] = []
      await due()
      await sendOld({ alerts: createOld(db), send: async (alert) => void sent.push(alert), log: deps.log })
      return sent.map(({ event }) => event)
    },
    async now(): Promise<string[]> {
      const sent: Alert[] = []
      await due()
      await sendAlerts({ alerts: createAlertStore(db), channels: channelsOn(db, { webhook: into(sent) }), log: deps.log })
      return sent.map(({ event }) => event)
    },
  }
}

const alerted = async ({ db }: StoreWorld) => {
  const [row] = await db.query<Record<string, string | null>>('select alert_told, alert_told_also from accounts')
  return { ...row }
}

async function left(world: StoreWorld, days: number): Promise<void> {
  const now = Date.now()
  await world.set('issued_at', new Date(now - (60 - days) * DAY_MS))
  await world.set('expires_at', new Date(now + days * DAY_MS))
}

eachEngine(t, 'a condition of this release is no recovery to 1.0.0, and is not sent by both', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const { old, now } = await bothOn(world)
  await world.seed(world.instagram.issue())
  await left(world, 14)
  t.strictSame([await old(), await now()], [['quarter_of_life_left'], []])
  await left(world, 6.9)
  t.strictSame([await old(), await now(), await old(), await now()], [[], ['week_left'], [], []])
  t.strictSame(await alerted(world), { alert_told: 'quarter', alert_told_also: 'week' })
  await left(world, 5)
  t.strictSame([await old(), await now()], [['tenth_of_life_left'], []])
  await left(world, 60)
  t.strictSame([await old(), await now()], [['recovered'], []])
  await left(world, 6.9)
  t.strictSame([await now(), await old()], [['week_left'], []], 'a new incident alerts')
  await left(world, 60)
  t.strictSame([await now(), await old()], [['recovered'], []])
  t.strictSame(await alerted(world), { alert_told: null, alert_told_also: null })
})

eachEngine(t, 'that pages lost a token is kept where 1.0.0 neither forgets it nor says that all is well', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const { old, now } = await bothOn(world)
  await world.seed(world.instagram.issue())
  await world.set('page_use_ended_at', new Date())
  t.strictSame([await old(), await now(), await old(), await now(), await old()], [[], ['page_use_ended'], [], [], []])
  t.strictSame(await alerted(world), { alert_told: null, alert_told_also: 'pages-lost' })
  await left(world, 14)
  t.strictSame([await old(), await now()], [['quarter_of_life_left'], []])
  await world.set('page_use_ended_at', null)
  await left(world, 60)
  t.strictSame([await now(), await old()], [['recovered'], []])
  t.strictSame(await alerted(world), { alert_told: null, alert_told_also: null })
})

eachEngine(t, 'a condition of a later release survives both, and is a recovery to neither', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const { old, now } = await bothOn(world)
  await world.seed(world.instagram.issue())
  await world.set('alert_told_also', 'reconnect_by')
  t.strictSame([await old(), await now(), await old()], [[], [], []])
  await left(world, 5)
  t.strictSame([await now(), await old()], [['tenth_of_life_left'], []])
  await left(world, 60)
  t.strictSame([await now(), await old()], [['recovered'], []])
  t.strictSame(await alerted(world), { alert_told: null, alert_told_also: 'reconnect_by' })
  // Why it has a column of its own.
  await world.set('alert_told', 'reconnect_by')
  await world.set('alert_told_also', null)
  t.strictSame(await now(), [])
  t.strictSame(await alerted(world), { alert_told: null, alert_told_also: 'reconnect_by' })
  await world.set('alert_told', 'reconnect_by')
  t.strictSame(await old(), ['recovered'])
})

import t from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { type Channel, DeliveryError } from '../../src/alerts/channel.ts'
import { type AlertDeps, sendAlerts } from '../../src/alerts/send-alerts.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { eachEngine } from '../storage/engines.ts'
import { channelsOn, into } from '../support/alert-channels.ts'
import { createStoreWorld, DAY_MS, HOUR_MS, type StoreWorld } from '../support/store-world.ts'

interface Alerting extends StoreWorld {
  readonly sent: Alert[]
  /** Another instance on its own connection. */
  instance(db: Database, send?: Channel['send']): AlertDeps
  look(send?: Channel['send']): Promise<string[]>
  /** Moves all instants of alerts and their leases into the past. */
  wait(ms: number): Promise<void>
}

const INSTANTS = ['failing_since', 'alert_told_at', 'alert_told_also_at', 'alert_at', 'alert_lease_until']

async function alerting(world: StoreWorld): Promise<Alerting> {
  const sent: Alert[] = []
  const { log } = world.deps
  const instance: Alerting['instance'] = (db, send = into(sent)) => ({
    alerts: createAlertStore(db),
    channels: channelsOn(db, { webhook: send }, { log }),
    log,
  })
  return {
    ...world,
    sent,
    instance,
    async look(send) {
      const before = sent.length
      await sendAlerts(instance(world.db, send))
      return sent.slice(before).map(({ event }) => event)
    },
    async wait(ms) {
      await world.later(ms)
      const rows = await world.db.query<Record<string, Date | string | null>>(`select name, ${INSTANTS.join(', ')} from accounts`)
      for (const row of rows) {
        for (const column of INSTANTS) {
          const at = row[column]
          if (at) await world.set(column, new Date(new Date(at).getTime() - ms), String(row['name']))
        }
      }
    },
  }
}

const alertEvents = async (world: StoreWorld): Promise<string[]> =>
  (await world.events()).filter(({ kind }) => kind === 'alert_sent').map(({ detail }) => detail ?? '')

eachEngine(t, 'an incident alerts at each new condition, again every week, and when it ends', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open(), policy: { frequency: 'monthly' } }))
  await world.seed(world.instagram.issue())
  t.strictSame(await world.look(), [])
  await world.wait(31 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'serviceTrouble')
  await world.refresh()
  t.strictSame(await world.look(), [], 'one failure does not alert')
  await world.wait(23 * HOUR_MS)
  await world.refresh()
  t.strictSame(await world.look(), [])
  await world.wait(2 * HOUR_MS)
  t.strictSame(await world.look(), ['failing_for_a_day'], 'no attempt is needed in between')
  t.strictSame(await world.look(), [])
  await world.wait(6 * DAY_MS)
  await world.refresh()
  t.strictSame(await world.look(), [])
  await world.wait(DAY_MS)
  t.strictSame(await world.look(), ['failing_for_a_day'], 'a week later')
  await world.wait(6.5 * DAY_MS)
  t.strictSame(await world.look(), ['quarter_of_life_left'])
  await world.refresh()
  t.strictSame(await world.look(), [])
  await world.wait(8 * DAY_MS)
  await world.refresh()
  t.strictSame(await world.look(), ['week_left'])
  await world.wait(2 * DAY_MS)
  t.strictSame(await world.look(), ['tenth_of_life_left'])
  world.instagram.heal()
  await world.refresh()
  t.strictSame(await world.look(), ['recovered'])
  t.strictSame(await world.look(), [])
  await world.wait(20 * DAY_MS)
  t.strictSame(await world.look(), [], 'no alert follows')
  t.equal((await alertEvents(world)).length, world.sent.length, 'each alert is an event of the account')
})

eachEngine(t, 'a need for a person alerts at once, and again only after a recovery', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  const token = world.instagram.issue()
  await world.seed(token)
  await world.wait(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'noPermission', 1)
  await world.refresh()
  t.strictSame(await world.look(), ['person_needed'])
  t.match(world.sent, [{ account: 'default', state: 'active', message: /until a person changes a setting.*permission/ }])
  await world.refresh(true)
  t.strictSame(await world.look(), ['recovered'])
  world.instagram.revoke(await world.token())
  await world.wait(8 * DAY_MS)
  await world.refresh()
  t.strictSame(await world.look(), [], 'a single refusal is not believed')
  await world.wait(HOUR_MS)
  await world.refresh()
  t.strictSame(await world.look(), ['person_needed'])
  await world.seed(world.instagram.issue())
  t.strictSame(await world.look(), ['recovered'])
})

eachEngine(t, 'a change of condition is no recovery and does not alert twice', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  await world.seed(world.instagram.issue())
  await world.wait(8 * DAY_MS)
  const faults = ['noPermission', 'html502', 'noPermission', 'expired', 'noPermission'] as const
  const seen: string[][] = []
  for (const fault of faults) {
    world.instagram.fail('/refresh_access_token', fault, 1)
    await world.refresh(true)
    seen.push(await world.look())
  }
  t.strictSame(seen, [['person_needed'], [], [], [], []])
  await world.refresh(true)
  t.strictSame(await world.look(), ['recovered'])
})

eachEngine(t, 'a new token recovers an expired account only once the provider confirms it', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  await world.seed(world.instagram.issue())
  world.instagram.fail('/refresh_access_token', 'html502')
  world.instagram.fail('/me', 'html502')
  await world.wait(61 * DAY_MS)
  t.strictSame(await world.look(), ['person_needed'])
  await world.seed('IGAAbogus')
  t.match(await world.account(), { state: 'unverified', lastErrorCode: 'transient' })
  t.strictSame(await world.look(), [])
  world.instagram.heal()
  await world.refresh(true)
  t.strictSame(await world.look(), ['person_needed'], 'the provider refuses it')
  await world.seed(world.instagram.issue())
  t.strictSame(await world.look(), ['recovered'])
})

eachEngine(t, 'an account erased by its user needs a person, and alerts once', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  const erase = async (name: string): Promise<void> => {
    const { version } = await world.account(name)
    const nothing = { accessToken: null, state: 'reconnect', lastErrorCode: 'reconnect', expiresAt: null, issuedAt: null } as const
    const event = { account: name, kind: 'erased', actor: 'provider', outcome: 'ok', detail: null } as const
    t.ok(await world.deps.store.replace(name, version, { ...nothing, lastError: 'Connect the account again.' }, event))
  }
  await world.seed(world.instagram.issue(), 'erased-only')
  await erase('erased-only')
  t.strictSame(await world.look(), ['person_needed'])
  t.match(world.sent.at(-1), {
    state: 'reconnect',
    message: /“erased-only” \(instagram\) has no token any more.* Connect the account again\.$/,
  })

  await world.seed(world.instagram.issue(), 'taken-back')
  const { version } = await world.account('taken-back')
  const event = { account: 'taken-back', kind: 'reconnect_needed', actor: 'provider', outcome: 'failed', detail: null } as const
  await world.deps.store.replace('taken-back', version, { state: 'reconnect', lastErrorCode: 'reconnect', nextRefreshAt: null }, event)
  t.strictSame(await world.look(), ['person_needed'])
  await erase('taken-back')
  t.strictSame(await world.look(), [], 'no recovery, and nothing new')
  await world.seed(world.instagram.issue(), 'taken-back')
  t.strictSame(await world.look(), ['recovered'])
})

eachEngine(t, 'a token that no key opens alerts', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  await world.seed(world.instagram.issue())
  await world.set('access_token', 'v1.otherkey.AAAA.AAAA')
  await world.refresh(true)
  t.strictSame(await world.look(), ['unreadable'])
  t.match(world.sent[0]?.message, /ENCRYPTION_KEY/)
})

eachEngine(t, 'three instances that run at once send each alert once', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  const names = Array.from({ length: 25 }, (_, n) => `shop-${n + 1}`)
  for (const name of names) await world.seed(world.instagram.issue(), name)
  await world.wait(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'noPermission')
  await world.refresh()
  const slowly: Channel['send'] = async (alerts) => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    world.sent.push(...alerts)
  }
  const instances = await Promise.all([1, 2, 3].map(() => engine.open()))
  await Promise.all(instances.map((db) => sendAlerts(world.instance(db, slowly))))
  await Promise.all(instances.map((db) => sendAlerts(world.instance(db, slowly))))
  t.strictSame(world.sent.map(({ account }) => account).sort(), names.toSorted())
})

eachEngine(t, 'an alert is sent again after a crash before its settling, and after a failed delivery', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  await world.seed(world.instagram.issue())
  await world.wait(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'noPermission')
  await world.refresh()
  // The process dies after the delivery, before it settles the claim.
  const dying = { ...createAlertStore(world.db), settleAlert: () => Promise.reject(new Error('killed')) }
  await t.rejects(sendAlerts({ ...world.instance(world.db), alerts: dying }), { message: 'killed' })
  t.equal(world.sent.length, 1)
  t.strictSame(await world.look(), [], 'its lease has not lapsed')
  await world.refresh(true)
  t.strictSame(await world.look(), [], 'a refresh does not end the lease')
  await world.wait(2 * 60_000)
  t.strictSame(await world.look(() => Promise.reject(new DeliveryError('HTTP 500'))), [])
  t.match(world.lines.at(-1), { message: /could not be delivered/, details: { account: 'default', event: 'person_needed' } })
  await world.wait(2 * 60_000)
  t.strictSame(await world.look(), ['person_needed'])
  await world.wait(2 * 60_000)
  t.strictSame(await world.look(), [])
})

eachEngine(t, 'a change during a delivery alerts after it', async (t, engine) => {
  const world = await alerting(await createStoreWorld(t, { open: () => engine.open() }))
  await world.seed(world.instagram.issue())
  await world.wait(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'noPermission', 1)
  await world.refresh()
  let recovered = false
  const recovering: Channel['send'] = async (alerts) => {
    world.sent.push(...alerts)
    if (!recovered) await world.refresh(true)
    recovered = true
  }
  t.strictSame(await world.look(recovering), ['person_needed', 'recovered'])
})

t.test('a webhook that is down is called once in a run, not once an account', async (t) => {
  const world = await alerting(await createStoreWorld(t))
  for (let n = 0; n < 20; n++) await world.seed(world.instagram.issue(), `shop-${n}`)
  await world.wait(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'noPermission')
  await world.refresh()
  let calls = 0
  const send = async (): Promise<never> => {
    calls++
    throw new Error('down')
  }
  await world.look(send)
  t.equal(calls, 1)
  await world.wait(2 * 60_000)
  t.equal((await world.look()).length, 20, 'all alerts follow once it is back')
})

t.test('paused and removed accounts do not alert', async (t) => {
  const world = await alerting(await createStoreWorld(t))
  for (const name of ['paused', 'removed']) await world.seed(world.instagram.issue(), name)
  await world.wait(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'noPermission')
  await world.refresh()
  const event = { actor: 'owner', outcome: 'ok', detail: null } as const
  await world.deps.store.update('paused', { pausedAt: world.deps.store.now() }, { ...event, account: 'paused', kind: 'paused' })
  await world.deps.store.remove('removed', { ...event, account: 'removed', kind: 'removed' })
  t.strictSame(await world.look(), [])
  await world.wait(8 * DAY_MS)
  t.strictSame(await world.look(), [])
})

import t from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { type Channel, DeliveryError } from '../../src/alerts/channel.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import { createHealthWatch } from '../../src/status/health.ts'
import { createSummary } from '../../src/status/summary.ts'
import { createOverview } from '../../src/storage/account-queries.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import { eachEngine } from '../storage/engines.ts'
import { channelsOn } from '../support/alert-channels.ts'
import { createStoreWorld, DAY_MS, type StoreWorld } from '../support/store-world.ts'

const MINUTE_MS = 60_000

/** A receiver that can be switched off. */
function receiver() {
  const messages: (readonly Alert[])[] = []
  const made = {
    messages,
    tries: 0,
    isUp: true,
    events: () => messages.flat().map(({ event }) => event),
    send: (async (alerts) => {
      made.tries++
      if (!made.isUp) throw new DeliveryError('the receiver is down')
      messages.push(alerts)
    }) satisfies Channel['send'],
  }
  return made
}

/** One instance with two channels; `tick` is what each minute does, after so much time. */
async function twoChannels(world: StoreWorld) {
  const [webhook, email] = [receiver(), receiver()]
  let clock = 0
  const clockMs = (): number => clock
  const { log } = world.deps
  const channels = channelsOn(world.db, { webhook: webhook.send, email: email.send }, { log, clockMs })
  return {
    webhook,
    email,
    channels,
    async tick(ms = MINUTE_MS) {
      clock += ms
      await world.db.query(`update alert_backlog set retry_at = $1`, [new Date(0)])
      await sendAlerts({ alerts: createAlertStore(world.db), channels, log, clockMs })
    },
    backlog: () => world.db.query('select account, channel from alert_backlog'),
  }
}

async function refused(world: StoreWorld, names: readonly string[]): Promise<void> {
  for (const name of names) await world.seed(world.instagram.issue(), name)
  await world.later(8 * DAY_MS)
  world.instagram.fail('/refresh_access_token', 'noPermission')
  await world.refresh()
}

eachEngine(t, 'an alert that one channel took is settled, and the other channel is tried again alone', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const { webhook, email, tick, backlog } = await twoChannels(world)
  email.isUp = false
  await refused(world, ['default'])
  await tick()
  await tick()
  t.strictSame([webhook.events(), email.events()], [['person_needed'], []])
  t.equal((await world.events()).filter(({ kind }) => kind === 'alert_sent').length, 1)
  t.equal((await backlog()).length, 1)
  email.isUp = true
  await tick(DAY_MS)
  await tick(DAY_MS)
  t.strictSame([webhook.events(), email.events()], [['person_needed'], ['person_needed']])
  t.equal((await backlog()).length, 0)
  world.instagram.heal()
  await world.refresh(true)
  await tick()
  t.strictSame([webhook.events().at(-1), email.events().at(-1)], ['recovered', 'recovered'])
})

eachEngine(t, 'a channel that missed an incident does not hear of its end', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const { webhook, email, tick, backlog } = await twoChannels(world)
  email.isUp = false
  await refused(world, ['default'])
  await tick()
  world.instagram.heal()
  await world.refresh(true)
  email.isUp = true
  await tick(DAY_MS)
  t.strictSame([webhook.events(), email.events()], [['person_needed', 'recovered'], []])
  t.equal((await backlog()).length, 0)
})

eachEngine(t, 'many accounts share one message', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const { webhook, email, tick } = await twoChannels(world)
  const names = Array.from({ length: 60 }, (_, n) => `shop-${n + 1}`)
  await refused(world, names)
  await tick()
  for (const { messages } of [webhook, email]) {
    t.equal(messages.length, 2)
    t.strictSame(
      messages
        .flat()
        .map(({ account }) => account)
        .sort(),
      names.toSorted(),
    )
  }
})

t.test(
  'a channel that is down for a week is tried a few times an hour, leaves the agent ready, and then gets what still holds',
  async (t) => {
    const world = await createStoreWorld(t)
    const { webhook, email, tick, channels } = await twoChannels(world)
    email.isUp = false
    await refused(world, ['shop', 'mended'])
    for (let minute = 0; minute < 7 * 24 * 60; minute += 5) await tick(5 * MINUTE_MS)
    t.ok(email.tries <= 7 * 24 * 5, `${email.tries} tries`)
    t.equal(webhook.messages.length, 1)
    t.match(channels.states(), [
      { kind: 'webhook', isUp: true, lastError: null },
      { kind: 'email', isUp: false, lastOkAt: null, lastError: 'The alert was not delivered: the receiver is down.' },
    ])
    const { store, vault } = world.deps
    const health = createHealthWatch({
      summary: createSummary({ store, overview: createOverview(world.db, vault.keyPrefixes), vault }).take,
      storeState: () => ({ up: true, since: new Date(), waitingSince: null, problem: null }),
      checkStore: async () => {},
      memcachedState: null,
      channelStates: channels.states,
    })
    t.match(await health.check(), { ready: true, parts: { alerts: { state: 'down', message: undefined } } })
    await world.set('paused_at', new Date(), 'mended')
    email.isUp = true
    await tick(16 * MINUTE_MS)
    t.strictSame(
      email.messages.map((alerts) => alerts.map(({ account }) => account)),
      [['shop']],
    )
    t.match(channels.states()[1], { isUp: true, lastError: null })
  },
)

t.test('a channel that hangs does not hold up the other', async (t) => {
  const world = await createStoreWorld(t)
  const { db, deps } = world
  const webhook = receiver()
  const hanging = Promise.withResolvers<void>()
  const channels = channelsOn(db, { email: () => hanging.promise, webhook: webhook.send }, { log: deps.log })
  await refused(world, ['default'])
  const run = sendAlerts({ alerts: createAlertStore(db), channels, log: deps.log })
  while (webhook.messages.length === 0) await new Promise((resolve) => setImmediate(resolve))
  hanging.reject(new DeliveryError('time out'))
  await run
  t.equal(webhook.messages.length, 1)
})

eachEngine(t, 'a new target gets one test message, of two instances, and none at the next start', async (t, engine) => {
  const { db } = await createStoreWorld(t, { open: () => engine.open() })
  const [webhook, other] = [receiver(), receiver()]
  const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const slowly: Channel['send'] = async (alerts) => {
    asked.resolve()
    await answer.promise
    await webhook.send(alerts)
  }
  const start = async (): Promise<void> => channelsOn(await engine.open(), { webhook: slowly }).testNew()
  const first = start()
  await asked.promise
  const second = start()
  // The second one ends while the first still waits for its receiver, or sends as well.
  await Promise.race([second, new Promise((resolve) => setTimeout(resolve, 500))])
  answer.resolve()
  await Promise.all([first, second])
  await start()
  t.strictSame(webhook.events(), ['test'])
  await channelsOn(db, { webhook: webhook.send, email: other.send }).testNew()
  t.strictSame([webhook.events(), other.events()], [['test'], ['test']])
})

t.test('an instance that died at the first message is followed by another', async (t) => {
  const { db } = await createStoreWorld(t)
  const webhook = receiver()
  await db.query("insert into alert_channels (channel, target, lease_until) values ('webhook', 'webhook', $1)", [new Date(Date.now() - 1)])
  await channelsOn(db, { webhook: webhook.send }).testNew()
  t.strictSame(webhook.events(), ['test'])
})

t.test('the button tries every channel, also one that rests, and says how each went', async (t) => {
  const { db } = await createStoreWorld(t)
  const [webhook, email] = [receiver(), receiver()]
  email.isUp = false
  const channels = channelsOn(db, { webhook: webhook.send, email: email.send })
  const error = 'The alert was not delivered: the receiver is down.'
  t.strictSame(await channels.test(), [
    { title: 'webhook', error: null },
    { title: 'email', error },
  ])
  t.strictSame(channels.open(), ['webhook'])
  email.isUp = true
  await Promise.all([channels.test(), channels.test()])
  t.equal(email.messages.length, 1, 'two presses at once are one message')
  t.strictSame(channels.open(), ['webhook', 'email'])
  await channels.send({ event: 'provider_trouble', account: null, state: null, message: 'Trouble.' })
  t.strictSame([webhook.events().at(-1), email.events().at(-1)], ['provider_trouble', 'provider_trouble'])
  webhook.isUp = false
  email.isUp = false
  await t.rejects(channels.send({ event: 'provider_trouble', account: null, state: null, message: 'Trouble.' }), { message: /no channel/ })
})

t.test('what a channel throws by mistake is not shown', async (t) => {
  const { db, deps } = await createStoreWorld(t)
  const channels = channelsOn(db, { webhook: () => Promise.reject(new Error('canary')) }, { log: deps.log })
  t.notMatch(JSON.stringify([await channels.test(), channels.states()]), /canary/)
})

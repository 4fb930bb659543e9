import t from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import { eachEngine } from '../storage/engines.ts'
import { channelsOn, into } from '../support/alert-channels.ts'
import { createFeedWorld, DAY_MS, HOUR_MS } from '../support/feed-world.ts'

eachEngine(t, 'a feed that is read and fails for six hours alerts once, each week, and when it ends', async (t, engine) => {
  const world = await createFeedWorld(t, { open: () => engine.open() })
  const sent: Alert[] = []
  const { log } = world.deps
  const channels = channelsOn(world.db, { webhook: into(sent) }, { log })
  const alerts = async (): Promise<string[]> => {
    await sendAlerts({ alerts: createAlertStore(world.db), channels, log })
    return sent.splice(0).map(({ event }) => event)
  }
  /** A visitor each hour, and whether an alert was sent. */
  async function hours(count: number): Promise<string[]> {
    const seen: string[] = []
    for (let hour = 0; hour < count; hour++) {
      await world.travel(HOUR_MS)
      await world.visit()
      await world.feeds.fetching.run()
      await world.feeds.fetching.settled()
      seen.push(...(await alerts()))
    }
    return seen
  }
  await world.connect()
  await world.visit()
  t.strictSame(await alerts(), [])
  world.instagram.fail('/me/media', 'serviceTrouble')
  t.strictSame(await hours(5), [], 'not yet')
  t.strictSame(await hours(12), ['feed_stale'])
  t.match((await world.events('shop'))[0], {
    kind: 'alert_sent',
    detail: /The feed of the account “shop”.* for six hours or more; pages show the last ones\. /,
  })
  t.strictSame(await hours(24 * 6), [], 'once an incident')
  t.strictSame(await hours(24 * 2), ['feed_stale'], 'and each week')
  world.instagram.heal('/me/media')
  t.strictSame(await hours(8), ['recovered'])
  t.strictSame(await hours(3), [])

  world.instagram.fail('/me/media', 'serviceTrouble')
  await hours(10)
  await world.change('shop', { serves: 'token' })
  t.strictSame(await hours(24 * 8), [], 'switched off: neither goes on nor ends')
  await world.change('shop', { serves: 'both' })
  world.instagram.heal('/me/media')
  t.strictSame(await hours(3), ['recovered'])
})

t.test('a failing feed that is switched off before its alert sends none', async (t) => {
  const world = await createFeedWorld(t)
  const sent: Alert[] = []
  const { log } = world.deps
  const channels = channelsOn(world.db, { webhook: into(sent) }, { log })
  await world.connect()
  await world.visit()
  world.instagram.fail('/me/media', 'serviceTrouble')
  for (let poll = 0; poll < 8; poll++) await world.poll()
  await world.change('shop', { serves: 'token' })
  for (let poll = 0; poll < 30; poll++) {
    await world.poll()
    await world.db.query('update accounts set alert_at = next_check_at')
    await sendAlerts({ alerts: createAlertStore(world.db), channels, log })
  }
  t.strictSame(sent, [])
})

t.test('a feed that nobody reads, or whose token is in trouble, sends no alert of its own', async (t) => {
  const world = await createFeedWorld(t)
  const sent: Alert[] = []
  const { log } = world.deps
  const channels = channelsOn(world.db, { webhook: into(sent) }, { log })
  const look = async (): Promise<string[]> => {
    await sendAlerts({ alerts: createAlertStore(world.db), channels, log })
    return sent.splice(0).map(({ event }) => event)
  }
  await world.connect()
  await world.visit()
  world.instagram.fail('/me/media', 'serviceTrouble')
  for (let hour = 0; hour < 8; hour++) await world.poll()
  await world.set('state', 'reconnect', 'shop')
  await world.set('last_error_code', 'refused', 'shop')
  for (let poll = 0; poll < 30; poll++) await world.poll()
  t.notOk((await look()).includes('feed_stale'))
  await world.travel(8 * DAY_MS)
  await world.set('state', 'active', 'shop')
  await world.set('last_error_code', null, 'shop')
  await world.feeds.fetching.run()
  t.notOk((await look()).includes('feed_stale'))
})

import t, { type Test } from 'tap'
import { recheckKeys } from '../../src/accounts/recheck-keys.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createOverview } from '../../src/storage/account-queries.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { channelsOn, into } from '../support/alert-channels.ts'
import { createStoreWorld, DAY_MS, HOUR_MS, MINUTE_MS, type StoreWorld } from '../support/store-world.ts'
import { createVirtualClock } from '../support/virtual-clock.ts'

interface Trouble {
  readonly begin: (world: StoreWorld) => unknown
  readonly event: Alert['event']
  /** Days before the token's end at least; null = it is alerted within 26 hours, because the site breaks at once. */
  readonly aheadDays: number | null
  /** The agent does not refresh at all. */
  readonly isIdle?: true
  readonly mode?: 'cron' | 'scheduled'
}

const refuse = (fault: 'noPermission' | 'html502') => (world: StoreWorld) => world.instagram.fail('/refresh_access_token', fault)

/** Whatever only a person can correct. */
const TROUBLES: Readonly<Record<string, Trouble>> = {
  'a permission or a setting is missing': { begin: refuse('noPermission'), event: 'person_needed', aheadDays: 7 },
  'the same where only the last quarter is used': {
    begin: refuse('noPermission'),
    event: 'person_needed',
    aheadDays: 7,
    mode: 'scheduled',
  },
  'the provider does not refresh any more': { begin: refuse('html502'), event: 'failing_for_a_day', aheadDays: 7 },
  'the same in the last quarter': { begin: refuse('html502'), event: 'quarter_of_life_left', aheadDays: 7, mode: 'scheduled' },
  'the end comes near for another reason': { begin: () => {}, event: 'quarter_of_life_left', aheadDays: 7, isIdle: true },
  'the user has ended the token': {
    begin: async ({ instagram, token }) => instagram.revoke(await token()),
    event: 'person_needed',
    aheadDays: null,
  },
  'the provider has said that the user took the grant back': {
    async begin({ deps, account }) {
      const { version } = await account()
      const event = { account: 'default', kind: 'reconnect_needed', actor: 'provider', outcome: 'failed', detail: null } as const
      await deps.store.replace('default', version, { state: 'reconnect', lastErrorCode: 'reconnect' }, event)
    },
    event: 'person_needed',
    aheadDays: null,
  },
  'a restart brings another key': {
    async begin({ db, vault, set, deps }) {
      await set('access_token', 'v1.otherkey.AAAA.AAAA')
      await recheckKeys({ overview: createOverview(db, vault.keyPrefixes), vault, providers: deps.providers, log: deps.log })
    },
    event: 'unreadable',
    aheadDays: null,
  },
}

/** The first alert after the trouble, how long after it began, and how long before the token's end. */
async function alertOf(t: Test, { begin, isIdle, mode = 'cron' }: Trouble) {
  let nowMs = Date.now()
  const sqlite = await openSqlite(':memory:')
  const clock = await createVirtualClock(sqlite, new Date(nowMs))
  const world = await createStoreWorld(t, { open: async () => clock.of(sqlite), policy: { mode } })
  const { db, deps, instagram } = world
  await world.seed(instagram.issue())
  const { check } = world.checker()
  const sent: Alert[] = []
  const channels = channelsOn(db, { webhook: into(sent) }, { clockMs: () => nowMs })
  const goTo = async (ms: number): Promise<void> => {
    instagram.clock.advance(ms - nowMs)
    nowMs = ms
    await clock.set(new Date(nowMs))
  }
  await goTo(nowMs + 2 * DAY_MS)
  // The worst moment: the next daily look is a day away.
  if (!isIdle) await check()
  const beganMs = nowMs
  const endsMs = (await world.account()).expiresAt?.getTime() ?? 0
  await begin(world)
  while (sent.length === 0 && nowMs < endsMs) {
    const [row] = await db.query<Record<string, string | null>>('select next_refresh_at, next_check_at, alert_at from accounts')
    const due = Object.entries(row ?? {}).flatMap(([column, at]) =>
      at === null || (isIdle && column !== 'alert_at') ? [] : [Date.parse(at)],
    )
    // The timer's next tick.
    await goTo(Math.max(nowMs, ...(due.length === 0 ? [endsMs] : [Math.min(...due)])) + MINUTE_MS)
    if (!isIdle) {
      await refreshDue(deps, { actor: 'timer' })
      await check()
    }
    await sendAlerts({ alerts: createAlertStore(db), channels, log: deps.log, clockMs: () => nowMs })
  }
  return { alert: sent[0], afterHours: (nowMs - beganMs) / HOUR_MS, aheadDays: (endsMs - nowMs) / DAY_MS }
}

t.jobs = 4
for (const [what, trouble] of Object.entries(TROUBLES)) {
  const { event, aheadDays } = trouble
  const when = aheadDays === null ? 'within 26 hours' : `${aheadDays} days ahead at least`
  t.test(`${what}: alerted ${when}`, async (t) => {
    const found = await alertOf(t, trouble)
    t.comment(`after ${found.afterHours.toFixed(1)} h, ${found.aheadDays.toFixed(1)} days ahead`)
    t.equal(found.alert?.event, event)
    if (aheadDays === null) t.ok(found.afterHours <= 26, `${found.afterHours} h`)
    else t.ok(found.aheadDays >= aheadDays, `${found.aheadDays} days`)
  })
}

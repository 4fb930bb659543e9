import fc from 'fast-check'
import t from 'tap'
import { nextRefreshAt, type RefreshHistory, type RefreshPolicy } from '../../src/refreshing/next-refresh.ts'
import { words } from '../support/words.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const NOW = new Date('2026-11-22T14:00:00Z')

const fresh: RefreshHistory = {
  issuedAt: NOW,
  expiresAt: new Date(NOW.getTime() + 60 * DAY),
  refused: false,
  failureCount: 0,
  retryAfterSeconds: null,
  minimumAgeSeconds: 86_400,
}
const monthly: RefreshPolicy = { mode: 'cron', frequency: 'monthly', random: () => 0 }
const waitMs = (history: Partial<RefreshHistory>, policy: Partial<RefreshPolicy> = {}, now = NOW) =>
  nextRefreshAt({ ...fresh, ...history }, { ...monthly, ...policy }, now).getTime() - now.getTime()

const instant = fc.date({ min: new Date('2020-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const policy = fc.record<RefreshPolicy>({
  mode: fc.constantFrom('cron', 'scheduled'),
  frequency: fc.constantFrom('daily', 'weekly', 'monthly'),
  random: chance.map((value) => () => value),
})
const minimumAgeSeconds = fc.constantFrom(0, 86_400)
const lifeMs = fc.oneof(
  fc.integer({ min: 1000, max: 3 * HOUR }),
  fc.integer({ min: HOUR, max: 40 * HOUR }),
  fc.integer({ min: DAY, max: 400 * DAY }),
)
/** After a success: issued a moment before `now`. */
const success = fc
  .record({ now: instant, lagMs: fc.integer({ min: 0, max: 20_000 }), lifeMs, minimumAgeSeconds })
  .map(({ now, lagMs, ...rest }) => {
    const issuedAt = new Date(now.getTime() - lagMs)
    const expiresAt = new Date(issuedAt.getTime() + rest.lifeMs)
    return { now, life: rest.lifeMs, history: { ...fresh, issuedAt, expiresAt, minimumAgeSeconds: rest.minimumAgeSeconds } }
  })

t.test('refreshes daily, weekly or monthly after a success', async (t) => {
  const random = () => 0.5
  for (const [frequency, days] of [
    ['daily', 1],
    ['weekly', 7],
    ['monthly', 30],
  ] as const) {
    const wait = waitMs({}, { frequency, random })
    t.ok(Math.abs(wait - days * DAY) <= 10 * MINUTE, `${frequency} in ${wait / DAY} days`)
  }
})

t.test('waits for the last quarter of a life in the mode “scheduled”, and never longer in the mode “cron”', async (t) => {
  t.equal(waitMs({}, { mode: 'scheduled' }), 45 * DAY)
  t.equal(waitMs({ expiresAt: new Date(NOW.getTime() + 20 * DAY) }), 15 * DAY)
  t.equal(waitMs({ expiresAt: new Date(NOW.getTime() + 2 * HOUR), minimumAgeSeconds: 0 }, { frequency: 'daily' }), 1.5 * HOUR)
})

t.test('leaves a quarter of the life for retries, with any policy and random number', async () => {
  fc.assert(
    fc.property(success, policy, ({ now, life, history }, policy) => {
      const next = nextRefreshAt(history, policy, now)
      return next.getTime() <= history.expiresAt.getTime() - life / 4
    }),
    { numRuns: 20_000 },
  )
})

t.test('never refreshes before the minimum age, except a token that would expire first', async (t) => {
  fc.assert(
    fc.property(success, policy, ({ now, life, history }, policy) => {
      const age = nextRefreshAt(history, policy, now).getTime() - history.issuedAt.getTime()
      const needed = history.minimumAgeSeconds * 1000
      // Instants are whole milliseconds, so a quarter of an odd life is rounded.
      return life * 0.75 >= needed ? age >= needed : age === Math.floor(life * 0.75)
    }),
    { numRuns: 20_000 },
  )
  t.equal(waitMs({ expiresAt: new Date(NOW.getTime() + 32 * HOUR) }, { frequency: 'daily' }), DAY)
  t.equal(waitMs({ expiresAt: new Date(NOW.getTime() + 30 * HOUR) }, { frequency: 'daily' }), 22.5 * HOUR)
})

t.test('never refreshes long before the end of the period if the life has room', async () => {
  fc.assert(
    fc.property(success, policy, ({ now, life, history }, policy) => {
      const period = policy.mode === 'scheduled' ? Infinity : { daily: 1, weekly: 7, monthly: 30 }[policy.frequency] * DAY
      const soonest = Math.min(now.getTime() + period, history.expiresAt.getTime() - life / 4) - Math.min(10 * MINUTE, life / 100)
      return nextRefreshAt(history, policy, now).getTime() >= soonest - 1
    }),
    { numRuns: 20_000 },
  )
})

t.test('spreads installations over some minutes in each frequency and mode', async (t) => {
  for (const frequency of ['daily', 'weekly', 'monthly'] as const) {
    for (const mode of ['cron', 'scheduled'] as const) {
      for (const history of [{}, { issuedAt: null, expiresAt: null }, { refused: true }]) {
        const waits = [0, 0.25, 0.5, 0.75, 0.999].map((value) => waitMs(history, { frequency, mode, random: () => value }))
        const name = `${frequency} ${mode} ${JSON.stringify(history)}`
        t.equal(new Set(waits).size, waits.length, name)
        t.ok(Math.max(...waits) - Math.min(...waits) <= 10 * MINUTE, name)
      }
    }
  }
})

t.test('tries a token of unknown life within about a day', async () => {
  fc.assert(
    fc.property(policy, fc.option(instant), fc.option(instant), (policy, issuedAt, expiresAt) => {
      fc.pre(issuedAt === null || expiresAt === null)
      const wait = waitMs({ issuedAt, expiresAt }, policy)
      return wait >= DAY && wait <= DAY + 10 * MINUTE
    }),
  )
})

t.test('backs off from 1 minute to 6 hours or an eighth of the life after failures, doubling, with jitter', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), policy, success, (failureCount, policy, { history, now }) => {
      const wait = nextRefreshAt({ ...history, failureCount }, policy, now).getTime() - now.getTime()
      const { issuedAt, expiresAt } = history
      const life = issuedAt === null || expiresAt === null ? Number.POSITIVE_INFINITY : expiresAt.getTime() - issuedAt.getTime()
      return wait >= MINUTE && wait <= Math.min(6 * HOUR, Math.max(2 * MINUTE, life / 8))
    }),
    { numRuns: 5_000 },
  )
  let before = 0
  for (let failureCount = 1; failureCount <= 40; failureCount++) {
    const shortest = waitMs({ failureCount }, { random: () => 0 })
    const longest = waitMs({ failureCount }, { random: () => 1 })
    t.ok(longest >= shortest * 1.5, `${failureCount} failures: ${shortest / MINUTE} to ${longest / MINUTE} minutes`)
    t.ok(
      shortest >= before && (before === 0 || shortest <= before * 2),
      'never shorter than the step before, never more than twice as long',
    )
    before = shortest
  }
  t.equal(waitMs({ failureCount: 1 }), MINUTE)
  t.equal(waitMs({ failureCount: 40 }, { random: () => 1 }), 6 * HOUR)
})

t.test('waits as long as the provider asked, but no longer than a day', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 1e7 }), policy, (failureCount, retryAfterSeconds, policy) => {
      const wait = waitMs({ failureCount, retryAfterSeconds }, policy)
      const retryAfterMs = Math.min(retryAfterSeconds * 1000, DAY)
      return wait >= retryAfterMs && wait >= MINUTE && wait <= Math.max(retryAfterMs + MINUTE, 6 * HOUR)
    }),
    { numRuns: 5_000 },
  )
  for (const retryAfterSeconds of [0, -5, Number.NaN])
    t.equal(waitMs({ failureCount: 1, retryAfterSeconds }), MINUTE, `${retryAfterSeconds}`)
  t.equal(waitMs({ failureCount: 1, retryAfterSeconds: Infinity }), DAY)
})

t.test('probes a refused token about once a day, however often it was refused', async () => {
  fc.assert(
    fc.property(fc.nat(1000), policy, success, (failureCount, policy, { history, now }) => {
      const wait = nextRefreshAt({ ...history, failureCount, refused: true }, policy, now).getTime() - now.getTime()
      return wait >= DAY && wait <= DAY + 10 * MINUTE
    }),
  )
})

t.test('counts elapsed time: summer time, leap days and zones have no effect', async (t) => {
  const zone = process.env['TZ']
  t.teardown(() => {
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
  })
  const eves = words`
    2026-03-28T12:00:00Z 2026-10-24T12:00:00Z 2028-02-28T12:00:00Z 2027-02-27T12:00:00Z 2026-12-31T23:59:59Z 2026-09-26T13:00:00Z
  `
  for (const TZ of ['UTC', 'Europe/Berlin', 'Pacific/Chatham', 'America/St_Johns', 'Australia/Lord_Howe']) {
    process.env['TZ'] = TZ
    for (const eve of eves) {
      const now = new Date(eve)
      const history = { issuedAt: now, expiresAt: new Date(now.getTime() + 60 * DAY) }
      t.equal(waitMs(history, { frequency: 'weekly' }, now), 7 * DAY, `${TZ} ${eve}`)
      t.equal(waitMs(history, { mode: 'scheduled' }, now), 45 * DAY, `${TZ} ${eve}`)
    }
  }
})

t.test('gives a usable instant for every history', async () => {
  const history = fc.record<RefreshHistory>({
    issuedAt: fc.option(instant),
    expiresAt: fc.option(instant),
    refused: fc.boolean(),
    failureCount: fc.nat(),
    retryAfterSeconds: fc.option(fc.double()),
    minimumAgeSeconds,
  })
  fc.assert(
    fc.property(history, policy, instant, (history, policy, now) => !Number.isNaN(nextRefreshAt(history, policy, now).getTime())),
    { numRuns: 20_000 },
  )
})

import { setImmediate as settled } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RefreshRequest } from '../src/refreshing/refresh-due.ts'
import { type Clock, startSchedule } from '../src/timer.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** A machine with simulated time. */
function createClock() {
  let monotonic = 0
  let lead = Date.parse('2026-01-01T00:00:00Z')
  const timers = new Set<{ at: number; everyMs: number; run(): void }>()
  const begin = (everyMs: number, run: () => void, at = monotonic + everyMs) => {
    const timer = { at, everyMs, run }
    timers.add(timer)
    return Object.assign(() => void timers.delete(timer), { timer })
  }
  let restarts = 0
  const clock: Clock = {
    wallMs: () => monotonic + lead,
    monotonicMs: () => monotonic,
    every: begin,
    after: (ms, run) => begin(Number.POSITIVE_INFINITY, run, monotonic + ms),
    everyMinute: (run) => {
      const stop = begin(MINUTE_MS, run)
      const restart = () => {
        restarts++
        stop.timer.at = monotonic + MINUTE_MS
      }
      return { restart, stop }
    },
  }
  return {
    clock,
    restarts: () => restarts,
    /** Advances time; runs each timer and the work that it starts. */
    async pass(ms: number) {
      for (const end = monotonic + ms; ; ) {
        const next = [...timers].toSorted((a, b) => a.at - b.at)[0]
        if (next === undefined || next.at > end) {
          monotonic = end
          return settled()
        }
        monotonic = Math.max(monotonic, next.at)
        next.at = monotonic + next.everyMs
        next.run()
        await settled()
      }
    },
    /** Steps the wall clock, as a clock correction or a sleep does. */
    step(ms: number) {
      lead += ms
    },
    /** Suspends the process for so long. */
    stand(ms: number) {
      monotonic += ms
    },
  }
}

interface Work {
  seed(): Promise<boolean>
  recheck(): Promise<void>
  sweep(): Promise<void>
}

/** A schedule that records its ticks, after the first one. */
async function start(t: Test, work: Partial<Work> = {}) {
  const seen = { seeds: 0, rechecks: 0, sweeps: [] as RefreshRequest[], maintained: 0, warnings: [] as string[], order: [] as string[] }
  const services = {
    seedFromEnvironment: async () => {
      seen.seeds++
      seen.order.push('seed')
      return (await work.seed?.()) ?? true
    },
    recheckKeys: async () => {
      seen.rechecks++
      seen.order.push('recheck')
      await work.recheck?.()
    },
    sweep: async (request: RefreshRequest) => {
      seen.sweeps.push(request)
      seen.order.push('sweep')
      await work.sweep?.()
      return { refreshed: 0, failed: 0, results: [] }
    },
    checkTokens: async () => void seen.order.push('check'),
    leasesOverMs: 42_000,
    fetchFeeds: async () => {},
    maintain: async () => void seen.maintained++,
  }
  const log = { info: () => {}, warn: (_: object, message: string) => void seen.warnings.push(message) }
  const machine = createClock()
  const schedule = startSchedule(services, log, machine.clock)
  t.teardown(() => schedule.stop())
  await settled()
  return { ...machine, schedule, seen, actors: () => seen.sweeps.map(({ actor }) => actor) }
}

t.test('the first tick is at the start: it seeds the starting token, then refreshes due accounts', async (t) => {
  const { schedule, seen, actors } = await start(t)
  await schedule.booted
  t.same(seen.order, ['seed', 'recheck', 'sweep', 'check'])
  t.same(actors(), ['boot'])
  t.equal(seen.maintained, 1)
})

t.test('a tick follows each minute, and another “boot” tick once the leases of a crashed process have ended', async (t) => {
  const { pass, actors, seen } = await start(t)
  await pass(41_999)
  t.same(actors(), ['boot'])
  await pass(1)
  t.same(actors(), ['boot', 'boot'])
  t.equal(seen.rechecks, 2, 'it also compares the keys with formerly leased rows')
  await pass(5 * MINUTE_MS - 42_000)
  t.same(actors(), ['boot', 'boot', ...Array(5).fill('timer')])
  t.equal(seen.rechecks, 2)
})

t.test('after a sleep, a clock step or a suspension it ticks within seconds', async (t) => {
  for (const ms of [HOUR_MS, -HOUR_MS, 24 * HOUR_MS, 5_000]) {
    const { step, pass, actors, restarts } = await start(t)
    step(ms)
    await pass(2_000)
    t.same(actors(), ['boot', 'timer'], `${ms} ms`)
    t.equal(restarts(), 1, 'cron waits for the new minute')
    await pass(10_000)
    t.equal(actors().length, 2, 'once')
  }
  const { stand, pass, actors } = await start(t)
  stand(5_000)
  await pass(2_000)
  t.same(actors(), ['boot', 'timer'])
  const drifting = await start(t)
  drifting.step(4_999)
  drifting.stand(2_500)
  await drifting.pass(2_000)
  t.same(drifting.actors(), ['boot'], 'a busy machine has not slept')
})

t.test('a starting token that could not be checked is tried again at the next tick, a checked one is not', async (t) => {
  let answers = false
  const { pass, seen } = await start(t, { seed: async () => answers })
  t.equal(seen.seeds, 1)
  await pass(MINUTE_MS)
  t.equal(seen.seeds, 3, 'also at the end of the leases')
  answers = true
  await pass(2 * MINUTE_MS)
  t.equal(seen.seeds, 4)
})

t.test('the key check repeats until the store answers, delays no refresh, and then stops', async (t) => {
  let answers = false
  const recheck = () => (answers ? Promise.resolve() : Promise.reject(new Error('the store does not answer')))
  const { pass, seen } = await start(t, { recheck })
  t.equal(seen.sweeps.length, 1, 'due accounts are refreshed nevertheless')
  t.match(seen.warnings, [/keys could not be compared/])
  await pass(MINUTE_MS)
  answers = true
  await pass(MINUTE_MS)
  t.equal(seen.rechecks, 4)
  await pass(MINUTE_MS)
  t.equal(seen.rechecks, 4)
})

t.test('a failing tick is logged, and the next one comes', async (t) => {
  let broken = true
  const sweep = () => (broken ? Promise.reject(new Error('the store is down')) : Promise.resolve())
  const { pass, seen } = await start(t, { sweep })
  t.match(seen.warnings, [/could not be finished/])
  broken = false
  await pass(MINUTE_MS)
  t.equal(seen.sweeps.length, 3)
  t.equal(seen.warnings.length, 1)
})

t.test('ticks never overlap, and alerts do not wait for a long one', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { schedule, step, pass, seen } = await start(t, { sweep: () => promise })
  await pass(MINUTE_MS)
  step(HOUR_MS)
  await pass(MINUTE_MS)
  t.equal(seen.sweeps.length, 1)
  t.ok(seen.maintained >= 3)
  resolve()
  await schedule.booted
  await pass(MINUTE_MS)
  t.equal(seen.sweeps.length, 2)
})

t.test('after a stop there are no more ticks', async (t) => {
  const { schedule, step, pass, seen } = await start(t)
  schedule.stop()
  step(HOUR_MS)
  await pass(HOUR_MS)
  t.equal(seen.sweeps.length, 1)
})

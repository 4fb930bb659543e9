import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RefreshRequest } from '../src/refreshing/refresh-due.ts'
import { type Schedule, startSchedule } from '../src/timer.ts'
import { waitFor } from './support/wait-for.ts'

const HOUR_MS = 3_600_000

/** A schedule whose ticks are written down, and whose wall clock can be stepped. */
function start(
  t: Test,
  {
    seed,
    recheck,
    sweep,
    leasesOverMs = 42_000,
  }: { seed?: () => Promise<boolean>; recheck?: () => Promise<void>; sweep?: () => Promise<void>; leasesOverMs?: number } = {},
) {
  const seen = {
    seeds: 0,
    rechecks: 0,
    sweeps: [] as RefreshRequest[],
    maintained: 0,
    warnings: [] as string[],
    running: 0,
    mostRunning: 0,
  }
  let stepMs = 0
  const services = {
    seedFromEnvironment: () => {
      seen.seeds++
      return seed?.() ?? Promise.resolve(true)
    },
    recheckKeys: () => {
      seen.rechecks++
      return recheck?.() ?? Promise.resolve()
    },
    sweep: async (request: RefreshRequest) => {
      seen.sweeps.push(request)
      seen.mostRunning = Math.max(seen.mostRunning, ++seen.running)
      await (sweep?.() ?? Promise.resolve()).finally(() => seen.running--)
      return { refreshed: 0, failed: 0, results: [] }
    },
    checkTokens: async () => {},
    leasesOverMs,
    maintain: async () => void seen.maintained++,
  }
  const log = { info: () => {}, warn: (_: object, message: string) => void seen.warnings.push(message) }
  const schedule: Schedule = startSchedule(services, log, () => Date.now() + stepMs)
  t.teardown(() => schedule.stop())
  return {
    schedule,
    seen,
    /** As after a sleep, or a clock that was set. */
    step(ms: number) {
      stepMs += ms
    },
    ticks: () => seen.sweeps.length,
  }
}

t.test('the first tick is at the start, takes the starting token over and then refreshes what is due', async (t) => {
  const order: string[] = []
  const { schedule, seen } = start(t, {
    seed: async () => order.push('seed') > 0,
    recheck: async () => void order.push('recheck'),
    sweep: async () => void order.push('sweep'),
  })
  await schedule.booted
  t.same(order, ['seed', 'recheck', 'sweep'])
  t.match(seen.sweeps[0], { actor: 'boot' })
  await waitFor('the maintain', () => seen.maintained > 0)
})

t.test('a tick follows when the leases of a process that crashed are over', async (t) => {
  const { schedule, seen } = start(t, { leasesOverMs: 50 })
  await schedule.booted
  await waitFor('the second tick', () => seen.sweeps.filter(({ actor }) => actor === 'boot').length === 2, { timeoutMs: 1900 })
  t.equal(seen.rechecks, 2, 'it also compares the keys with what was leased')
})

t.test('a machine that slept, or whose clock was set, ticks within seconds', async (t) => {
  for (const ms of [HOUR_MS, -HOUR_MS, 24 * HOUR_MS]) {
    const { schedule, step, ticks, seen } = start(t)
    await schedule.booted
    const before = ticks()
    step(ms)
    await waitFor('a tick', () => ticks() > before, { timeoutMs: 10_000 })
    t.match(seen.sweeps.at(-1), { actor: 'timer' })
    schedule.stop()
  }
})

t.test('a starting token that could not be checked is asked about again at the next tick, and one that was is not', async (t) => {
  let answers = false
  const { schedule, step, seen, ticks } = start(t, { seed: async () => answers })
  await schedule.booted
  t.equal(seen.seeds, 1)
  step(HOUR_MS)
  await waitFor('another question', () => seen.seeds > 1, { timeoutMs: 10_000 })
  answers = true
  step(HOUR_MS)
  await waitFor('the last question', () => seen.seeds > 2, { timeoutMs: 10_000 })
  const [seeds, before] = [seen.seeds, ticks()]
  step(HOUR_MS)
  await waitFor('another tick', () => ticks() > before, { timeoutMs: 10_000 })
  t.equal(seen.seeds, seeds)
})

t.test('the keys are compared until the store has answered, holding nothing up, and not at each tick', async (t) => {
  let answers = false
  const { schedule, step, seen, ticks } = start(t, {
    recheck: () => (answers ? Promise.resolve() : Promise.reject(new Error('the store does not answer'))),
  })
  await schedule.booted
  t.equal(ticks(), 1, 'what is due is refreshed all the same')
  t.match(seen.warnings, [/keys could not be compared/])
  answers = true
  step(HOUR_MS)
  await waitFor('another look', () => seen.rechecks > 1, { timeoutMs: 10_000 })
  const [rechecks, before] = [seen.rechecks, ticks()]
  step(HOUR_MS)
  await waitFor('another tick', () => ticks() > before, { timeoutMs: 10_000 })
  t.equal(seen.rechecks, rechecks)
})

t.test('a tick that fails is told, and the next one comes all the same', async (t) => {
  let broken = true
  const { schedule, step, seen, ticks } = start(t, {
    sweep: () => (broken ? Promise.reject(new Error('the store is down')) : Promise.resolve()),
  })
  await schedule.booted
  t.match(seen.warnings, [/could not be finished/])
  broken = false
  const before = ticks()
  step(HOUR_MS)
  await waitFor('another tick', () => ticks() > before, { timeoutMs: 10_000 })
  t.equal(seen.warnings.length, 1)
})

t.test('ticks never run side by side', async (t) => {
  const { schedule, step, seen } = start(t, { sweep: () => sleep(5000) })
  await sleep(100)
  step(HOUR_MS)
  await sleep(2500)
  step(HOUR_MS)
  await schedule.booted
  await sleep(100)
  t.equal(seen.mostRunning, 1)
})

t.test('after a stop nothing ticks any more', async (t) => {
  const { schedule, step, ticks } = start(t)
  await schedule.booted
  schedule.stop()
  const before = ticks()
  step(HOUR_MS)
  await sleep(5000)
  t.equal(ticks(), before)
})

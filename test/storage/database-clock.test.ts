import t from 'tap'
import { createDatabaseClock } from '../../src/storage/database-clock.ts'

const START_MS = Date.parse('2026-11-26T12:00:00Z')
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** A database and a machine, each with its own clock; `tookMs` = the duration of an answer. */
function createWorld() {
  const at = { monotonicMs: 1000, wallMs: START_MS, databaseMs: START_MS }
  const clock = createDatabaseClock(
    () => at.monotonicMs,
    () => at.wallMs,
  )
  const pass = (ms: number): void => {
    for (const key of ['monotonicMs', 'wallMs', 'databaseMs'] as const) at[key] += ms
  }
  return {
    at,
    clock,
    pass,
    async hear(tookMs = 0) {
      const query = async () => {
        const told = new Date(at.databaseMs)
        pass(tookMs)
        return [{ clock: told }] as never[]
      }
      await clock.ask({ query }, 'select', [])
    },
    errorMs: () => clock.nowMs() - at.databaseMs,
  }
}

t.test('follows the database’s clock, whatever this machine’s clock shows', async (t) => {
  const { at, clock, pass, hear, errorMs } = createWorld()
  t.notOk(clock.isSure(), 'not before the first answer')
  t.equal(clock.nowMs(), at.wallMs)
  at.wallMs -= DAY_MS
  await hear()
  t.equal(errorMs(), 0)
  t.ok(clock.isSure(), 'a clock that is a day behind does not matter')
  pass(4 * MINUTE_MS)
  t.equal(errorMs(), 0)
  t.ok(clock.isSure())
  for (const stepMs of [-DAY_MS, 2 * DAY_MS, -3000]) {
    at.wallMs += stepMs
    t.equal(errorMs(), 0, 'a step changes nothing')
    t.notOk(clock.isSure(), 'the machine may have been suspended')
    await hear()
    t.ok(clock.isSure())
  }
  pass(10 * MINUTE_MS)
  t.notOk(clock.isSure(), 'after minutes without an answer')
})

t.test('a late answer, or one after a suspension, does not set the clock', async (t) => {
  const { clock, hear, errorMs } = createWorld()
  await hear(10 * MINUTE_MS)
  t.notOk(clock.isSure(), 'a late first answer sets the clock, but it is not sure')
  await hear(100)
  t.ok(clock.isSure())
  await hear(5000)
  t.ok(Math.abs(errorMs()) <= 50, `${errorMs()} ms off`)
  t.ok(clock.isSure())
})

t.test('after a failover to a clock that is behind, no value of the old clock looks young', async (t) => {
  const { at, clock, pass, hear, errorMs } = createWorld()
  await hear()
  at.databaseMs -= 90_000
  await hear()
  t.equal(errorMs(), 0, 'the new clock counts')
  // Values of the old clock look young until the new clock is a minute past it.
  for (const seconds of [0, 60, 149]) {
    pass(seconds * 1000)
    await hear()
    t.notOk(clock.isSure(), `${seconds} s later`)
    pass(-seconds * 1000)
  }
  pass(151_000)
  await hear()
  t.ok(clock.isSure())
  at.databaseMs += 90_000
  await hear()
  t.ok(clock.isSure(), 'with a clock that is ahead old values only look older')
})

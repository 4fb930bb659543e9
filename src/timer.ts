import { schedule } from 'node-cron'
import type { Agent } from './agent.ts'
import type { Log } from './core/log.ts'

export interface Schedule {
  /** The tick at the start has ended, well or not. */
  readonly booted: Promise<void>
  stop(): void
}

const WATCH_MS = 2_000
const STEP_MS = 5_000
/** Longer than any lease. */
const LEASES_OVER_MS = 42_000

/**
 * A tick a minute: what is due lives in the database, so a tick that is missed costs nothing but its minute.
 * `wallClock` is in milliseconds, and a parameter so that a test can step it.
 */
export function startSchedule(work: Agent['work'], log: Log, wallClock = Date.now): Schedule {
  let seeded = false
  let keysRechecked = false
  let ticking: Promise<void> | null = null
  const recheckKeys = async (): Promise<void> => {
    try {
      await work.recheckKeys()
      keysRechecked = true
    } catch (err) {
      log.warn({ err }, 'the keys could not be compared with what is stored; the next try is in a minute')
    }
  }
  const run = async (actor: 'boot' | 'timer'): Promise<void> => {
    try {
      if (!seeded) seeded = await work.seedFromEnvironment()
      // Again when the first leases are over: what another process was at work on is passed over.
      if (actor === 'boot' || !keysRechecked) await recheckKeys()
      await work.sweep({ actor })
      await work.checkTokens()
    } catch (err) {
      log.warn({ err }, 'a tick could not be finished; the next one is in a minute')
    }
  }
  const maintainNow = (): Promise<void> =>
    work.maintain().catch((err: unknown) => log.warn({ err }, 'alerts could not be looked at; the next look is in a minute'))
  const tick = (actor: 'boot' | 'timer'): Promise<void> => {
    // A sweep of very many accounts lasts longer than a minute; the operator is told all the same.
    if (ticking !== null) void maintainNow()
    ticking ??= run(actor).finally(() => {
      ticking = null
      void maintainNow()
    })
    return ticking
  }
  const task = schedule('* * * * *', () => tick('timer'))
  // Raised, once for each minute, where a process that was stopped comes back: the work is due all the more.
  task.on('execution:missed', () => void tick('timer'))

  // What the process before this one was at when it died is leased until then. A tick a minute could come so late that
  // a provider's grace for the old token is over, or that the loss of a token is told only in the second minute.
  const takingOver = setTimeout(() => void tick('boot'), LEASES_OVER_MS)

  // Timers stand still while a machine sleeps, and cron waits for a wall-clock time that may have been set back. Of a
  // process that was stopped, both clocks went on: it has not looked at them for too long.
  let lookedAtMs = performance.now()
  let lead = wallClock() - lookedAtMs
  const watch = setInterval(() => {
    const stoodMs = performance.now() - lookedAtMs
    lookedAtMs += stoodMs
    const now = wallClock() - lookedAtMs
    if (Math.abs(now - lead) < STEP_MS && stoodMs < STEP_MS) return
    lead = now
    void task.stop()
    void task.start()
    void tick('timer')
  }, WATCH_MS)
  return {
    booted: tick('boot'),
    stop: () => {
      clearTimeout(takingOver)
      clearInterval(watch)
      void task.stop()
    },
  }
}

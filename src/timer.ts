import { schedule } from 'node-cron'
import type { Agent } from './agent.ts'
import type { Log } from './core/log.ts'

export interface Schedule {
  /** Resolves when the tick at the start has ended, successful or not. */
  readonly booted: Promise<void>
  stop(): void
}

/** The clocks and timers of the machine; tests pass their own. Each timer returns a function that stops it. */
export interface Clock {
  wallMs(): number
  monotonicMs(): number
  after(ms: number, run: () => void): () => void
  every(ms: number, run: () => void): () => void
  everyMinute(run: () => void): { restart(): void; stop(): void }
}

const WATCH_MS = 2_000
const STEP_MS = 5_000

const MACHINE: Clock = {
  wallMs: Date.now,
  monotonicMs: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  every: (ms, run) => {
    const timer = setInterval(run, ms)
    return () => clearInterval(timer)
  },
  everyMinute: (run) => {
    const task = schedule('* * * * *', run)
    // node-cron emits it for each minute missed while the process was suspended; the work is still due.
    task.on('execution:missed', run)
    return {
      restart: () => {
        void task.stop()
        void task.start()
      },
      stop: () => void task.stop(),
    }
  },
}

/** Ticks once a minute. The database holds the due times, so a missed tick delays work by a minute. */
export function startSchedule(work: Agent['work'], log: Log, clock: Clock = MACHINE): Schedule {
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
      // Again once earlier leases have ended: the first check skips accounts that another process had leased.
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
    // A sweep of very many accounts lasts longer than a minute; alerts still go out.
    if (ticking !== null) void maintainNow()
    ticking ??= run(actor).finally(() => {
      ticking = null
      void maintainNow()
      void fetchFeeds()
    })
    return ticking
  }
  /** Beside the ticks: a slow answer about posts delays no refresh. */
  const fetchFeeds = (): Promise<void> =>
    work.fetchFeeds().catch((err: unknown) => log.warn({ err }, 'posts could not be fetched; the next try is in a minute'))
  const minutes = clock.everyMinute(() => void tick('timer'))

  // A process that crashed holds its leases until then. Waiting for the next tick could outlast a provider's grace for the
  // old token, or delay the alert of a lost token by a minute.
  const stopTakingOver = clock.after(work.leasesOverMs, () => void tick('boot'))

  // After a machine's sleep or a clock step, cron waits for the wrong wall-clock time. Both show as a change between the
  // two clocks; a suspended process shows as a gap between two looks at them.
  let lookedAtMs = clock.monotonicMs()
  let lead = clock.wallMs() - lookedAtMs
  const stopWatching = clock.every(WATCH_MS, () => {
    const stoodMs = clock.monotonicMs() - lookedAtMs
    lookedAtMs += stoodMs
    const now = clock.wallMs() - lookedAtMs
    if (Math.abs(now - lead) < STEP_MS && stoodMs < STEP_MS) return
    lead = now
    minutes.restart()
    void tick('timer')
  })
  return {
    booted: tick('boot'),
    stop: () => {
      stopTakingOver()
      stopWatching()
      minutes.stop()
    },
  }
}

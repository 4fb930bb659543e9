import { schedule } from 'node-cron'
import type { Log } from './domain/log.ts'
import type { Services } from './services.ts'

export interface Schedule {
  /** The tick at the start has ended, well or not. */
  readonly booted: Promise<void>
  stop(): void
}

/** A tick a minute: what is due lives in the database, so a tick that is missed costs nothing but its minute. */
export function startSchedule(services: Services, log: Log): Schedule {
  let seeded = false
  const tick = async (actor: 'boot' | 'timer'): Promise<void> => {
    try {
      if (!seeded) seeded = await services.seedFromEnvironment()
      await services.sweep({ actor })
    } catch (err) {
      log.warn({ err }, 'a tick could not be finished; the next one is in a minute')
    }
  }
  const task = schedule('* * * * *', () => tick('timer'), { noOverlap: true })
  // Raised instead of a tick when the process woke too late for it, as after a sleep: the work is due all the more.
  task.on('execution:missed', () => void tick('timer'))
  return { booted: tick('boot'), stop: () => void task.stop() }
}

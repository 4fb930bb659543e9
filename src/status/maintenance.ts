import type { Overview } from '../accounts/overview.ts'
import type { AlertStore, SendAlert } from '../alerts/alert.ts'
import { sendAlerts } from '../alerts/send-alerts.ts'
import type { Log } from '../core/log.ts'
import { type GuessesDeps, reportGuesses } from '../sign-in/report-guesses.ts'

export interface MaintenanceDeps {
  readonly alerts: AlertStore
  /** Null when ALERT_WEBHOOK_URL is unset. */
  readonly send: SendAlert | null
  readonly wrongPasswords: GuessesDeps['wrongPasswords']
  readonly overview: Pick<Overview, 'trimEvents'>
  /** What the store need not keep for long. */
  readonly shortLived: readonly { clear(): Promise<void> }[]
  readonly log: Log
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

const DAY_MS = 86_400_000
const KEPT_DAYS = 400
const SLICE = 1000

/** What each tick does beside refreshing: tells the operator, and once a day clears the history. One run at a time. */
export function createMaintenance(
  { alerts, send, wrongPasswords, overview, shortLived, log, clockMs = () => performance.now() }: MaintenanceDeps,
  signal: AbortSignal,
): () => Promise<void> {
  let trimmedAtMs = Number.NEGATIVE_INFINITY
  let running: Promise<void> | null = null

  async function run(): Promise<void> {
    if (send !== null) {
      await sendAlerts({ alerts, send, log }, signal)
      await reportGuesses({ wrongPasswords, send, log })
    }
    for (const each of shortLived) await each.clear()
    if (clockMs() - trimmedAtMs < DAY_MS) return
    // Several instances may come to it on the same day: the second finds nothing left to do.
    const removed = await trimEvents(overview, signal)
    trimmedAtMs = clockMs()
    if (removed > 0) log.info({ removed }, `events older than ${KEPT_DAYS} days were removed`)
  }
  return () => {
    running ??= run().finally(() => {
      running = null
    })
    return running
  }
}

/** Removes the events past their retention, in slices, so that no writer waits long for its turn. */
async function trimEvents(overview: MaintenanceDeps['overview'], signal: AbortSignal): Promise<number> {
  let removed = 0
  while (!signal.aborted) {
    const slice = await overview.trimEvents(KEPT_DAYS, SLICE)
    removed += slice
    if (slice < SLICE) break
  }
  return removed
}

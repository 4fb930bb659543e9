import { reportWaiting } from '../accounts/connect-link.ts'
import type { LinkStore } from '../accounts/links.ts'
import type { Overview } from '../accounts/overview.ts'
import type { AlertStore } from '../alerts/alert.ts'
import type { AlertChannels } from '../alerts/channel.ts'
import { sendAlerts } from '../alerts/send-alerts.ts'
import type { Log } from '../core/log.ts'
import type { ReadHistory } from '../reading/read-counts.ts'
import { type GuessesDeps, reportGuesses } from '../sign-in/report-guesses.ts'
import type { Summary } from './summary.ts'

export interface MaintenanceDeps {
  readonly alerts: AlertStore
  readonly channels: AlertChannels
  readonly wrongPasswords: GuessesDeps['wrongPasswords']
  readonly links: LinkStore
  readonly overview: Pick<Overview, 'trimEvents'>
  readonly summary: Pick<Summary, 'recount'>
  readonly readHistory: Pick<ReadHistory, 'sample'>
  /** Tables whose old rows are deleted. */
  readonly shortLived: readonly { clear(): Promise<void> }[]
  readonly log: Log
  /** A monotonic clock. */
  readonly clockMs?: () => number
}

const DAY_MS = 86_400_000
const RETENTION_DAYS = 400
const SLICE = 1000

/** The work of a tick beside refreshing: counts, sends alerts, deletes old rows and, once a day, old events. One run at a time. */
export function createMaintenance(
  {
    alerts,
    channels,
    wrongPasswords,
    links,
    overview,
    summary,
    readHistory,
    shortLived,
    log,
    clockMs = () => performance.now(),
  }: MaintenanceDeps,
  signal: AbortSignal,
): () => Promise<void> {
  let trimmedAtMs = Number.NEGATIVE_INFINITY
  let running: Promise<void> | null = null

  async function run(): Promise<void> {
    if (channels.kinds.length > 0) {
      await sendAlerts({ alerts, channels, log }, signal)
      if (!signal.aborted) await channels.testNew()
      await reportGuesses({ wrongPasswords, send: channels.send, log })
      await reportWaiting({ links, send: channels.send, log })
    }
    for (const each of shortLived) await each.clear()
    if (clockMs() - trimmedAtMs < DAY_MS) return
    // Several instances may do this on the same day; the second finds nothing to delete.
    const removed = await trimEvents(overview, signal)
    trimmedAtMs = clockMs()
    if (removed > 0) log.info({ removed }, `events older than ${RETENTION_DAYS} days were removed`)
  }
  return () => {
    readHistory.sample()
    // Recounted here, so that no page waits for it. Alerts go out even if the store does not answer.
    void summary.recount().catch(() => {})
    running ??= run().finally(() => {
      running = null
    })
    return running
  }
}

/** Deletes old events in slices, so that no writer waits long. Returns the number deleted. */
async function trimEvents(overview: MaintenanceDeps['overview'], signal: AbortSignal): Promise<number> {
  let removed = 0
  while (!signal.aborted) {
    const slice = await overview.trimEvents(RETENTION_DAYS, SLICE)
    removed += slice
    if (slice < SLICE) break
  }
  return removed
}

import type { AccountSummary } from '../accounts/overview.ts'
import type { ChannelState } from '../alerts/channel.ts'
import type { LastHour } from '../reading/read-counts.ts'
import { createHealthWatch, type Health, type WatchedParts } from './health.ts'
import type { Summary } from './summary.ts'

/** The state of the agent and its accounts. */
export interface Status {
  readonly summary: () => Promise<AccountSummary>
  /** Counts many accounts again, for the owner's pages. */
  readonly recount: () => Promise<void>
  readonly health: () => Promise<Health>
  /** Why the agent may not use its store, as a sentence; null = only its answers count. */
  readonly storeProblem: () => string | null
  /** The sources of the tokens that this process served. */
  readonly lastHour: () => LastHour
  /** The configured channels of alerts, with their last deliveries; for the owner alone. */
  readonly channels: () => readonly ChannelState[]
  /** Brings `channels` up to date with what other instances delivered. */
  readonly readDeliveries: () => Promise<void>
}

interface Parts extends Omit<WatchedParts, 'summary'> {
  readonly summary: Summary
  readonly lastHour: () => LastHour
  readonly readDeliveries: () => Promise<void>
}

export function createStatus({ summary, lastHour, readDeliveries, ...watched }: Parts): Status & { drain(): void } {
  const health = createHealthWatch({ ...watched, summary: summary.take })
  return {
    summary: summary.take,
    recount: summary.recount,
    health: () => health.check(),
    storeProblem: () => watched.storeState().problem,
    lastHour,
    channels: watched.channelStates,
    readDeliveries,
    drain: () => health.drain(),
  }
}

import type { AccountSummary } from '../accounts/overview.ts'
import type { LastHour } from '../reading/read-counts.ts'
import { createHealthWatch, type Health, type Watched } from './health.ts'
import type { Summary } from './summary.ts'

/** How the agent and its accounts are doing. */
export interface Status {
  readonly summary: () => Promise<AccountSummary>
  /** For the owner's pages: many accounts are counted again meanwhile. */
  readonly recount: () => Promise<void>
  readonly health: () => Promise<Health>
  /** What keeps the agent from using its store, where it knows more than that there is no answer. */
  readonly storeProblem: () => string | null
  /** Where this process found the tokens that it gave out. */
  readonly lastHour: () => LastHour
}

interface Parts extends Omit<Watched, 'summary'> {
  readonly summary: Summary
  readonly lastHour: () => LastHour
}

export function createStatus({ summary, lastHour, ...watched }: Parts): Status & { drain(): void } {
  const health = createHealthWatch({ ...watched, summary: summary.take })
  return {
    summary: summary.take,
    recount: summary.recount,
    health: () => health.check(),
    storeProblem: () => watched.storeState().problem,
    lastHour,
    /** From here on the agent still serves, but asks to be taken out of rotation. */
    drain: () => health.drain(),
  }
}

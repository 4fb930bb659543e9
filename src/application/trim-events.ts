import type { Overview } from '../domain/overview.ts'

const KEPT_DAYS = 400
const SLICE = 1000

/** Removes the events that nobody asks for any more, in slices, so that no writer waits long for its turn. */
export async function trimEvents(overview: Pick<Overview, 'trimEvents'>, signal?: AbortSignal): Promise<number> {
  let removed = 0
  while (signal?.aborted !== true) {
    const slice = await overview.trimEvents(KEPT_DAYS, SLICE)
    removed += slice
    if (slice < SLICE) break
  }
  return removed
}

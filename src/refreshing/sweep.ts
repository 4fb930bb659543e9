import type { RateLimit } from './rate-limit.ts'

/** Accounts that share a limit of calls, and how to claim some of them. */
export interface Lane<Claim> {
  readonly name: string
  claim(limit: number): Promise<Claim[]>
  /** False where only what is due by now is claimed, so that an empty claim ends it. */
  hasMore(): boolean
  run(claim: Claim): Promise<void>
}

/** A sweep that waits for its turn looks up this often, to see whether it is to stop. */
const LOOK_UP_MS = 200

/** Claims and runs what is due in each lane, some side by side, until nothing is left. */
export async function sweepLanes<Claim>(rateLimit: RateLimit, lanes: readonly Lane<Claim>[], signal?: AbortSignal): Promise<void> {
  const failures: unknown[] = []
  // After a failure that was not foreseen, what runs is waited for, and nothing new begins.
  const mayClaim = (): boolean => failures.length === 0 && signal?.aborted !== true

  async function sweep(lane: Lane<Claim>): Promise<void> {
    const running = new Set<Promise<void>>()
    for (;;) {
      const leave = mayClaim() ? rateLimit.take(lane.name, rateLimit.concurrency - running.size) : 0
      const claims = leave === 0 ? [] : await lane.claim(leave).catch((error: unknown) => void failures.push(error))
      rateLimit.giveBack(lane.name, leave - (claims?.length ?? 0))
      for (const claim of claims ?? []) {
        const task = lane
          .run(claim)
          .catch((error: unknown) => void failures.push(error))
          .finally(() => running.delete(task))
        running.add(task)
      }
      const waitMs = leave === 0 ? rateLimit.waitMs(lane.name) : 0
      // A provider that wants quiet gets it: what is due waits for a later sweep.
      const isOver = !mayClaim() || waitMs === null || (leave > 0 && !lane.hasMore())
      if (running.size === 0 && isOver) return
      const turn = isOver || running.size === rateLimit.concurrency ? [] : [after(waitMs)]
      await Promise.race([...running, ...turn])
    }
  }
  await Promise.all(lanes.map(sweep))
  if (failures.length > 0) throw failures[0]
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_UP_MS, Math.max(1, ms))))
}

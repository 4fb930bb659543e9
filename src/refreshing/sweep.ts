import type { RateLimit } from './rate-limit.ts'

/** Work that shares a limit of calls. */
export interface Queue<Claim> {
  /** The provider, or another name that the limit is counted by. */
  readonly name: string
  /** Empty = nothing is left. */
  claim(limit: number): Promise<Claim[]>
  run(claim: Claim): Promise<void>
}

/** Claims and runs the work of each queue until none is left, several claims at a time. After an abort running work still ends. */
export async function sweep<Claim>(rateLimit: RateLimit, queues: readonly Queue<Claim>[], signal?: AbortSignal): Promise<void> {
  const failures: unknown[] = []
  const note = (error: unknown): void => void failures.push(error)
  // After an unexpected failure running work ends, and none begins.
  const mayClaim = (): boolean => failures.length === 0 && signal?.aborted !== true

  async function empty({ name, claim, run }: Queue<Claim>): Promise<void> {
    const running = new Set<Promise<void>>()
    while (mayClaim()) {
      const permits = await rateLimit.permits(name, rateLimit.concurrency - running.size)
      const claims = permits > 0 && mayClaim() ? await claim(permits) : []
      if (claims.length === 0) break
      for (const one of claims) {
        const task = run(one)
          .catch(note)
          .finally(() => running.delete(task))
        running.add(task)
      }
      if (running.size === rateLimit.concurrency) await Promise.race(running)
    }
    await Promise.all(running)
  }
  await Promise.all(queues.map((queue) => empty(queue).catch(note)))
  if (failures.length > 0) throw failures[0]
}

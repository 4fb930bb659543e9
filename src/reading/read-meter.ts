const OUTCOMES: Readonly<Record<number, string>> = {
  200: 'served',
  204: 'preflight',
  304: 'not_modified',
  400: 'bad_request',
  401: 'refused',
  403: 'refused',
  404: 'not_found',
  503: 'unavailable',
}

/** Upper bounds in seconds; longer reads count only in the total. */
export const READ_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5] as const

export interface ReadMeter {
  observe(status: number, durationMs: number): void
  /** Token requests by outcome. */
  outcomes(): Record<string, number>
  /** Requests in each bucket, not cumulative; the last element counts those above all bounds. */
  readonly counts: readonly number[]
  readonly sumSeconds: () => number
}

/** Counts reads with a few additions each; a metrics library's counter would cost more than the read. */
export function createReadMeter(): ReadMeter {
  const byStatus = new Array<number>(600).fill(0)
  const counts = new Array<number>(READ_BUCKETS.length + 1).fill(0)
  let sumMs = 0
  return {
    counts,
    sumSeconds: () => sumMs / 1000,
    observe(status, durationMs) {
      const seconds = durationMs / 1000
      let bucket = 0
      while (bucket < READ_BUCKETS.length && seconds > (READ_BUCKETS[bucket] as number)) bucket++
      counts[bucket] = (counts[bucket] as number) + 1
      byStatus[status] = (byStatus[status] as number) + 1
      sumMs += durationMs
    },
    outcomes() {
      // Every outcome is present from the start, so that a rate begins at zero.
      const outcomes: Record<string, number> = { ...Object.fromEntries(Object.values(OUTCOMES).map((name) => [name, 0])), failed: 0 }
      for (const [status, count] of byStatus.entries()) {
        const name = OUTCOMES[status] ?? 'failed'
        outcomes[name] = (outcomes[name] ?? 0) + count
      }
      return outcomes
    },
  }
}

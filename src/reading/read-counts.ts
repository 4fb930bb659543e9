import type { ReadSource } from './token-reader.ts'

type Counts = Readonly<Record<ReadSource, number>>

export interface LastHour {
  readonly counts: Counts
  /** The span of the counts; less than 60 in a younger process. */
  readonly minutes: number
}

export interface ReadHistory {
  /** Call it about once a minute. */
  sample(): void
  lastHour(): LastHour
  /** True where this process has run for a day and has given this account's token to nobody in it. */
  hasIdled(account: string): boolean
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const NONE: Counts = { process: 0, memcached: 0, store: 0, stale: 0 }

/**
 * The sources of the tokens served in the last hour, and the accounts whose tokens were served in the last day. It samples
 * the reader's counters, and takes the names that it has gathered, each minute.
 */
export function createReadHistory(
  { counters, readNames }: { readonly counters: Counts; readonly readNames: Set<string> },
  clockMs: () => number = () => performance.now(),
): ReadHistory {
  const startedMs = clockMs()
  const lastReads = new Map<string, number>()
  const samples: { atMs: number; counts: Counts }[] = [{ atMs: clockMs(), counts: NONE }]
  return {
    sample() {
      const nowMs = clockMs()
      for (const name of readNames) lastReads.set(name, nowMs)
      readNames.clear()
      samples.push({ atMs: nowMs, counts: { ...counters } })
      // Keeps the newest sample that is an hour old, the start of the hour.
      while (samples[1] !== undefined && nowMs - samples[1].atMs >= HOUR_MS) samples.shift()
    },
    hasIdled(account) {
      const sinceMs = readNames.has(account) ? clockMs() : (lastReads.get(account) ?? startedMs)
      return clockMs() - sinceMs >= DAY_MS
    },
    lastHour() {
      const nowMs = clockMs()
      const from = samples.findLast(({ atMs }) => nowMs - atMs >= HOUR_MS) ?? samples[0]
      const before = from?.counts ?? NONE
      const sources = Object.keys(NONE) as ReadSource[]
      const counts = Object.fromEntries(sources.map((source) => [source, counters[source] - before[source]])) as Record<ReadSource, number>
      return { counts, minutes: Math.min(60, Math.round((nowMs - (from?.atMs ?? nowMs)) / 60_000)) }
    },
  }
}

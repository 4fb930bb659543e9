import { setTimeout as sleep } from 'node:timers/promises'

/** How long a page waits for a part that hangs before it says so: longer than a store takes that is only busy. */
const PATIENCE_MS = 2_000

/** Null where the answer fails, or takes longer than somebody looks at an empty page. */
export async function inTime<T>(answer: Promise<T>): Promise<T | null> {
  const late = new AbortController()
  try {
    return await Promise.race([answer.catch(() => null), sleep(PATIENCE_MS, null, { ref: false, signal: late.signal })])
  } finally {
    late.abort()
  }
}

import { randomBytes } from 'node:crypto'

let last = 0n

/** Grows with time, also within one millisecond of this process: events of one instant keep their order. */
export function createEventId(nowMs: number): string {
  const candidate = BigInt(Math.floor(nowMs)) << 12n
  last = candidate > last ? candidate : last + 1n
  return `${last.toString(16).padStart(14, '0')}-${randomBytes(8).toString('hex')}`
}

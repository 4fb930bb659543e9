import { setTimeout as sleep } from 'node:timers/promises'

/** How fast one process may call each provider, however many accounts are due. */
export interface RateLimit {
  readonly concurrency: number
  /** Waits until the provider may be called, then permits up to `wanted` calls; 0 = it has asked for quiet. */
  permits(provider: string, wanted: number): Promise<number>
  /** Permits one call, or returns false where it would have to wait. */
  take(provider: string): boolean
  /** True while the provider has asked for quiet. */
  isPaused(provider: string): boolean
  /** The provider refuses all calls as too many, for so long; null = it names no time. */
  pause(provider: string, seconds: number | null): void
}

export interface RateLimits {
  /** Side by side, for each provider. */
  readonly concurrency: number
  readonly perSecond: number
  /** Unused permits are saved up to this: a small installation never waits. */
  readonly burst: number
}

// No provider documents a limit for this call. At 20 a second 100,000 accounts that fall due at once take an hour and a half
// of the two weeks that the safety margin leaves.
export const RATE_LIMITS: RateLimits = { concurrency: 8, perSecond: 20, burst: 100 }

const DEFAULT_PAUSE_SECONDS = 60
const LONGEST_PAUSE_SECONDS = 3600

/** `clockMs` only goes forward. Lives as long as the process: a pause outlasts the sweep that met it. */
export function createRateLimit(limits: RateLimits = RATE_LIMITS, clockMs = (): number => performance.now()): RateLimit {
  const { concurrency, perSecond, burst } = limits
  const everyMs = 1000 / perSecond
  const nextAtMs = new Map<string, number>()
  const quietUntilMs = new Map<string, number>()
  const isQuiet = (provider: string): boolean => clockMs() < (quietUntilMs.get(provider) ?? 0)

  /** How many calls may begin, and in how many milliseconds. */
  function reserve(provider: string, wanted: number): { count: number; waitMs: number } {
    const now = clockMs()
    const at = Math.max(nextAtMs.get(provider) ?? Number.NEGATIVE_INFINITY, now - (burst - 1) * everyMs)
    const count = Math.max(1, Math.min(wanted, 1 + Math.floor((now - at) / everyMs)))
    nextAtMs.set(provider, at + count * everyMs)
    return { count, waitMs: at - now }
  }
  return {
    concurrency,
    async permits(provider, wanted) {
      if (isQuiet(provider)) return 0
      const { count, waitMs } = reserve(provider, wanted)
      if (waitMs > 0) await sleep(waitMs)
      return isQuiet(provider) ? 0 : count
    },
    isPaused: isQuiet,
    take(provider) {
      if (isQuiet(provider) || (nextAtMs.get(provider) ?? Number.NEGATIVE_INFINITY) > clockMs()) return false
      reserve(provider, 1)
      return true
    },
    pause(provider, seconds) {
      const lasting = Math.min(seconds ?? DEFAULT_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
      quietUntilMs.set(provider, Math.max(quietUntilMs.get(provider) ?? 0, clockMs() + lasting * 1000))
    },
  }
}

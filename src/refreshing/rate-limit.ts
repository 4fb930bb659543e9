/** How fast one process may call each provider, however many accounts are due. */
export interface RateLimit {
  readonly concurrency: number
  /** Takes leave for as many calls as are free now, at most `wanted`. */
  take(provider: string, wanted: number): number
  giveBack(provider: string, unused: number): void
  /** How long until there is leave for another call; null = the provider has asked for quiet. */
  waitMs(provider: string): number | null
  /** The provider has said that all calls are too many. */
  pause(provider: string, seconds: number | null): void
}

export interface RateLimits {
  /** Side by side, for each provider. */
  readonly concurrency: number
  readonly perSecond: number
  /** Unspent leave is saved up to this: a small installation never waits. */
  readonly burst: number
}

// No provider tells its limit for this call. At 20 a second 100,000 accounts that fell due at once are through within
// an hour and a half, of the two weeks that the safety margin leaves; eight connections at a time disturb nobody.
export const RATE_LIMITS: RateLimits = { concurrency: 8, perSecond: 20, burst: 100 }

const UNTOLD_PAUSE_SECONDS = 60
const LONGEST_PAUSE_SECONDS = 3600

interface Lane {
  leave: number
  filledAtMs: number
  pausedUntilMs: number
}

/** `clockMs` only goes forward. Lives as long as the process: a pause outlasts the sweep that met it. */
export function createRateLimit(limits: RateLimits = RATE_LIMITS, clockMs = (): number => performance.now()): RateLimit {
  const { concurrency, perSecond, burst } = limits
  const lanes = new Map<string, Lane>()

  function laneOf(provider: string): Lane {
    const now = clockMs()
    const lane = lanes.get(provider) ?? { leave: burst, filledAtMs: now, pausedUntilMs: 0 }
    lane.leave = Math.min(burst, lane.leave + ((now - lane.filledAtMs) * perSecond) / 1000)
    lane.filledAtMs = now
    lanes.set(provider, lane)
    return lane
  }
  return {
    concurrency,
    take(provider, wanted) {
      const lane = laneOf(provider)
      if (clockMs() < lane.pausedUntilMs) return 0
      const taken = Math.max(0, Math.min(wanted, Math.floor(lane.leave)))
      lane.leave -= taken
      return taken
    },
    giveBack(provider, unused) {
      laneOf(provider).leave += unused
    },
    waitMs(provider) {
      const lane = laneOf(provider)
      if (clockMs() < lane.pausedUntilMs) return null
      return Math.max(0, ((1 - lane.leave) * 1000) / perSecond)
    },
    pause(provider, seconds) {
      const told = Math.min(seconds ?? UNTOLD_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
      const lane = laneOf(provider)
      lane.pausedUntilMs = Math.max(lane.pausedUntilMs, clockMs() + told * 1000)
    },
  }
}

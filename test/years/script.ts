import { fractionOf } from '../../src/refreshing/next-refresh.ts'

// What happens to a world in some years, whatever the policies in it do. The same seed gives the same script.

export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS
const YEAR_MS = 365 * DAY_MS
/** How often a process ends between the answer of a refresh and its commit. */
export const CRASH_ONCE_IN = 250
const START = Date.parse('2026-11-26T08:00:00Z')

export interface Interval {
  readonly from: number
  readonly to: number
}

export interface AccountScript {
  readonly name: string
  readonly index: number
  /** The user changes the password, or takes the permission back: the token of that moment ends. */
  readonly ends: readonly { readonly at: number; readonly withdraws: boolean }[]
  /** From here on the app lacks the permission to refresh, until its operator restores it. */
  readonly lapses: readonly number[]
}

/** One installation: a machine, a database, an app at the provider, an operator. */
export interface Host {
  readonly kind: 'server' | 'dyno' | 'sleeper'
  readonly accounts: readonly AccountScript[]
  /** Switched off for weeks. */
  readonly absent: Intervals
  /** No process runs: absent, restarting, or asleep for want of visitors. */
  readonly off: Intervals
  /** When a new process begins; in order. */
  readonly starts: readonly number[]
  readonly databaseDown: Intervals
  readonly throttled: Intervals
  /** Times in which no policy on this host can learn whether a token works. */
  readonly blind: Intervals
}

export interface Script {
  readonly start: number
  readonly end: number
  /** The provider does not answer. */
  readonly outages: Intervals
  /** The provider refuses every second working token as ended. */
  readonly lies: Intervals
  readonly hosts: readonly Host[]
  /** Once in so many calls, the same for each policy that calls in this minute. */
  happens(what: string, account: string, at: number, onceIn: number): boolean
  /** From 0 to 1, always the same for a name. */
  fraction(name: string): number
}

/** Merged, in order. */
export class Intervals {
  readonly #all: Interval[] = []

  constructor(intervals: readonly Interval[]) {
    for (const { from, to } of [...intervals].sort((a, b) => a.from - b.from)) {
      const last = this.#all.at(-1)
      if (last === undefined || from > last.to) this.#all.push({ from, to })
      else this.#all[this.#all.length - 1] = { from: last.from, to: Math.max(last.to, to) }
    }
  }
  /** The index of the first that ends after `at`. */
  #after(at: number): number {
    let [low, high] = [0, this.#all.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#all[middle]?.to ?? 0) > at) high = middle
      else low = middle + 1
    }
    return low
  }
  at(at: number): Interval | null {
    const found = this.#all[this.#after(at)]
    return found !== undefined && found.from <= at ? found : null
  }
  /** `at`, or the end of the interval that it lies in. */
  outside(at: number): number {
    return this.at(at)?.to ?? at
  }
  coveredMs(from: number, to: number): number {
    let sum = 0
    for (let index = this.#after(from); ; index++) {
      const next = this.#all[index]
      if (next === undefined || next.from >= to) return sum
      sum += Math.min(to, next.to) - Math.max(from, next.from)
    }
  }
  /** The end of the next interval that ends after `at`. */
  next(at: number): number {
    return this.#all[this.#after(at)]?.to ?? Number.POSITIVE_INFINITY
  }
  longestMs(): number {
    return Math.max(0, ...this.#all.map(({ from, to }) => to - from))
  }
  and(...others: readonly Intervals[]): Intervals {
    return new Intervals([this, ...others].flatMap((each) => each.#all))
  }
}

export interface Size {
  readonly accounts: number
  readonly years: number
  readonly seed: number
}

const OTHER_HOSTS = 6
/** No token outlives a longer stretch without a chance to refresh it: such a world would prove nothing. */
const LONGEST_BLIND_MS = 50 * DAY_MS

export function writeScript({ accounts, years, seed }: Size): Script {
  const [start, end] = [START, START + years * YEAR_MS]
  const fraction = (name: string): number => fractionOf(`${name} ${seed}`)

  /** Moments at random, so many days apart on average. */
  function moments(name: string, meanDays: number): number[] {
    const found: number[] = []
    for (let at = start; ; ) {
      at += -Math.log(1 - fraction(`${name} ${found.length}`)) * meanDays * DAY_MS
      if (at >= end) return found
      found.push(Math.floor(at))
    }
  }
  /** The same with lengths: short ones and ten times longer ones come equally often. */
  function spells(name: string, meanDays: number, [shortest, longest]: readonly [number, number]): Intervals {
    const lengthMs = (index: number): number => shortest * (longest / shortest) ** fraction(`${name} lasts ${index}`)
    return new Intervals(moments(name, meanDays).map((from, index) => ({ from, to: Math.floor(from + lengthMs(index)) })))
  }

  const outages = spells('outage', 120, [HOUR_MS, 10 * DAY_MS])
  const lies = spells('lie', 180, [10 * MINUTE_MS, 3 * HOUR_MS])

  function writeAccount(index: number): AccountScript {
    const name = `shop-${index}`
    const ends = moments(`${name} ends`, 270).map((at, n) => ({ at, withdraws: fraction(`${name} withdraws ${n}`) < 0.15 }))
    return { name, index, ends, lapses: moments(`${name} lapses`, 2000) }
  }

  function writeHost(index: number, own: readonly AccountScript[]): Host {
    const name = `host ${index}`
    const kind = (['server', 'dyno', 'sleeper'] as const)[index % 3] ?? 'server'
    const absent = spells(`${name} absent`, 365, [7 * DAY_MS, 35 * DAY_MS])
    const deploys = moments(`${name} deploys`, 14)
    // Platforms replace a dyno once a day.
    if (kind === 'dyno') for (let at = start + fraction(name) * DAY_MS; at < end; at += DAY_MS) deploys.push(Math.floor(at))
    const asleep = kind === 'sleeper' ? sleepOf(name) : new Intervals([])
    const off = absent.and(asleep, new Intervals(deploys.map((from) => ({ from, to: from + MINUTE_MS }))))
    const databaseDown = spells(`${name} database`, 90, [5 * MINUTE_MS, DAY_MS])
    const throttled = spells(`${name} throttled`, 60, [HOUR_MS, DAY_MS])
    const blind = off.and(databaseDown, throttled, outages, lies)
    if (blind.longestMs() > LONGEST_BLIND_MS) throw new Error(`${name} has no chance to refresh for too long; take another seed`)
    const starts = [start]
    for (let at = off.next(start); at < end; at = off.next(at)) starts.push(at)
    return { kind, accounts: own, absent, off, starts, databaseDown, throttled, blind }
  }

  /** A free dyno: awake for 35 minutes and more after each visit, of which there are some a day and few at night. */
  function sleepOf(name: string): Intervals {
    const visits = moments(`${name} visited`, 1 / 6).filter((at) => new Date(at).getUTCHours() >= 7 || fraction(`${name} ${at}`) < 0.2)
    const sleeps: Interval[] = []
    let awakeUntil = start
    for (const at of visits) {
      if (at > awakeUntil) sleeps.push({ from: awakeUntil, to: at })
      awakeUntil = Math.max(awakeUntil, at + 35 * MINUTE_MS)
    }
    return new Intervals(sleeps)
  }

  // One agency with many accounts, and owners with few.
  const all = Array.from({ length: accounts }, (_, index) => writeAccount(index))
  const agency = Math.round(accounts * 0.4)
  const owners = Array.from({ length: OTHER_HOSTS }, (_, host) => all.slice(agency).filter((_, index) => index % OTHER_HOSTS === host))
  const hosts = [all.slice(0, agency), ...owners].filter((own) => own.length > 0).map((own, index) => writeHost(index, own))
  return {
    start,
    end,
    outages,
    lies,
    hosts,
    happens: (what, account, at, onceIn) => fraction(`${what} ${account} ${Math.floor(at / MINUTE_MS)}`) < 1 / onceIn,
    fraction,
  }
}

import { DAY_MS, HOUR_MS } from './script.ts'

export interface Figures {
  readonly policy: string
  readonly deadDays: number
  /** Of these, days on which the policy alone was to blame. */
  readonly preventableDays: number
  /** Hours in which the truth could be known, from each end of a grant until a person was alerted; null = no policy's alert came. */
  readonly alertedAfterHours: { readonly count: number; readonly median: number; readonly longest: number } | null
  /** How many ends came without an alert. */
  readonly unalerted: number
  /** The fewest days between the alert of what could be known ahead and the end of the token; null = none was alerted. */
  readonly aheadDays: number | null
  /** Of each account in a year. */
  readonly calls: number
  readonly alerts: number
  readonly needlessAlerts: number
}

/** What a policy did in a world, added up over its accounts. */
export class Ledger {
  readonly #alertedAfterMs: number[] = []
  readonly #aheadMs: number[] = []
  #deadMs = 0
  #preventableMs = 0
  #unalerted = 0
  #alerts = 0
  #needless = 0

  /** Nothing that works was handed out. The user, or a loss that no policy prevents, ended the grant at `endsAt`. */
  dead(from: number, to: number, endsAt: number, unavoidableMs = 0): void {
    if (to <= from) return
    this.#deadMs += to - from
    this.#preventableMs += Math.max(0, Math.min(to, endsAt) - from - unavoidableMs)
  }
  alert(isNeeded: boolean): void {
    this.#alerts++
    if (!isNeeded) this.#needless++
  }
  alertedAfter(ms: number): void {
    this.#alertedAfterMs.push(ms)
  }
  unalerted(): void {
    this.#unalerted++
  }
  alertedAhead(ms: number): void {
    this.#aheadMs.push(ms)
  }
  figures(policy: string, accountYears: number, calls: number): Figures {
    const hours = this.#alertedAfterMs.map((ms) => ms / HOUR_MS).sort((a, b) => a - b)
    const [median, longest] = [hours[Math.floor(hours.length / 2)], hours.at(-1)]
    return {
      policy,
      deadDays: this.#deadMs / DAY_MS,
      preventableDays: this.#preventableMs / DAY_MS,
      alertedAfterHours: median === undefined || longest === undefined ? null : { count: hours.length, median, longest },
      unalerted: this.#unalerted,
      aheadDays: this.#aheadMs.length === 0 ? null : Math.min(...this.#aheadMs) / DAY_MS,
      calls: calls / accountYears,
      alerts: this.#alerts / accountYears,
      needlessAlerts: this.#needless / accountYears,
    }
  }
}

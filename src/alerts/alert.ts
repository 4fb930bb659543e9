import type { Account } from '../core/account.ts'
import type { AccountEvent } from '../core/account-store.ts'

/** What may be wrong with an account, the worst first. */
const CONDITIONS = ['expired', 'unreadable', 'reconnect', 'misconfigured', 'tenth', 'quarter', 'failing'] as const
export type Condition = (typeof CONDITIONS)[number]

export type AlertKind =
  | 'provider_trouble'
  | 'person_needed'
  | 'unreadable'
  | 'tenth_of_life_left'
  | 'quarter_of_life_left'
  | 'failing_for_a_day'
  | 'recovered'
  | 'password_guessed_at'

export interface Alert {
  readonly event: AlertKind
  /** Both null where the alert concerns no account. */
  readonly account: string | null
  readonly state: Account['state'] | null
  /** One sentence or two for the operator, without secrets. */
  readonly message: string
}

/** What the operator has been told since all was well last, and when. */
export interface Told {
  readonly conditions: readonly string[]
  readonly at: Date | null
}

/** An account that may give reason for an alert, and that this process alone looks at until its lease lapses. */
export interface AlertClaim {
  readonly account: Account
  readonly told: Told
  /** The database's clock at the claim. */
  readonly claimedAt: Date
}

export interface AlertStore {
  /** Longest due first. One that is never settled is given out again when the lease has lapsed. */
  claimAlerts(limit: number, leaseSeconds: number): Promise<AlertClaim[]>
  /** Ends a claim: what the operator has been told by now, and the event where it was told just now. */
  settleAlert(claim: AlertClaim, told: readonly string[], event: AccountEvent | null): Promise<void>
}

/** Sends one alert; throws unless the receiver says that it arrived. */
export type SendAlert = (alert: Alert) => Promise<void>

export const NOTHING_TOLD: Told = { conditions: [], at: null }

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const REPEAT_MS = 7 * DAY_MS

interface Verdict {
  /** Null = there is nothing to tell now. */
  readonly alert: Alert | null
  /** What has been told once the alert has arrived. */
  readonly told: readonly string[]
}

/** Each condition is told once in a run of trouble, and what lasts again each week: what comes and goes is not news. */
export function judge(account: Account, told: Told, now: Date): Verdict {
  const holding = conditionsOf(account, now)
  // The owner who pauses an account knows.
  if (account.pausedAt !== null) return { alert: null, told: [] }
  const worst = holding[0]
  if (worst === undefined) {
    // Where nothing can be named, it may still be broken: a token just given that nobody has confirmed, a failure that is
    // not a day old. What was told stays told, or the news would be false and the next failure would be news again.
    if (!works(account)) return { alert: null, told: told.conditions }
    return { alert: told.conditions.length === 0 ? null : recovered(account), told: [] }
  }
  const news = holding.find((condition) => !told.conditions.includes(condition))
  const isRepeat = told.at !== null && now.getTime() - told.at.getTime() >= REPEAT_MS
  if (news === undefined && !isRepeat) return { alert: null, told: told.conditions }
  return { alert: alertOf(account, news ?? worst), told: [...new Set([...told.conditions, ...holding])] }
}

/** The earliest moment at which `judge` may have something new to say, if the account stays as it is; null = never. */
export function nextLookAt(account: Account, told: Told, now: Date): Date | null {
  if (judge(account, told, now).alert !== null) return now
  if (account.pausedAt !== null) return null
  const { issuedAt, expiresAt, failingSince, failureCount } = account
  const moments = [expiresAt?.getTime(), told.conditions.length > 0 && told.at ? told.at.getTime() + REPEAT_MS : undefined]
  if (failureCount > 0 && failingSince !== null) moments.push(failingSince.getTime() + DAY_MS)
  if (issuedAt !== null && expiresAt !== null) {
    const life = expiresAt.getTime() - issuedAt.getTime()
    moments.push(expiresAt.getTime() - quarterOf(life), expiresAt.getTime() - life / 10)
  }
  const ahead = moments.filter((moment) => moment !== undefined && moment > now.getTime())
  return ahead.length === 0 ? null : new Date(Math.ceil(Math.min(...(ahead as number[]))))
}

function works({ state, accessToken, failureCount }: Account): boolean {
  return state === 'active' && accessToken !== null && failureCount === 0
}

function conditionsOf(account: Account, now: Date): Condition[] {
  const { accessToken, state, lastErrorCode, failingSince, failureCount, issuedAt, expiresAt } = account
  // One that was just created waits for its first token; one whose user took everything back needs a person.
  if (accessToken === null) return state === 'reconnect' ? ['reconnect'] : []
  const cause = (): Condition | null => {
    if (lastErrorCode === 'unreadable') return 'unreadable'
    if (state === 'reconnect') return 'reconnect'
    if (lastErrorCode === 'misconfigured') return 'misconfigured'
    return failureCount > 0 && failingSince !== null && now.getTime() - failingSince.getTime() >= DAY_MS ? 'failing' : null
  }
  const life = (): Condition | null => {
    if (expiresAt === null) return null
    const leftMs = expiresAt.getTime() - now.getTime()
    if (leftMs <= 0) return 'expired'
    if (issuedAt === null) return null
    const lifeMs = expiresAt.getTime() - issuedAt.getTime()
    if (leftMs <= lifeMs / 10) return 'tenth'
    return leftMs <= quarterOf(lifeMs) ? 'quarter' : null
  }
  const holding = [cause(), life()]
  return CONDITIONS.filter((condition) => holding.includes(condition))
}

// A healthy token may be refreshed when a quarter is left: it is given a moment before that is called trouble.
function quarterOf(lifeMs: number): number {
  return lifeMs / 4 - Math.min(HOUR_MS, lifeMs / 100)
}

function recovered({ name, state, expiresAt }: Account): Alert {
  const until = expiresAt === null ? '' : `; it is good until ${day(expiresAt)}`
  return { event: 'recovered', account: name, state, message: `The token of the account “${name}” works again${until}.` }
}

function alertOf(account: Account, condition: Condition): Alert {
  const [event, what] = sentence(account, condition)
  const why = account.lastError === null ? '' : ` ${account.lastError}`
  return { event, account: account.name, state: account.state, message: what + why }
}

function sentence({ name, accessToken, expiresAt }: Account, condition: Condition): [AlertKind, string] {
  const token = `The token of the account “${name}”`
  const end = expiresAt === null ? '' : ` It is good until ${day(expiresAt)}.`
  switch (condition) {
    case 'expired':
      return ['person_needed', `${token} has expired, and pages that ask for it get none: give the agent a new one.`]
    case 'unreadable':
      return ['unreadable', `${token} cannot be opened with any key in ENCRYPTION_KEY.`]
    case 'reconnect':
      if (accessToken === null) return ['person_needed', `The account “${name}” has no token any more; only a person can mend that.`]
      return ['person_needed', `${token} is refused by its provider; only a person can mend that.${end}`]
    case 'misconfigured':
      return ['person_needed', `${token} cannot be refreshed until a person changes a setting.${end}`]
    case 'tenth':
      return ['tenth_of_life_left', `${token} has lived nine tenths of its life without being renewed.${end}`]
    case 'quarter':
      return ['quarter_of_life_left', `${token} has lived three quarters of its life without being renewed.${end}`]
    case 'failing':
      return ['failing_for_a_day', `${token} could not be refreshed for more than a day; the agent goes on trying.${end}`]
  }
}

function day(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

import { type Account, failingTooLongMs, grantEnd, hasGrant, RECONNECT_SOON_MS } from '../core/account.ts'
import type { Alert, Alerted, AlertKind, FeedState } from './alert.ts'

/** The troubles of an account, the worst first. */
const CONDITIONS = [
  'expired',
  'unreadable',
  'reconnect',
  'misconfigured',
  'tenth',
  'week',
  'quarter',
  'approve-in-week',
  'approve-in-month',
  'failing',
] as const
export type Condition = (typeof CONDITIONS)[number]

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const WEEK_MS = 7 * DAY_MS
const REPEAT_MS = WEEK_MS

export interface Decision {
  /** Null = no alert now. */
  readonly alert: Alert | null
  /** The conditions alerted, once the alert has arrived. */
  readonly alerted: readonly string[]
}

/** Web pages lost the token because its scopes changed. It says nothing of the token's health, so it is decided apart. */
const PAGES_LOST = 'pages-lost'

/** The feed has no new posts, for a reason that is not the token's. */
const FEED_STALE = 'feed-stale'

/** What to send now, where `alerted` was sent before. All conditions repeat every seven days while they last. */
export function decideAlert(account: Account, alerted: Alerted, now: Date, feedState: FeedState = { is: 'idle' }): Decision {
  const others = [PAGES_LOST, FEED_STALE]
  const health = decideHealth(account, { ...alerted, conditions: alerted.conditions.filter((one) => !others.includes(one)) }, now)
  const pages = decidePages(account, alerted, now)
  const feed = decideFeed(account, alerted, now, feedState)
  // One alert at a time: what is left waits for the next look.
  const sent = [health, pages, feed].find(({ alert }) => alert !== null)
  const before = (condition: string): string[] => (alerted.conditions.includes(condition) ? [condition] : [])
  return {
    alert: sent?.alert ?? null,
    alerted: [
      ...health.alerted,
      ...(pages.alert === null || pages === sent ? pages.alerted : before(PAGES_LOST)),
      ...(feed.alert === null || feed === sent ? feed.alerted : before(FEED_STALE)),
    ],
  }
}

function decidePages(account: Account, alerted: Alerted, now: Date): Decision {
  const { conditions, at } = alerted
  const { pageUseEndedAt: endedAt } = account
  // The owner may have decided between two looks, and the scopes have changed again.
  const wasSent = endedAt !== null && at !== null && at >= endedAt && conditions.includes(PAGES_LOST)
  const isDue = endedAt !== null && account.pausedAt === null && hasGrant(account) && (!wasSent || isRepeat(alerted, now))
  if (!isDue) return { alert: null, alerted: wasSent ? [PAGES_LOST] : [] }
  const message = `The permissions of the account ${named(account)} have changed, so web pages no longer get its token; browsers that have it keep it for five minutes. Servers still get it. Decide under “Who may read the token” whether pages may have it with its new permissions.`
  return { alert: about(account, 'page_use_ended', message), alerted: [PAGES_LOST] }
}

function decideFeed(account: Account, alerted: Alerted, now: Date, state: FeedState): Decision {
  const wasSent = alerted.conditions.includes(FEED_STALE)
  // While the token is in trouble, its own alert says what to do.
  if (state.is === 'idle' || account.pausedAt !== null || !works(account)) return { alert: null, alerted: wasSent ? [FEED_STALE] : [] }
  if (state.is === 'good') {
    const message = `The feed of the account ${named(account)} gets its posts again.`
    return { alert: wasSent ? about(account, 'recovered', message) : null, alerted: [] }
  }
  if (wasSent && !isRepeat(alerted, now)) return { alert: null, alerted: [FEED_STALE] }
  const message = `The feed of the account ${named(account)} has had no new posts for six hours or more; pages show the last ones. ${state.why}`
  return { alert: about(account, 'feed_stale', message), alerted: [FEED_STALE] }
}

const isRepeat = ({ at }: Alerted, now: Date): boolean => at !== null && now.getTime() - at.getTime() >= REPEAT_MS

/**
 * Each condition alerts once per incident and again every seven days while it lasts; flapping does not alert twice. The
 * conditions of a newer release, which works beside this one, are left to it: they are no reason to say that all is well.
 */
function decideHealth(account: Account, alerted: Alerted, now: Date): Decision {
  const { conditions } = alerted
  const known = conditions.filter((condition) => CONDITIONS.some((one) => one === condition))
  const others = conditions.filter((condition) => !known.includes(condition))
  const holding = conditionsOf(account, now)
  // The owner paused it and knows.
  if (account.pausedAt !== null) return { alert: null, alerted: others }
  const worst = holding[0]
  if (worst === undefined) {
    // An account without a condition may still be broken: its new token is unconfirmed, or its failure is younger than a
    // day. The incident goes on, or "recovered" would be false and the next failure would alert twice.
    if (!works(account)) return { alert: null, alerted: conditions }
    return { alert: known.length === 0 ? null : recovered(account), alerted: others }
  }
  const fresh = holding.find((condition) => !known.includes(condition))
  if (fresh === undefined && !isRepeat(alerted, now)) return { alert: null, alerted: conditions }
  return { alert: alertOf(account, fresh ?? worst, now), alerted: [...new Set([...conditions, ...holding])] }
}

/** The earliest time at which `decideAlert` may return an alert if the account does not change; null = never. */
export function nextAlertAt(account: Account, alerted: Alerted, now: Date, feedState?: FeedState): Date | null {
  if (decideAlert(account, alerted, now, feedState).alert !== null) return now
  if (account.pausedAt !== null) return null
  const { issuedAt, expiresAt, refreshToken, failingSince, failureCount } = account
  const end = grantEnd(account)
  const moments = [end?.getTime(), alerted.conditions.length > 0 && alerted.at ? alerted.at.getTime() + REPEAT_MS : undefined]
  if (failureCount > 0 && failingSince !== null) {
    const tooLongMs = Math.max(failingSince.getTime() + 6 * HOUR_MS, expiresAt?.getTime() ?? 0)
    moments.push(failingSince.getTime() + DAY_MS, ...(refreshToken === null ? [] : [tooLongMs]))
  }
  if (refreshToken !== null && end !== null) moments.push(end.getTime() - WEEK_MS, end.getTime() - RECONNECT_SOON_MS)
  if (refreshToken === null && issuedAt !== null && expiresAt !== null) {
    const life = expiresAt.getTime() - issuedAt.getTime()
    const lasts = [quarterOf(life), life / 10, ...(hasLastWeek(life) ? [WEEK_MS] : [])]
    moments.push(...lasts.map((leftMs) => expiresAt.getTime() - leftMs))
  }
  const ahead = moments.filter((moment) => moment !== undefined && moment > now.getTime())
  return ahead.length === 0 ? null : new Date(Math.ceil(Math.min(...(ahead as number[]))))
}

function works(account: Account): boolean {
  return account.state === 'active' && hasGrant(account) && account.failureCount === 0
}

function conditionsOf(account: Account, now: Date): Condition[] {
  const { refreshToken, state, lastErrorCode, failingSince, failureCount, issuedAt } = account
  const end = grantEnd(account)
  // A new account waits for its first token. One whose user deauthorized the app needs a person.
  if (!hasGrant(account)) return state === 'reconnect' ? ['reconnect'] : []
  const cause = (): Condition | null => {
    if (lastErrorCode === 'unreadable') return 'unreadable'
    if (state === 'reconnect') return 'reconnect'
    if (lastErrorCode === 'misconfigured') return 'misconfigured'
    const failsFor = failureCount > 0 && failingSince !== null ? now.getTime() - failingSince.getTime() : 0
    return failsFor >= failingTooLongMs(account, now) ? 'failing' : null
  }
  const life = (): Condition[] => {
    if (end === null) return []
    const leftMs = end.getTime() - now.getTime()
    if (leftMs <= 0) return ['expired']
    if (refreshToken !== null) {
      if (leftMs <= WEEK_MS) return ['approve-in-week', 'approve-in-month']
      return leftMs <= RECONNECT_SOON_MS ? ['approve-in-month'] : []
    }
    if (issuedAt === null) return []
    const lifeMs = end.getTime() - issuedAt.getTime()
    if (leftMs <= lifeMs / 10) return ['tenth']
    // 1.0.0, which may look next, knows nothing of a week: the quarter is alerted with it.
    if (leftMs <= WEEK_MS && hasLastWeek(lifeMs)) return ['week', 'quarter']
    return leftMs <= quarterOf(lifeMs) ? ['quarter'] : []
  }
  const holding = [cause(), ...life()]
  return CONDITIONS.filter((condition) => holding.includes(condition))
}

// A healthy token may be refreshed with a quarter of its life left, so the alert waits up to an hour longer.
function quarterOf(lifeMs: number): number {
  return lifeMs / 4 - Math.min(HOUR_MS, lifeMs / 100)
}

// Of a shorter life a quarter is less than a week.
function hasLastWeek(lifeMs: number): boolean {
  return quarterOf(lifeMs) > WEEK_MS
}

function recovered(account: Account): Alert {
  const end = grantEnd(account)
  const until = end === null ? '' : `; it is good until ${day(end)}`
  return about(account, 'recovered', `The token of the account ${named(account)} works again${until}.`)
}

function alertOf(account: Account, condition: Condition, now: Date): Alert {
  const [event, what] = sentence(account, condition, now)
  const why = account.lastError === null ? '' : ` ${account.lastError}`
  return about(account, event, what + why)
}

const named = ({ name, provider }: Account): string => `“${name}” (${provider})`

function about(account: Account, event: AlertKind, message: string): Alert {
  return { event, account: account.name, provider: account.provider, state: account.state, message }
}

function sentence(account: Account, condition: Condition, now: Date): [AlertKind, string] {
  const { refreshToken, expiresAt } = account
  const token = `The token of the account ${named(account)}`
  const last = grantEnd(account)
  const end = refreshToken !== null || expiresAt === null ? '' : ` It is good until ${day(expiresAt)}.`
  const approval = `Only its user can keep the account ${named(account)} alive: connect it again${last === null ? '' : ` before ${day(last)}`}.`
  switch (condition) {
    case 'expired':
      return ['person_needed', `${token} has expired, and pages get none: connect the account again.`]
    case 'unreadable':
      return ['unreadable', `${token} cannot be opened with any key in ENCRYPTION_KEY.`]
    case 'reconnect':
      if (!hasGrant(account)) return ['person_needed', `The account ${named(account)} has no token any more: connect it again.`]
      return ['person_needed', `${token} is refused by its provider: connect the account again.${end}`]
    case 'misconfigured':
      return ['person_needed', `${token} cannot be refreshed until a person changes a setting.${end}`]
    case 'tenth':
      return ['tenth_of_life_left', `${token} has a tenth of its life left and was not renewed.${end}`]
    case 'week':
      return ['week_left', `${token} has a week of its life left and was not renewed.${end}`]
    case 'quarter':
      return ['quarter_of_life_left', `${token} has a quarter of its life left and was not renewed.${end}`]
    case 'approve-in-week':
      return ['approval_ends_in_a_week', approval]
    case 'approve-in-month':
      return ['approval_ends_in_a_month', approval]
    case 'failing':
      if (failingTooLongMs(account, now) < DAY_MS)
        return ['failing_for_a_day', `${token} has ended and could not be replaced for six hours. The agent keeps trying.`]
      return ['failing_for_a_day', `${token} could not be refreshed for more than a day. The agent keeps trying.${end}`]
  }
}

function day(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

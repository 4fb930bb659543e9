import type { FastifyRequest } from 'fastify'
import type { FeedDeps } from '../../accounts/feed-settings.ts'
import { type AccountSummary, totalOf } from '../../accounts/overview.ts'
import { describePageUse, describeStatus, type PageUseNote, type ProviderHealth, type ViewDeps } from '../../accounts/view.ts'
import type { LastHour } from '../../reading/read-counts.ts'
import { WRONG_A_DAY } from '../../sign-in/report-guesses.ts'
import type { WrongOfDay } from '../../sign-in/session-store.ts'
import type { SignIn } from '../../sign-in/sign-in.ts'
import type { Health } from '../../status/health.ts'
import { alertsState } from '../../status/health.ts'
import type { Status } from '../../status/status.ts'
import { type AccountCard, cardOf } from './account-card.ts'
import { type AlertCard, alertCards } from './alert-step.ts'
import { inTime } from './pages.ts'
import { isWorking } from './setup-page.ts'

export interface Listing {
  readonly page: number
  readonly pages: number
  readonly total: number
  readonly search: string
  readonly onlyNeedy: boolean
  /** The number of accounts, as a sentence. */
  readonly counted: string
  /** The address of another page of the same list. */
  href(page: number): string
}

export interface StatusPage {
  readonly working: boolean | null
  /** Null for strangers. */
  readonly details: Details | null
  readonly sessionUnknown: boolean
}

interface Details {
  readonly health: Health
  readonly given: GivenOut
  /** Null while the store does not answer. */
  readonly accounts: readonly AccountCard[] | null
  readonly providers: readonly ProviderHealth[]
  /** A sentence about the accounts that need the owner, with their address; null = none. */
  readonly attention: { readonly text: string; readonly href: string | null } | null
  /** Once, after the upgrade. */
  readonly pageUse: PageUseNote | null
  /** The channels of alerts. */
  readonly alerts: readonly AlertCard[]
  readonly listing: Listing
  /** The account with the next refresh. */
  readonly soonest: { readonly name: string; readonly what: string; readonly at: Date } | null
  /** Null unless the password is being guessed. */
  readonly guesses: WrongOfDay | null
}

/** Tokens served by this process, by source; numbers formatted for display. */
type GivenOut = Readonly<Record<'sum' | 'span' | keyof LastHour['counts'], string>>

export const PAGE_LENGTH = 20
const MAX_PAGE = 100_000

export interface ListQuery {
  readonly page?: unknown
  readonly name?: unknown
  readonly show?: unknown
}

export function pageRequestOf({ page, name, show }: ListQuery) {
  const number = typeof page === 'string' && /^\d{1,6}$/.test(page) ? Math.min(Math.max(1, Number(page)), MAX_PAGE) : 1
  const search = typeof name === 'string' ? name.trim().replace(/^@/, '').slice(0, 100) : ''
  return { page: number, offset: (number - 1) * PAGE_LENGTH, limit: PAGE_LENGTH, search, onlyNeedy: show === 'attention' }
}

export function listingOf(url: string, { page, search, onlyNeedy }: ReturnType<typeof pageRequestOf>, total: number): Listing {
  const kept = { ...(search === '' ? {} : { name: search }), ...(onlyNeedy ? { show: 'attention' } : {}) }
  const named = search === '' ? '' : ' with this in the name'
  const needing = !onlyNeedy ? '' : total === 1 ? ' that needs you' : ' that need you'
  return {
    counted: `${total === 1 ? '1 account' : `${total} accounts`}${named}${needing}.`,
    page,
    pages: Math.max(1, Math.ceil(total / PAGE_LENGTH)),
    total,
    search,
    onlyNeedy,
    href: (other) => `${url}?${new URLSearchParams({ ...kept, page: String(other) })}`,
  }
}

export interface StatusParts {
  readonly owner: ViewDeps & FeedDeps
  readonly status: Status
  readonly signIn: Pick<SignIn, 'wrongOfDay'>
}

/** One word for strangers and without a request; for the owner everything but the tokens. */
export async function describeStatusPage(parts: StatusParts, request: FastifyRequest | null): Promise<StatusPage> {
  const owner = request === null || request.ownerSession === '' ? null : request
  const [summary, details] = await Promise.all([
    inTime(parts.status.summary()),
    owner === null ? null : detailsOf(parts, owner.query as ListQuery),
  ])
  const needAttention = summary?.needAttention ?? 0
  // The summary may be some seconds old; the accounts on this page are current.
  const isBroken =
    details !== null &&
    (alertsState(details.alerts) === 'down' || details.accounts === null || details.accounts.some(({ needsAttention }) => needsAttention))
  return {
    working: isBroken || (owner !== null && needAttention > 0) ? false : isWorking(summary),
    details: details && { ...details, attention: attentionOf(summary, details) },
    sessionUnknown: request?.sessionUnknown ?? false,
  }
}

function attentionOf(summary: AccountSummary | null, { accounts, listing }: Pick<Details, 'accounts' | 'listing'>): Details['attention'] {
  const { needPerson = 0, needAttention = 0, nearEnd = 0 } = summary ?? {}
  const total = summary === null ? 0 : totalOf(summary)
  const only = (text: string) => ({ text, href: null })
  if (needAttention > 0 && total > 1) {
    const [need, show] = needAttention === 1 ? ['needs', 'it'] : ['need', 'them']
    const counted = `${needAttention} of your ${total} accounts ${need} you`
    return listing.onlyNeedy ? only(`${counted}.`) : { text: `${counted} – show ${show}`, href: '/status?show=attention' }
  }
  if (needPerson > 0) return only('Your account needs you.')
  if (nearEnd > 0) return only('The refreshes of the token have failed for long, and it expires soon: what to do is said below.')
  if (accounts !== null) return null
  return only(
    'The database does not answer, so the accounts cannot be shown. Web sites still get the tokens that the agent saw last, until they expire.',
  )
}

async function detailsOf({ owner, status, signIn }: StatusParts, query: ListQuery): Promise<Omit<Details, 'attention'>> {
  const asked = pageRequestOf(query)
  void status.recount().catch(() => {})
  const [health, found, wrong, alerts, pageUse] = await Promise.all([
    status.health(),
    inTime(describeStatus(owner, asked)),
    inTime(signIn.wrongOfDay()),
    alertCards(status),
    inTime(describePageUse(owner)),
  ])
  const accounts = found?.accounts.map((account) => cardOf(account, found.now)) ?? null
  return {
    health,
    given: givenOut(status.lastHour()),
    accounts,
    providers: found?.providers ?? [],
    alerts,
    pageUse,
    listing: listingOf('/status', asked, found?.total ?? 0),
    soonest: soonestOf(accounts ?? []),
    guesses: wrong !== null && wrong.count >= WRONG_A_DAY ? wrong : null,
  }
}

function soonestOf(accounts: readonly AccountCard[]): Details['soonest'] {
  const due = accounts.flatMap((account) => {
    const { name, condition, failureCount, nextRefreshAt: at } = account
    if (at === null || condition === 'needs you') return []
    return [{ name, at, what: failureCount > 0 ? 'tries to refresh' : condition === 'checking' ? 'checks' : 'refreshes' }]
  })
  return due.sort((a, b) => a.at.getTime() - b.at.getTime())[0] ?? null
}

function givenOut({ counts, minutes }: LastHour): GivenOut {
  const shown = (count: number): string => count.toLocaleString('en')
  const whole = minutes < 2 ? 'since this process started' : `in the last ${minutes} minutes, since this process started`
  return {
    sum: shown(Object.values(counts).reduce((a, b) => a + b, 0)),
    span: minutes >= 60 ? 'in the last hour' : whole,
    process: shown(counts.process),
    memcached: shown(counts.memcached),
    store: shown(counts.store),
    stale: shown(counts.stale),
  }
}

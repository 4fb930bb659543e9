import type { FastifyRequest } from 'fastify'
import { totalOf } from '../../accounts/overview.ts'
import { type AccountHealth, describeStatus, type ProviderHealth, type ViewDeps } from '../../accounts/view.ts'
import type { LastHour } from '../../reading/read-counts.ts'
import { WRONG_A_DAY } from '../../sign-in/report-guesses.ts'
import type { WrongOfDay } from '../../sign-in/session-store.ts'
import type { SignIn } from '../../sign-in/sign-in.ts'
import type { Health } from '../../status/health.ts'
import type { Status } from '../../status/status.ts'
import { type Run, runsOf } from './format-time.ts'
import { type LifeBar, lifeBarOf } from './life-bar.ts'
import { inTime } from './pages.ts'
import { isWorking } from './setup-page.ts'

export interface Listing {
  readonly page: number
  readonly pages: number
  readonly total: number
  readonly search: string
  readonly onlyNeedy: boolean
  /** The address of another page of the same list. */
  href(page: number): string
}

export type AccountCard = AccountHealth & { readonly life: LifeBar | null; readonly runs: readonly Run[] }

export interface StatusPage {
  readonly working: boolean | null
  /** Null for everybody but the owner. */
  readonly details: Details | null
  readonly perhapsOwner: boolean
}

interface Details {
  readonly health: Health
  readonly lastHour: LastHour
  /** Null while the store does not answer. */
  readonly accounts: readonly AccountCard[] | null
  readonly providers: readonly ProviderHealth[]
  readonly needPerson: number
  readonly needAttention: number
  /** Their refreshes fail, and their tokens are close to the end. */
  readonly nearEnd: number
  readonly total: number
  readonly listing: Listing
  readonly soonest: AccountCard | null
  /** Null while no guesser is at work. */
  readonly guesses: WrongOfDay | null
}

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
  return {
    page,
    pages: Math.max(1, Math.ceil(total / PAGE_LENGTH)),
    total,
    search,
    onlyNeedy,
    href: (other) => `${url}?${new URLSearchParams({ ...kept, page: String(other) })}`,
  }
}

export interface StatusParts {
  readonly owner: ViewDeps
  readonly status: Status
  readonly signIn: Pick<SignIn, 'wrongOfDay'>
}

/** Without a request, and in public, one word; for the owner everything but the tokens. */
export async function describeStatusPage(parts: StatusParts, request: FastifyRequest | null): Promise<StatusPage> {
  const owner = request === null || request.ownerSession === '' ? null : request
  const [stock, details] = await Promise.all([
    inTime(parts.status.summary()),
    owner === null ? null : detailsOf(parts, owner.query as ListQuery),
  ])
  const { needPerson = 0, needAttention = 0, nearEnd = 0 } = stock ?? {}
  // The numbers may be some seconds old; the accounts on this page are not.
  const isIll = details !== null && (details.accounts === null || details.accounts.some(({ needsAttention }) => needsAttention))
  return {
    working: isIll || (owner !== null && needAttention > 0) ? false : isWorking(stock),
    details: details && { ...details, needPerson, needAttention, nearEnd, total: stock === null ? 0 : totalOf(stock) },
    perhapsOwner: request?.perhapsOwner ?? false,
  }
}

async function detailsOf(
  { owner, status, signIn }: StatusParts,
  query: ListQuery,
): Promise<Omit<Details, 'needPerson' | 'needAttention' | 'nearEnd' | 'total'>> {
  const asked = pageRequestOf(query)
  void status.recount().catch(() => {})
  const [health, found, wrong] = await Promise.all([status.health(), inTime(describeStatus(owner, asked)), inTime(signIn.wrongOfDay())])
  const accounts =
    found?.accounts.map((account) => ({ ...account, life: lifeBarOf(account, found.now), runs: runsOf(account.attempts) })) ?? null
  return {
    health,
    lastHour: status.lastHour(),
    accounts,
    providers: found?.providers ?? [],
    listing: listingOf('/status', asked, found?.total ?? 0),
    soonest: soonestOf(accounts ?? []),
    guesses: wrong !== null && wrong.count >= WRONG_A_DAY ? wrong : null,
  }
}

function soonestOf(accounts: readonly AccountCard[]): AccountCard | null {
  const due = accounts.filter(({ nextRefreshAt, condition }) => nextRefreshAt !== null && condition !== 'needs you')
  return due.sort((a, b) => (a.nextRefreshAt?.getTime() ?? 0) - (b.nextRefreshAt?.getTime() ?? 0))[0] ?? null
}

import {
  type Account,
  awaitsProvider,
  grantEnd,
  hasGrant,
  isAtRisk,
  isForPages,
  lifeLeft,
  needsPerson,
  RECONNECT_SOON_MS,
} from '../core/account.ts'
import { accountPages } from '../core/account-pages.ts'
import type { AccountStore, RecordedEvent } from '../core/account-store.ts'
import type { Provider } from '../core/provider.ts'
import { accountContext, tryOpen, type Vault } from '../core/vault.ts'
import { type FeedDeps, type FeedView, feedView } from './feed-settings.ts'
import { type NextStep, nextStep, type Situation } from './next-step.ts'
import type { Overview, PageRequest } from './overview.ts'
import { withUnreadable } from './unreadable.ts'

export interface ViewDeps {
  readonly store: Pick<AccountStore, 'find' | 'list' | 'now'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly overview: Pick<Overview, 'page' | 'attempts' | 'lastAnswer' | 'keptInPages'>
}

/** An account as its owner sees it, without the token. */
export interface AccountView extends Situation {
  readonly name: string
  readonly provider: string
  readonly username: string | null
  /** `/token.js` serves this account. */
  readonly isDefault: boolean
  readonly allowedDomains: string | null
  readonly serves: Account['serves']
  readonly feedOpen: boolean
  readonly jsConstant: string | null
  readonly scopes: string | null
  /**
   * `allowed`: pages get the token by the owner's word alone. `servers`: they do not. `ended`: nor since its permissions have
   * changed. `untold`: they do, and it does not tell what it can do.
   */
  readonly pageUse: 'safe' | 'untold' | 'allowed' | 'servers' | 'ended'
  readonly issuedAt: Date | null
  readonly neverExpires: boolean
  readonly lastRefreshAt: Date | null
  /** The provider refuses to refresh the token until then; null = old enough, or of unknown age. */
  readonly tooYoungUntil: Date | null
}

/** An account with its owner's next step. */
export type AdvisedAccount = AccountView & NextStep

export type AccountHealth = AdvisedAccount & {
  /** The last sixty attempts, newest first. */
  readonly attempts: readonly RecordedEvent[]
  /** Null where the provider gives no posts. */
  readonly feed: FeedView | null
}

export interface ProviderHealth {
  readonly title: string
  /** Null = never called. */
  readonly lastAnswer: RecordedEvent | null
}

/** Tokens that stay in web pages since the upgrade, although a new one would go to servers alone, or might. */
export interface PageUseNote {
  /** How many can do more than read. */
  readonly wide: number
  /** Some of their names. */
  readonly names: readonly string[]
  /** How many do not tell what they can do. */
  readonly untold: number
}

const NAMES_IN_NOTE = 20
const SHOWN_CHARACTERS = 6
const ATTEMPTS = 60

/** All accounts by name, a page at a time. */
export async function* describeAccounts(deps: ViewDeps): AsyncGenerator<AdvisedAccount[]> {
  const served = await deps.store.find(null)
  for await (const accounts of accountPages(deps.store)) {
    yield accounts.map((account) => advise(deps, account, served?.name === account.name))
  }
}

/** One page of accounts; `total` counts all pages. */
export async function describePage(
  deps: ViewDeps,
  request: PageRequest,
): Promise<{ accounts: AdvisedAccount[]; total: number; served: string | null }> {
  const [{ accounts, total }, served] = await Promise.all([deps.overview.page(request), deps.store.find(null)])
  const name = served?.name ?? null
  return { accounts: accounts.map((account) => advise(deps, account, name === account.name)), total, served: name }
}

/** One page of accounts with their attempts, and the last answer of each provider. */
export async function describeStatus(
  deps: ViewDeps & FeedDeps,
  request: PageRequest,
): Promise<{ accounts: AccountHealth[]; total: number; providers: ProviderHealth[]; now: Date }> {
  const { accounts, total } = await describePage(deps, request)
  const names = accounts.map(({ name }) => name)
  const [attempts, providers, feeds] = await Promise.all([
    deps.overview.attempts(names, ATTEMPTS),
    describeProviders(deps),
    deps.feedSummaries.of(names),
  ])
  const now = deps.store.now()
  const health = accounts.map((account) => ({
    ...account,
    attempts: attempts.get(account.name) ?? [],
    feed: feedView(deps, account, feeds.get(account.name) ?? null),
  }))
  return { accounts: health, total, providers, now }
}

/** Null = no such token, or the owner has read the note. */
export async function describePageUse({ overview, providers }: Pick<ViewDeps, 'overview' | 'providers'>): Promise<PageUseNote | null> {
  const kept = await overview.keptInPages()
  const wide = kept.filter(({ provider, scopes }) => providers.get(provider)?.isPublicSafe(scopes) !== true)
  const untold = kept.filter((one) => one.scopes === null && !wide.includes(one))
  const sum = (groups: typeof kept): number => groups.reduce((total, { accounts }) => total + accounts, 0)
  if (wide.length + untold.length === 0) return null
  const names = wide
    .flatMap((one) => one.names.split(' '))
    .toSorted()
    .slice(0, NAMES_IN_NOTE)
  return { wide: sum(wide), names, untold: sum(untold) }
}

export async function describeAccount(deps: ViewDeps, account: Account): Promise<AdvisedAccount> {
  return advise(deps, account, (await deps.store.find(null))?.name === account.name)
}

function advise(deps: ViewDeps, account: Account, isDefault: boolean): AdvisedAccount {
  const view = describe(deps, account, isDefault)
  const now = deps.store.now()
  const makeNewToken = deps.providers.get(account.provider)?.makeNewToken ?? null
  return { ...view, ...nextStep(view, { now, isAtRisk: isAtRisk(account, now), makeNewToken }) }
}

function describe(deps: ViewDeps, stored: Account, isDefault: boolean): AccountView {
  const account = withUnreadable(stored, deps.vault)
  const { name, provider, username, allowedDomains, jsConstant, expiresAt, lastRefreshAt, nextRefreshAt, issuedAt } = account
  const now = deps.store.now()
  const minimumAgeMs = (deps.providers.get(provider)?.minimumAgeSeconds ?? 0) * 1000
  const oldEnoughAt = issuedAt === null ? null : new Date(issuedAt.getTime() + minimumAgeMs)
  const condition = conditionOf(account, now)
  return {
    name,
    provider,
    userId: account.providerUserId,
    username,
    condition,
    token: shown(deps, account),
    isDefault,
    allowedDomains,
    serves: account.serves,
    feedOpen: account.feedOpen,
    jsConstant,
    scopes: account.scopes,
    pageUse: pageUseOf(deps, account),
    issuedAt,
    neverExpires: account.neverExpires,
    expiresAt,
    grantEnd: account.refreshToken === null ? null : grantEnd(account),
    isWaiting: awaitsProvider(account, now),
    lastRefreshAt,
    nextRefreshAt: account.pausedAt === null ? nextRefreshAt : null,
    tooYoungUntil: oldEnoughAt !== null && oldEnoughAt > now ? oldEnoughAt : null,
    failureCount: account.failureCount,
    wantsToken:
      condition === 'empty' || (condition === 'needs you' && account.lastErrorCode !== 'misconfigured') || isInDanger(account, now),
    canConnect: deps.providers.get(provider)?.connect !== undefined,
    lastErrorCode: account.lastErrorCode,
    lastError: account.lastError,
  }
}

function pageUseOf({ providers }: ViewDeps, account: Account): AccountView['pageUse'] {
  if (!hasGrant(account)) return 'safe'
  if (isForPages({ ...account, pageUseConfirmedAt: null }, providers.get(account.provider)))
    return account.scopes === null ? 'untold' : 'safe'
  if (account.pageUseConfirmedAt !== null) return 'allowed'
  return account.pageUseEndedAt === null ? 'servers' : 'ended'
}

/** A healthy token is refreshed long before a quarter of its life is left. A date that only a person can move comes first. */
function isInDanger(account: Account, now: Date): boolean {
  if (account.pausedAt !== null) return false
  if (account.refreshToken === null) return account.failureCount > 0 && (lifeLeft(account, now) ?? 1) < 0.25
  const end = grantEnd(account)
  return end !== null && end.getTime() - now.getTime() <= RECONNECT_SOON_MS
}

export function conditionOf(account: Account, now: Date): AccountView['condition'] {
  if (account.pausedAt !== null) return 'paused'
  if (!hasGrant(account) && account.lastError === null) return 'empty'
  if (needsPerson(account, now)) return 'needs you'
  return account.state === 'unverified' ? 'checking' : 'working'
}

/** The condition in the word that pages and the command line show. */
export function conditionWord({ condition, failureCount }: Pick<AccountView, 'condition' | 'failureCount'>): string {
  return condition === 'working' && failureCount > 0 ? 'trying again' : condition
}

function shown({ vault }: ViewDeps, account: Account): string | null {
  const { accessToken } = account
  if (accessToken === null) return hasGrant(account) ? 'a refresh token; the agent gets the token to serve with it' : null
  const token = tryOpen(vault, accessToken, accountContext(account, 'access_token'))?.reveal()
  if (token === undefined) return 'stored, but no key in ENCRYPTION_KEY opens it'
  // Six characters would give away too much of a very short token.
  const start = token.slice(0, Math.min(SHOWN_CHARACTERS, Math.floor(token.length / 4)))
  return `${start}… (${token.length} ${token.length === 1 ? 'character' : 'characters'})`
}

/** The providers that were ever called; before the first call the first one. */
async function describeProviders({ providers, overview }: ViewDeps): Promise<ProviderHealth[]> {
  const all = await Promise.all(
    [...providers.values()].map(async ({ name, title }) => ({ title, lastAnswer: await overview.lastAnswer(name) })),
  )
  const called = all.filter(({ lastAnswer }) => lastAnswer !== null)
  return called.length > 0 ? called : all.slice(0, 1)
}

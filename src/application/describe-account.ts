import { type Account, needsPerson } from '../domain/account.ts'
import type { PageRequest } from '../domain/overview.ts'
import { accountPlace, tryOpen } from '../domain/vault.ts'
import type { OwnerDeps } from './owner-deps.ts'
import { withUnreadable } from './report-status.ts'

/** An account as its owner sees it: everything but the token. */
export interface AccountView {
  readonly name: string
  readonly provider: string
  readonly username: string | null
  readonly condition: 'working' | 'paused' | 'empty' | 'checking' | 'needs you'
  /** Its beginning and its length; null = there is none. */
  readonly token: string | null
  /** `/token.js` serves it. */
  readonly isDefault: boolean
  readonly allowedDomains: string | null
  readonly jsConstant: string | null
  readonly issuedAt: Date | null
  readonly expiresAt: Date | null
  readonly lastRefreshAt: Date | null
  readonly nextRefreshAt: Date | null
  /** Until then the provider refuses to refresh the token; null = it may be refreshed, or its age is not known. */
  readonly tooYoungUntil: Date | null
  /** Failed refreshes since the last success. */
  readonly failureCount: number
  readonly lastErrorCode: string | null
  readonly lastError: string | null
}

const SHOWN_CHARACTERS = 6

export async function describeAccounts(deps: OwnerDeps): Promise<AccountView[]> {
  const [accounts, served] = await Promise.all([deps.store.list(), deps.store.find(null)])
  return accounts.map((account) => describe(deps, account, served?.name === account.name))
}

/** Some of them, for a page; `total` counts those on all pages. */
export async function describePage(
  deps: OwnerDeps,
  request: PageRequest,
): Promise<{ accounts: AccountView[]; total: number; served: string | null }> {
  const [{ accounts, total }, served] = await Promise.all([deps.overview.page(request), deps.store.find(null)])
  const name = served?.name ?? null
  return { accounts: accounts.map((account) => describe(deps, account, name === account.name)), total, served: name }
}

export async function describeAccount(deps: OwnerDeps, account: Account): Promise<AccountView> {
  return describe(deps, account, (await deps.store.find(null))?.name === account.name)
}

function describe(deps: OwnerDeps, stored: Account, isDefault: boolean): AccountView {
  const account = withUnreadable(stored, deps.vault)
  const { name, provider, username, allowedDomains, jsConstant, expiresAt, lastRefreshAt, nextRefreshAt, issuedAt } = account
  const now = deps.store.now()
  const minimumAgeMs = (deps.providers.get(provider)?.minimumAgeSeconds ?? 0) * 1000
  const oldEnoughAt = issuedAt === null ? null : new Date(issuedAt.getTime() + minimumAgeMs)
  return {
    name,
    provider,
    username,
    condition: conditionOf(account, now),
    token: account.accessToken === null ? null : shown(deps, account, account.accessToken),
    isDefault,
    allowedDomains,
    jsConstant,
    issuedAt,
    expiresAt,
    lastRefreshAt,
    nextRefreshAt: account.pausedAt === null ? nextRefreshAt : null,
    tooYoungUntil: oldEnoughAt !== null && oldEnoughAt > now ? oldEnoughAt : null,
    failureCount: account.failureCount,
    lastErrorCode: account.lastErrorCode,
    lastError: account.lastError,
  }
}

function conditionOf(account: Account, now: Date): AccountView['condition'] {
  if (account.pausedAt !== null) return 'paused'
  if (account.accessToken === null && account.lastError === null) return 'empty'
  if (needsPerson(account, now)) return 'needs you'
  return account.state === 'unverified' ? 'checking' : 'working'
}

function shown({ vault }: OwnerDeps, { name }: Account, sealed: string): string {
  const token = tryOpen(vault, sealed, accountPlace(name, 'access_token'))?.reveal()
  if (token === undefined) return 'stored, but no key in ENCRYPTION_KEY opens it'
  // Of a very short one six characters would be too much.
  const start = token.slice(0, Math.min(SHOWN_CHARACTERS, Math.floor(token.length / 4)))
  return `${start}… (${token.length} characters)`
}

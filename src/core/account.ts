import type { Provider } from './provider.ts'

/**
 * `unverified`: the provider has not confirmed the token yet. `active`: it has.
 * `reconnect`: the provider refuses the grant; only a person can fix it.
 */
export type AccountState = 'unverified' | 'active' | 'reconnect'

/** One connected account. `accessToken` and `refreshToken` are sealed: only a `Vault` opens them. */
export interface Account {
  readonly name: string
  readonly provider: string
  /** The provider's id of the user; null until the provider has confirmed a token once. */
  readonly providerUserId: string | null
  /** The provider's app-scoped id of the user; null = the provider has not sent one. */
  readonly providerAppUserId: string | null
  readonly username: string | null
  readonly accessToken: string | null
  readonly refreshToken: string | null
  /** Separated by blanks; null = unknown. */
  readonly scopes: string | null
  /** When the owner allowed pages a token with more rights than reading; ends with any change of the scopes. */
  readonly pageUseConfirmedAt: Date | null
  /** When other scopes ended that word, so that pages lost the token; null = they did not, or the owner has decided since. */
  readonly pageUseEndedAt: Date | null
  /** The account's allow-list as typed; null = ALLOWED_DOMAINS. */
  readonly allowedDomains: string | null
  /** The name of the constant in `token.js`; null = the global one. */
  readonly jsConstant: string | null
  /** What web sites and servers get; null = FEED_MODE decides. */
  readonly serves: 'token' | 'both' | 'feed' | null
  /** Any web site may read the feed, not only those of the list. */
  readonly feedOpen: boolean
  /** A paused account is neither refreshed nor served. */
  readonly pausedAt: Date | null
  readonly state: AccountState
  readonly issuedAt: Date | null
  /** Null = unknown: the life of a seeded token comes with its first refresh. */
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  /** From then on only the user's new approval helps; null = the provider names no such date. */
  readonly reconnectBy: Date | null
  /** The provider says that the access token has no end. */
  readonly neverExpires: boolean
  readonly lastRefreshAt: Date | null
  readonly nextRefreshAt: Date | null
  /** Goes up by one with each new token, never down. */
  readonly version: number
  readonly failureCount: number
  /** The first of the failures in a row; null also where an older release wrote the failure. */
  readonly failingSince: Date | null
  /** The first of the refusals in a row. */
  readonly refusedAt: Date | null
  readonly lastErrorCode: string | null
  /** One safe sentence for the owner. */
  readonly lastError: string | null
  /** A one-way fingerprint of the last accepted seed, so that the same STARTING_TOKEN is not taken twice. */
  readonly seedFingerprint: string | null
  /** Goes up with each write that changes what readers get. Never goes down, not even over removal and re-creation. */
  readonly revision: number
  /** When the owner vouched for a token that the provider has not confirmed; null = the provider must confirm it first. */
  readonly trustedAt: Date | null
  /** When a grant, seed or paste was last accepted. */
  readonly connectedAt: Date
  /** The last successful daily look. */
  readonly checkedAt: Date | null
  /** The next daily look; null = not planned yet. */
  readonly nextCheckAt: Date | null
  /** An answer to a refresh that counts only if it comes again ten minutes later, and when it first came. */
  readonly doubted: string | null
  readonly doubtedAt: Date | null
  readonly createdAt: Date
}

/** The account that `/token.js` serves until another one is made the default. */
export const DEFAULT_ACCOUNT = 'default'

/** What started an action; the `actor` of its event. */
export type Actor = 'boot' | 'timer' | 'webhook' | 'cli' | 'owner' | 'provider' | 'link'

/** A name is part of `/accounts/<name>/token.js`, so it is a slug: a–z, 0–9 and inner hyphens, at most 40 characters. */
export function isAccountName(name: string): boolean {
  return /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/.test(name)
}

export const ACCOUNT_NAME_RULE = 'An account’s name has the letters a to z, digits and inner hyphens, 40 characters at most.'

/**
 * A confirmed token is served until it expires, also while its refreshes fail or are refused. An unconfirmed one may be
 * a password typed into the wrong field: it is served only if the owner vouched for it and the provider has not refused it.
 */
export function isServable(account: Account, now: Date): boolean {
  if (account.accessToken === null || account.pausedAt !== null) return false
  if (account.expiresAt !== null && account.expiresAt <= now) return false
  // A restored token has its user, and its provider has not said yet that it is still this user's.
  if (account.providerUserId !== null && account.state !== 'unverified') return true
  // Without a failure the first call is still open. It ends within seconds, so the token waits for it.
  return account.trustedAt !== null && account.state !== 'reconnect' && (account.state === 'active' || account.failureCount > 0)
}

/**
 * True where web pages may have the token: it can only read, or the owner has allowed more. Else only servers get it.
 */
export function isForPages(
  { scopes, pageUseConfirmedAt }: Pick<Account, 'scopes' | 'pageUseConfirmedAt'>,
  provider: Pick<Provider, 'isPublicSafe'> | undefined,
): boolean {
  return pageUseConfirmedAt !== null || provider?.isPublicSafe(scopes) === true
}

/** The share of the token's life that is left, from 1 down to 0; null = unknown. */
export function lifeLeft({ issuedAt, expiresAt }: Pick<Account, 'issuedAt' | 'expiresAt'>, now: Date): number | null {
  if (issuedAt === null || expiresAt === null || expiresAt <= issuedAt) return null
  const left = (expiresAt.getTime() - now.getTime()) / (expiresAt.getTime() - issuedAt.getTime())
  return Math.min(1, Math.max(0, left))
}

/** True where the account holds a token that the agent can keep alive, though perhaps none to serve yet. */
export function hasGrant({ accessToken, refreshToken }: Pick<Account, 'accessToken' | 'refreshToken'>): boolean {
  return accessToken !== null || refreshToken !== null
}

/** From then on only a person can restore the token; null = unknown, or never. A refresh token outlives its access tokens. */
export function grantEnd(account: Pick<Account, 'refreshToken' | 'expiresAt' | 'refreshExpiresAt' | 'reconnectBy'>): Date | null {
  const { refreshToken, expiresAt, refreshExpiresAt, reconnectBy } = account
  const end = refreshToken === null ? expiresAt : refreshExpiresAt
  return end === null || (reconnectBy !== null && reconnectBy < end) ? reconnectBy : end
}

/** True where the access token has ended and the agent can still get another one. */
export function awaitsProvider(account: Account, now: Date): boolean {
  return account.refreshToken !== null && account.expiresAt !== null && account.expiresAt <= now && !hasEnded(account, now)
}

/** True where the agent cannot keep or restore a working token without a person. */
export function needsPerson(account: Account, now: Date): boolean {
  if (account.pausedAt !== null) return false
  if (account.state === 'reconnect' || account.lastErrorCode === 'misconfigured' || account.lastErrorCode === 'unreadable') return true
  return !hasGrant(account) || hasEnded(account, now)
}

function hasEnded(account: Account, now: Date): boolean {
  const end = grantEnd(account)
  return end !== null && end <= now
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** The first alert of a date that only a person can move. */
export const RECONNECT_SOON_MS = 30 * DAY_MS

/** The time of failures after which a person should look. Without a token to serve it is shorter. */
export function failingTooLongMs(account: Account, now: Date): number {
  return awaitsProvider(account, now) ? 6 * HOUR_MS : DAY_MS
}

/**
 * True where a person should look although the agent keeps trying: the refreshes have failed for too long, or three times
 * in the last week, or a tenth of the token's life is left, or the user must approve the app again within a month.
 */
export function isAtRisk(account: Account, now: Date): boolean {
  const { pausedAt, refreshToken, failureCount, failingSince } = account
  if (pausedAt !== null || !hasGrant(account)) return false
  const leftMs = (grantEnd(account)?.getTime() ?? Number.POSITIVE_INFINITY) - now.getTime()
  if (refreshToken === null ? (lifeLeft(account, now) ?? 1) <= 0.1 : leftMs <= RECONNECT_SOON_MS) return true
  if (leftMs <= 7 * DAY_MS && failureCount >= 3) return true
  return failureCount > 0 && failingSince !== null && now.getTime() - failingSince.getTime() >= failingTooLongMs(account, now)
}

/**
 * `unverified`: the provider has not confirmed the token yet. `active`: it has.
 * `reconnect`: the provider refuses the grant; only a person can mend it.
 */
export type AccountState = 'unverified' | 'active' | 'reconnect'

/** One connected account. `accessToken` and `refreshToken` are sealed: only a `Vault` opens them. */
export interface Account {
  readonly name: string
  readonly provider: string
  /** The provider's id of the user; null until the provider has confirmed a token once. */
  readonly providerUserId: string | null
  /** The id that the provider gives the user towards this app alone; null = not told. */
  readonly providerAppUserId: string | null
  readonly username: string | null
  readonly accessToken: string | null
  readonly refreshToken: string | null
  readonly scopes: string | null
  /** The account's own allow-list as typed; null = the global list. */
  readonly allowedDomains: string | null
  /** The name of the constant in `token.js`; null = the global one. */
  readonly jsConstant: string | null
  /** Neither refreshed nor served from then on. */
  readonly pausedAt: Date | null
  readonly state: AccountState
  readonly issuedAt: Date | null
  /** Null = not known: a seeded token tells its life only when it is first refreshed. */
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  readonly lastRefreshAt: Date | null
  readonly nextRefreshAt: Date | null
  /** Goes up by one with each new token, never down. */
  readonly version: number
  readonly failureCount: number
  /** The first failure of the present run; null also where an older release wrote the failure. */
  readonly failingSince: Date | null
  /** When the provider first refused the grant, in the present run of refusals. */
  readonly refusedAt: Date | null
  readonly lastErrorCode: string | null
  /** One safe sentence for the owner. */
  readonly lastError: string | null
  /** Tells whether `STARTING_TOKEN` is the one already taken; not the token, and no way back to it. */
  readonly seedFingerprint: string | null
  /** Goes up with each write that changes what a reader may be given, never down; also over removal and re-creation. */
  readonly revision: number
  /** The owner's word for a token that the provider has not confirmed yet; null = it has to be confirmed first. */
  readonly trustedAt: Date | null
  /** When a grant, seed or paste was last accepted. */
  readonly connectedAt: Date
  /** The last daily look that the provider answered well. */
  readonly checkedAt: Date | null
  /** When the next daily look is; null = not planned yet. */
  readonly nextCheckAt: Date | null
  /** An answer to a refresh that is believed only when it is given again ten minutes later, and when it came first. */
  readonly doubted: string | null
  readonly doubtedAt: Date | null
  readonly createdAt: Date
}

/** The account that `/token.js` serves until another one is made the default. */
export const DEFAULT_ACCOUNT = 'default'

/** Why a refresh began: stands in each event as its actor. */
export type Actor = 'boot' | 'timer' | 'webhook' | 'cli' | 'owner' | 'provider'

/** A name stands in `/accounts/<name>/token.js`, so it is a slug: a–z, 0–9 and inner hyphens, at most 40 characters. */
export function isAccountName(name: string): boolean {
  return /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/.test(name)
}

export const ACCOUNT_NAME_RULE = 'An account’s name has the letters a to z, digits and inner hyphens, 40 characters at most.'

/**
 * A token that the provider has confirmed is served until its own expiry, also while its refreshes fail or are refused.
 * One that it has never confirmed may be anything, a password put into the wrong field included: it is served only on
 * the owner's word, and not once it is refused.
 */
export function isServable(account: Account, now: Date): boolean {
  if (account.accessToken === null || account.pausedAt !== null) return false
  if (account.expiresAt !== null && account.expiresAt <= now) return false
  if (account.providerUserId !== null) return true
  // With no failure yet it has not been asked about: a moment later the provider has answered, or has failed to.
  return account.trustedAt !== null && account.state !== 'reconnect' && (account.state === 'active' || account.failureCount > 0)
}

/** What is left of the token's life, from 1 down to 0; null = its life is not known. */
export function lifeLeft({ issuedAt, expiresAt }: Pick<Account, 'issuedAt' | 'expiresAt'>, now: Date): number | null {
  if (issuedAt === null || expiresAt === null || expiresAt <= issuedAt) return null
  const left = (expiresAt.getTime() - now.getTime()) / (expiresAt.getTime() - issuedAt.getTime())
  return Math.min(1, Math.max(0, left))
}

/** True where nothing but a person's action keeps, or brings back, a working token. */
export function needsPerson(account: Account, now: Date): boolean {
  if (account.pausedAt !== null) return false
  if (account.state === 'reconnect' || account.lastErrorCode === 'misconfigured' || account.lastErrorCode === 'unreadable') return true
  return account.accessToken === null || (account.expiresAt !== null && account.expiresAt <= now)
}

const DAY_MS = 86_400_000

/**
 * True where a person should look, though the agent goes on by itself: the refreshes have failed for a day, or again and
 * again within the last week of the token; or a tenth of its life is left, which never comes to that where all is well.
 */
export function isAtRisk(account: Account, now: Date): boolean {
  const { pausedAt, accessToken, failureCount, failingSince, expiresAt } = account
  if (pausedAt !== null || accessToken === null) return false
  if ((lifeLeft(account, now) ?? 1) <= 0.1) return true
  const isLastWeek = expiresAt !== null && expiresAt.getTime() - now.getTime() <= 7 * DAY_MS
  if (isLastWeek && failureCount >= 3) return true
  return failureCount > 0 && failingSince !== null && now.getTime() - failingSince.getTime() >= DAY_MS
}

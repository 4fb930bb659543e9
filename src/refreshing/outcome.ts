import { type Account, isForPages, isServable } from '../core/account.ts'
import type { AccountChange, AccountEvent } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Grant, Profile, Provider } from '../core/provider.ts'
import { accountContext, tryOpen, UnreadableError, type Vault } from '../core/vault.ts'
import { nextCheckAt, nextRefreshAt, type RefreshPolicy, renewalEnd } from './next-refresh.ts'

/** The result of an attempt: the change of the row and the event in the history. */
export interface Outcome {
  readonly change: AccountChange
  readonly event: Pick<AccountEvent, 'kind' | 'outcome' | 'detail' | 'endsFeed'>
  readonly outcome: 'refreshed' | 'verified' | 'failed'
}

interface Deps {
  readonly vault: Vault
  readonly policy: RefreshPolicy
}

const CONFIRMATION_MS = 10 * 60_000
export const NO_TROUBLE = {
  failureCount: 0,
  refusedAt: null,
  doubted: null,
  doubtedAt: null,
  lastErrorCode: null,
  lastError: null,
} as const

/** An account without a token, and all that goes with one. */
export const NO_GRANT = {
  accessToken: null,
  refreshToken: null,
  refreshExpiresAt: null,
  reconnectBy: null,
  neverExpires: false,
  providerUserId: null,
  providerAppUserId: null,
  username: null,
  scopes: null,
  pageUseConfirmedAt: null,
  pageUseEndedAt: null,
  issuedAt: null,
  expiresAt: null,
  nextRefreshAt: null,
} as const

export const identity = ({ userId, username, appUserId }: Profile): AccountChange => ({
  providerUserId: userId,
  username,
  providerAppUserId: appUserId,
})

/** One call of a provider for an account. */
export interface Attempt {
  readonly account: Account
  readonly provider: Provider
  /** The token's user, where the provider has just named it. */
  readonly profile: Profile | null
  readonly calledAt: Date
}

export function verified(deps: Deps, { account, provider, profile, calledAt }: Attempt): Outcome {
  const since = account.issuedAt ?? calledAt
  const oldEnough = since.getTime() + provider.minimumAgeSeconds * 1000 + deps.policy.random() * 60_000
  return {
    outcome: 'verified',
    change: {
      ...(profile === null ? {} : identity(profile)),
      ...NO_TROUBLE,
      state: 'active',
      // A seeded token counts as issued now at the latest. From now on its refusals count as those of other tokens.
      issuedAt: since,
      nextRefreshAt: new Date(oldEnough),
      nextCheckAt: nextCheckAt(calledAt, deps.policy.random),
    },
    event: {
      kind: 'verified',
      outcome: 'ok',
      detail: 'The token works. It is too young to be refreshed, which is normal; the agent refreshes it when it is a day old.',
    },
  }
}

/** A rotated token of unknown life may live an hour or a day. */
const UNKNOWN_LIFE_MS = 10 * 60_000
/** A token that lives for seconds must not be renewed without a pause: each renewal may lose it. */
const SOONEST_MS = 60_000

/** The change of a row that a grant makes. */
export function granted(
  { vault, policy }: Deps,
  account: Pick<Account, 'provider' | 'name' | 'serves'>,
  grant: Grant,
  { calledAt, provider }: { readonly calledAt: Date; readonly provider: Pick<Provider, 'renewal' | 'minimumAgeSeconds'> },
) {
  const { accessToken, refreshToken, expiresInSeconds, refreshExpiresInSeconds, reconnectInSeconds, neverExpires = false } = grant
  const { renewal, minimumAgeSeconds } = provider
  // Counted from the call, not from the answer, so that a token is never served too long.
  const after = (seconds: number | null): Date | null => (seconds === null ? null : new Date(calledAt.getTime() + seconds * 1000))
  const [expiresAt, refreshExpiresAt] = [after(expiresInSeconds), refreshToken === null ? null : after(refreshExpiresInSeconds)]
  const history = { issuedAt: calledAt, refused: false, failureCount: 0, retryAfterSeconds: null, minimumAgeSeconds }
  const end = renewalEnd(renewal, { expiresAt, refreshExpiresAt })
  const isRotating = renewal === 'rotating'
  const planned = nextRefreshAt({ ...history, expiresAt: end }, policy, calledAt)
  const soonest = isRotating ? calledAt.getTime() + (end === null ? UNKNOWN_LIFE_MS : SOONEST_MS) : 0
  return {
    accessToken: vault.seal(accessToken, accountContext(account, 'access_token')),
    refreshToken: refreshToken === null ? null : vault.seal(refreshToken, accountContext(account, 'refresh_token')),
    refreshExpiresAt,
    reconnectBy: after(reconnectInSeconds ?? null),
    neverExpires,
    ...NO_TROUBLE,
    state: 'active',
    issuedAt: calledAt,
    expiresAt,
    nextRefreshAt: isRotating && end === null ? new Date(soonest) : new Date(Math.max(planned.getTime(), soonest)),
    nextCheckAt: nextCheckAt(calledAt, policy.random),
  } satisfies AccountChange
}

export function refreshed(deps: Deps, { account, provider, profile, calledAt }: Attempt, grant: Grant): Outcome {
  const { refreshToken, refreshExpiresAt, reconnectBy, ...change } = granted(deps, account, grant, { calledAt, provider })
  const user = profile ?? grant.profile ?? null
  const changed = scopesAfter({ account, provider, calledAt }, grant)
  const readers = changed.pageUseEndedAt == null ? '' : ` Its permissions have changed.${readersOf({ ...account, ...changed }, provider)}`
  return {
    outcome: 'refreshed',
    change: {
      // An answer names the user without the name that people know.
      ...(user === null ? {} : identity({ ...user, username: user.username ?? account.username })),
      ...change,
      // Without a new refresh token the old one stays valid.
      ...(refreshToken === null ? {} : { refreshToken, refreshExpiresAt }),
      ...(grant.reconnectInSeconds === undefined ? {} : { reconnectBy }),
      ...changed,
      lastRefreshAt: calledAt,
    },
    event: {
      kind: 'refreshed',
      outcome: 'ok',
      detail: `The token was refreshed${change.expiresAt === null ? '' : `; it is good until ${change.expiresAt.toISOString()}`}.${readers}`,
    },
  }
}

/**
 * A rotating provider gave another user's tokens for those that are spent now. They are saved, for they may be needed to
 * revoke them, and no reader gets them.
 */
export function otherUser(deps: Deps, attempt: Attempt, grant: Grant): Outcome {
  const lastError = `${attempt.provider.title} handed out the tokens of another user, so web sites get none: connect the account again.`
  const { change } = refreshed(deps, { ...attempt, profile: null }, grant)
  const refused = { state: 'reconnect', refusedAt: attempt.calledAt, failureCount: 1, lastErrorCode: 'reconnect', lastError } as const
  return {
    outcome: 'failed',
    change: { ...change, providerUserId: null, trustedAt: null, ...refused, nextRefreshAt: null },
    event: { kind: 'reconnect_needed', outcome: 'failed', detail: lastError },
  }
}

/** Scopes that become known do not take the token from pages that have it; changed ones end the owner's word. */
function scopesAfter({ account, provider, calledAt }: Omit<Attempt, 'profile'>, { scopes }: Grant): AccountChange {
  if (scopes === null || sameOrNew(account.scopes, scopes) === account.scopes) return {}
  if (account.scopes === null) return isForPages(account, provider) ? {} : { scopes }
  return { scopes, pageUseConfirmedAt: null, pageUseEndedAt: provider.isPublicSafe(scopes) ? null : calledAt }
}

/** A sentence after others where only servers get the token, else nothing. */
export function readersOf(account: Pick<Account, 'scopes' | 'pageUseConfirmedAt'>, provider: Pick<Provider, 'isPublicSafe'>): string {
  if (isForPages(account, provider)) return ''
  const why = account.scopes === null ? 'does not tell what it can do' : 'can do more than read'
  return ` It ${why}, so only servers get it until you allow pages to have it.`
}

/** The present text where both name the same scopes in any order; else the new one. */
export function sameOrNew(present: string | null, next: string | null): string | null {
  const sorted = (scopes: string | null): string | undefined => scopes?.split(' ').sort().join(' ')
  return sorted(present) === sorted(next) ? present : next
}

/** Keeps the token and records the error and the next attempt. Rethrows an unexpected error. */
export function failure(deps: Deps, account: Account, error: unknown, now: Date): Outcome {
  if (!(error instanceof ProviderError) && !(error instanceof UnreadableError)) throw error
  const errorKind = error instanceof ProviderError ? error.kind : 'unreadable'
  const neverWorked = account.providerUserId === null && (errorKind === 'reconnect' || errorKind === 'misconfigured')
  const doubt = error instanceof ProviderError && !neverWorked ? error.doubt : null
  const isDoubted = doubt !== null && !isRepeated(account, doubt.answer, now)
  const [kind, message] = isDoubted ? (['transient', doubt.atFirst] as const) : [errorKind, error.message]
  const refusal = kind === 'reconnect'
  // A refusal counts only with a second one, at least ten minutes after the first in a row.
  const refusedAt = refusal ? (account.lastErrorCode === null ? now : (account.refusedAt ?? now)) : account.refusedAt
  const confirmed = refusal && refusedAt !== null && now.getTime() - refusedAt.getTime() >= CONFIRMATION_MS
  const failureCount = account.failureCount + 1
  const state = confirmed || neverWorked ? 'reconnect' : account.state
  // A transient error or a first refusal must not overwrite an error that needs a person.
  const isVague = kind === 'transient' || kind === 'throttled' || (refusal && state !== 'reconnect')
  const { lastErrorCode: cause } = account
  const keepsCause = isVague && (cause === 'misconfigured' || (cause === 'reconnect' && account.state === 'reconnect'))
  const keepsProbe = isVague && cause !== 'misconfigured' && account.state === 'reconnect'
  const wait = nextRefreshAt(
    {
      issuedAt: account.issuedAt,
      expiresAt: account.expiresAt,
      refused: confirmed || (neverWorked && refusal) || keepsProbe,
      failureCount,
      retryAfterSeconds: error instanceof ProviderError ? error.retryAfterSeconds : null,
      minimumAgeSeconds: 0,
    },
    deps.policy,
    now,
  )
  const earliest = now.getTime() + (refusal || isDoubted ? CONFIRMATION_MS + deps.policy.random() * 60_000 : 0)
  const isWithdrawn = state === 'reconnect' && error instanceof ProviderError && error.reason === 'withdrawn'
  const isServed = isServable({ ...account, state, failureCount }, now) && opens(deps.vault, account)
  return {
    outcome: 'failed',
    change: {
      providerUserId: account.providerUserId,
      username: account.username,
      providerAppUserId: account.providerAppUserId,
      state,
      failureCount,
      refusedAt,
      ...(doubt === null ? {} : { doubted: doubt.answer, doubtedAt: account.doubted === doubt.answer ? account.doubtedAt : now }),
      ...(keepsCause ? {} : { lastErrorCode: kind, lastError: message }),
      nextRefreshAt: new Date(Math.max(wait.getTime(), earliest)),
    },
    event: {
      kind: state === 'reconnect' && account.state !== 'reconnect' ? 'reconnect_needed' : 'refresh_failed',
      outcome: 'failed',
      detail: isServed ? `${message} The present token is still served.` : message,
      ...(isWithdrawn ? { endsFeed: true } : {}),
    },
  }
}

/** True where the provider gave the same answer first at least ten minutes ago. */
export function isRepeated({ doubted, doubtedAt }: Account, answer: string, now: Date): boolean {
  return doubted === answer && doubtedAt !== null && now.getTime() - doubtedAt.getTime() >= CONFIRMATION_MS
}

function opens(vault: Vault, account: Account): boolean {
  const { accessToken } = account
  return accessToken !== null && tryOpen(vault, accessToken, accountContext(account, 'access_token')) !== null
}

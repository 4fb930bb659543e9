import { type Account, isServable } from '../core/account.ts'
import type { AccountChange, AccountEvent } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Grant, Profile, Provider } from '../core/provider.ts'
import { accountContext, tryOpen, UnreadableError, type Vault } from '../core/vault.ts'
import { nextCheckAt, nextRefreshAt, type RefreshPolicy } from './next-refresh.ts'

/** What an attempt came to: what it changes in the row, and what stands in the history. */
export interface Ending {
  readonly change: AccountChange
  readonly event: Pick<AccountEvent, 'kind' | 'outcome' | 'detail'>
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

export const identity = ({ userId, username, appUserId }: Profile): AccountChange => ({
  providerUserId: userId,
  username,
  providerAppUserId: appUserId,
})

/** One question to a provider about an account. */
export interface Attempt {
  readonly account: Account
  readonly provider: Provider
  /** Whose token it is, where the provider has just said so. */
  readonly profile: Profile | null
  readonly askedAt: Date
}

export function verified(deps: Deps, { account, provider, profile, askedAt }: Attempt): Ending {
  const since = account.issuedAt ?? askedAt
  const oldEnough = since.getTime() + provider.minimumAgeSeconds * 1000 + deps.policy.random() * 60_000
  return {
    outcome: 'verified',
    change: {
      ...(profile === null ? {} : identity(profile)),
      ...NO_TROUBLE,
      state: 'active',
      // At the latest: when it was first seen. From then on its refusals count like those of any other token.
      issuedAt: since,
      nextRefreshAt: new Date(oldEnough),
      nextCheckAt: nextCheckAt(askedAt, deps.policy.random),
    },
    event: {
      kind: 'verified',
      outcome: 'ok',
      detail: 'The token works. It is too young to be refreshed, which is normal; the agent refreshes it when it is a day old.',
    },
  }
}

/** What a grant makes of the account's row, whatever was there before. */
export function granted(
  { vault, policy }: Deps,
  account: string,
  { accessToken, refreshToken, expiresInSeconds, refreshExpiresInSeconds }: Grant,
  { askedAt, minimumAgeSeconds }: { readonly askedAt: Date; readonly minimumAgeSeconds: number },
) {
  // Counted from the question, not the answer: better a second too short than served a second too long.
  const after = (seconds: number): Date => new Date(askedAt.getTime() + seconds * 1000)
  const expiresAt = after(expiresInSeconds)
  const history = { issuedAt: askedAt, expiresAt, refused: false, failureCount: 0, retryAfterSeconds: null, minimumAgeSeconds }
  return {
    accessToken: vault.seal(accessToken, accountContext(account, 'access_token')),
    refreshToken: refreshToken === null ? null : vault.seal(refreshToken, accountContext(account, 'refresh_token')),
    refreshExpiresAt: refreshToken === null || refreshExpiresInSeconds === null ? null : after(refreshExpiresInSeconds),
    ...NO_TROUBLE,
    state: 'active',
    issuedAt: askedAt,
    expiresAt,
    nextRefreshAt: nextRefreshAt(history, policy, askedAt),
    nextCheckAt: nextCheckAt(askedAt, policy.random),
  } satisfies AccountChange
}

export function refreshed(deps: Deps, { account, provider, profile, askedAt }: Attempt, grant: Grant): Ending {
  const { minimumAgeSeconds } = provider
  const { refreshToken, refreshExpiresAt, ...change } = granted(deps, account.name, grant, { askedAt, minimumAgeSeconds })
  return {
    outcome: 'refreshed',
    change: {
      ...(profile === null ? {} : identity(profile)),
      ...change,
      // A provider that does not rotate it leaves the one in hand in force.
      ...(refreshToken === null ? {} : { refreshToken, refreshExpiresAt }),
      lastRefreshAt: askedAt,
    },
    event: { kind: 'refreshed', outcome: 'ok', detail: `The token was refreshed; it is good until ${change.expiresAt.toISOString()}.` },
  }
}

/** Keeps the token, and says why it could not be renewed and when the next try is. Anything unforeseen is rethrown. */
export function failure(deps: Deps, account: Account, error: unknown, now: Date): Ending {
  if (!(error instanceof ProviderError) && !(error instanceof UnreadableError)) throw error
  const told = error instanceof ProviderError ? error.kind : 'unreadable'
  const neverWorked = account.providerUserId === null && (told === 'reconnect' || told === 'misconfigured')
  const doubt = error instanceof ProviderError && !neverWorked ? error.doubt : null
  const isDoubted = doubt !== null && !isGivenAgain(account, doubt.answer, now)
  const [kind, message] = isDoubted ? (['transient', doubt.atFirst] as const) : [told, error.message]
  const refusal = kind === 'reconnect'
  // A single refusal is not believed: only a second one, at least ten minutes after the first of this run.
  const refusedAt = refusal ? (account.lastErrorCode === null ? now : (account.refusedAt ?? now)) : account.refusedAt
  const confirmed = refusal && refusedAt !== null && now.getTime() - refusedAt.getTime() >= CONFIRMATION_MS
  const failureCount = account.failureCount + 1
  const state = confirmed || neverWorked ? 'reconnect' : account.state
  // What a person must mend is mended neither by a provider that has trouble nor by a refusal that is not believed yet.
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
    },
  }
}

/** True where the account's last doubted answer was this one, at least ten minutes ago. */
export function isGivenAgain({ doubted, doubtedAt }: Account, answer: string, now: Date): boolean {
  return doubted === answer && doubtedAt !== null && now.getTime() - doubtedAt.getTime() >= CONFIRMATION_MS
}

function opens(vault: Vault, { name, accessToken }: Account): boolean {
  return accessToken !== null && tryOpen(vault, accessToken, accountContext(name, 'access_token')) !== null
}

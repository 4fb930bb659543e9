import { type Account, isServable } from '../domain/account.ts'
import type { AccountChange, AccountEvent } from '../domain/account-store.ts'
import { ProviderError } from '../domain/errors.ts'
import { nextRefreshAt } from '../domain/next-refresh.ts'
import type { Grant, Profile, Provider } from '../domain/provider.ts'
import { accountPlace, UnreadableError } from '../domain/vault.ts'
import type { RefreshDeps } from './refresh-account.ts'

/** What an attempt came to: what it changes in the row, and what stands in the history. */
export interface Ending {
  readonly change: AccountChange
  readonly event: Pick<AccountEvent, 'kind' | 'outcome' | 'detail'>
  readonly outcome: 'refreshed' | 'verified' | 'failed'
}

type Deps = Pick<RefreshDeps, 'vault' | 'policy'>

const CONFIRMATION_MS = 10 * 60_000

export const identity = ({ userId, username, appUserId }: Profile): AccountChange => ({
  providerUserId: userId,
  username,
  providerAppUserId: appUserId,
})

export function verified(deps: Deps, account: Account, provider: Provider, profile: Profile | null, now: Date): Ending {
  const since = account.issuedAt ?? now
  const oldEnough = since.getTime() + provider.minimumAgeSeconds * 1000 + deps.policy.random() * 60_000
  return {
    outcome: 'verified',
    change: {
      ...(profile === null ? {} : identity(profile)),
      state: 'active',
      failureCount: 0,
      // At the latest: when it was first seen. From then on its refusals count like those of any other token.
      issuedAt: since,
      refusedAt: null,
      lastErrorCode: null,
      lastError: null,
      nextRefreshAt: new Date(oldEnough),
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
  minimumAgeSeconds: number,
  { accessToken, refreshToken, expiresInSeconds, refreshExpiresInSeconds }: Grant,
  askedAt: Date,
) {
  // Counted from the question, not the answer: better a second too short than served a second too long.
  const after = (seconds: number): Date => new Date(askedAt.getTime() + seconds * 1000)
  const expiresAt = after(expiresInSeconds)
  const history = { issuedAt: askedAt, expiresAt, refused: false, failureCount: 0, retryAfterSeconds: null, minimumAgeSeconds }
  return {
    accessToken: vault.seal(accessToken, accountPlace(account, 'access_token')),
    refreshToken: refreshToken === null ? null : vault.seal(refreshToken, accountPlace(account, 'refresh_token')),
    refreshExpiresAt: refreshToken === null || refreshExpiresInSeconds === null ? null : after(refreshExpiresInSeconds),
    state: 'active',
    issuedAt: askedAt,
    expiresAt,
    nextRefreshAt: nextRefreshAt(history, policy, askedAt),
    failureCount: 0,
    refusedAt: null,
    lastErrorCode: null,
    lastError: null,
  } satisfies AccountChange
}

export function refreshed(deps: Deps, account: Account, provider: Provider, profile: Profile | null, grant: Grant, askedAt: Date): Ending {
  const { refreshToken, refreshExpiresAt, ...change } = granted(deps, account.name, provider.minimumAgeSeconds, grant, askedAt)
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
  const kind = error instanceof ProviderError ? error.kind : 'unreadable'
  const refusal = kind === 'reconnect'
  const neverWorked = account.providerUserId === null && (refusal || kind === 'misconfigured')
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
  const earliest = now.getTime() + (refusal ? CONFIRMATION_MS + deps.policy.random() * 60_000 : 0)
  const serving = isServable({ ...account, state, failureCount }, now) ? ' The present token is still served.' : ''
  return {
    outcome: 'failed',
    change: {
      providerUserId: account.providerUserId,
      username: account.username,
      providerAppUserId: account.providerAppUserId,
      state,
      failureCount,
      refusedAt,
      ...(keepsCause ? {} : { lastErrorCode: kind, lastError: error.message }),
      nextRefreshAt: new Date(Math.max(wait.getTime(), earliest)),
    },
    event: {
      kind: state === 'reconnect' && account.state !== 'reconnect' ? 'reconnect_needed' : 'refresh_failed',
      outcome: 'failed',
      detail: error.message + serving,
    },
  }
}

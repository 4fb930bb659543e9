import { type Account, type Actor, isServable } from '../domain/account.ts'
import type { AccountChange, AccountEvent, AccountStore, Claim } from '../domain/account-store.ts'
import { ProviderError } from '../domain/errors.ts'
import type { Log } from '../domain/log.ts'
import { nextRefreshAt, type RefreshPolicy } from '../domain/next-refresh.ts'
import type { Grant, Profile, Provider } from '../domain/provider.ts'
import type { Secret } from '../domain/secret.ts'
import { accountPlace, UnreadableError, type Vault } from '../domain/vault.ts'

export interface RefreshDeps {
  readonly store: AccountStore
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly policy: RefreshPolicy
  /** Names this process in leases. */
  readonly owner: string
  /** Shows a new row to this process's readers and to the shared cache. */
  readonly publish: (account: Account) => Promise<void>
  readonly log: Log
}

export interface RefreshResult {
  readonly account: string
  /** `verified`: the token works but is too young to be refreshed. `lost`: another process took the account over. */
  readonly outcome: 'refreshed' | 'verified' | 'failed' | 'lost'
  readonly message: string
  readonly nextRefreshAt: Date | null
}

/** Three calls at most (whose is it, refresh, whose is the new one), and room to commit. */
export const leaseSeconds = (providers: Iterable<Provider>): number =>
  Math.ceil((3 * Math.max(0, ...[...providers].map((provider) => provider.timeoutMs))) / 1000) + 10

const CONFIRMATION_MS = 10 * 60_000
const SAVE_RETRY_MS = [100, 250, 500, 1000, 2000]

/** One attempt: the claim is committed already; call the provider, then commit, fenced by the attempt's id. */
export async function refreshAccount(deps: RefreshDeps, claim: Claim, actor: Actor): Promise<RefreshResult> {
  const { account } = claim
  const startedMs = performance.now()
  const now = (): Date => new Date(claim.claimedAt.getTime() + performance.now() - startedMs)
  if (claim.interruptedAt !== null) {
    deps.log.warn(
      { account: account.name, interruptedAt: claim.interruptedAt },
      'an earlier attempt never ended: its process died; trying again',
    )
  }

  const { change, event, outcome } = await attempt(deps, claim, now).catch((error: unknown) => failure(deps, account, error, now()))
  const owned = await commitPatiently(deps, claim, change, { ...event, actor, account: account.name })
  if (!owned) {
    deps.log.warn({ account: account.name, outcome: 'lost' }, 'another process took this account over; its result stands')
    return {
      account: account.name,
      outcome: 'lost',
      message: 'Another process took this account over; its result stands.',
      nextRefreshAt: null,
    }
  }
  const next = change.nextRefreshAt ?? null
  const line = { account: account.name, actor, outcome, nextRefreshAt: next, durationMs: Math.round(performance.now() - startedMs) }
  if (outcome === 'failed') deps.log.warn(line, event.detail ?? '')
  else deps.log.info(line, event.detail ?? '')
  return { account: account.name, outcome, message: event.detail ?? '', nextRefreshAt: next }
}

interface Ending {
  readonly change: AccountChange
  readonly event: Pick<AccountEvent, 'kind' | 'outcome' | 'detail'>
  readonly outcome: 'refreshed' | 'verified' | 'failed'
}

async function attempt(deps: RefreshDeps, claim: Claim, now: () => Date): Promise<Ending> {
  const { account } = claim
  const provider = deps.providers.get(account.provider)
  if (provider === undefined) {
    throw new ProviderError(
      'misconfigured',
      `This agent does not know the provider “${account.provider}” of this account; install the version that does.`,
    )
  }
  const held = {
    accessToken: openToken(deps.vault, account, 'access_token'),
    refreshToken: account.refreshToken === null ? null : openToken(deps.vault, account, 'refresh_token'),
  }
  // While its age is not known, a refusal to refresh may just mean “too young”: asking whose the token is tells.
  const profile = account.issuedAt === null ? await provider.profile(held.accessToken) : null
  const askedAt = now()
  let grant: Grant
  try {
    grant = await provider.refresh(held)
    await checkOwner(provider, profile?.userId ?? account.providerUserId, held.accessToken, grant.accessToken)
  } catch (error) {
    if (error instanceof ProviderError && (await isTooYoung(error, account, provider, held.accessToken, profile, askedAt))) {
      return verified(deps, account, provider, profile, askedAt)
    }
    if (profile === null) throw error
    return failure(deps, { ...account, state: 'active', ...identity(profile) }, error, now())
  }
  return refreshed(deps, account, provider, profile, grant, askedAt)
}

function openToken(vault: Vault, account: Account, column: 'access_token' | 'refresh_token'): Secret {
  const sealed = column === 'access_token' ? account.accessToken : account.refreshToken
  if (sealed === null) throw new ProviderError('reconnect', 'This account has no token yet; seed one, or connect the account.')
  return vault.open(sealed, accountPlace(account.name, column))
}

const identity = (profile: Profile): AccountChange => ({ providerUserId: profile.userId, username: profile.username })

/** A refresh must not hand this account's readers somebody else's token. */
async function checkOwner(provider: Provider, userId: string | null, before: Secret, after: Secret): Promise<void> {
  if (userId === null || before.reveal() === after.reveal()) return
  let owner: Profile
  try {
    owner = await provider.profile(after)
  } catch (error) {
    // Where nobody can say whose it is, the new token counts: it was given for the old one, which may be dead by now.
    if (error instanceof ProviderError && (error.kind === 'transient' || error.kind === 'throttled')) return
    throw new ProviderError('transient', 'The provider handed out a new token that it then refused; the old one stays.', { cause: error })
  }
  if (owner.userId !== userId) {
    throw new ProviderError('transient', 'The provider handed out the token of another user; the old one stays.')
  }
}

async function isTooYoung(
  error: ProviderError,
  account: Account,
  provider: Provider,
  token: Secret,
  profile: Profile | null,
  now: Date,
): Promise<boolean> {
  if (error.kind !== 'reconnect' && error.kind !== 'misconfigured') return false
  // Of unknown age: too young until it has been refused for as long as the provider may ask it to wait.
  const since = account.issuedAt ?? account.refusedAt
  if (since !== null && now.getTime() - since.getTime() >= provider.minimumAgeSeconds * 1000) return false
  if (profile !== null) return true
  return provider.profile(token).then(
    () => true,
    () => false,
  )
}

function verified(deps: RefreshDeps, account: Account, provider: Provider, profile: Profile | null, now: Date): Ending {
  const since = account.issuedAt ?? account.refusedAt ?? now
  const oldEnough = since.getTime() + provider.minimumAgeSeconds * 1000 + deps.policy.random() * 60_000
  return {
    outcome: 'verified',
    change: {
      ...(profile === null ? {} : identity(profile)),
      state: 'active',
      failureCount: 0,
      refusedAt: account.issuedAt === null ? since : null,
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

function refreshed(deps: RefreshDeps, account: Account, provider: Provider, profile: Profile | null, grant: Grant, askedAt: Date): Ending {
  // Counted from the question, not the answer: better a second too short than served a second too long.
  const after = (seconds: number): Date => new Date(askedAt.getTime() + seconds * 1000)
  const expiresAt = after(grant.expiresInSeconds)
  const history = {
    issuedAt: askedAt,
    expiresAt,
    refused: false,
    failureCount: 0,
    retryAfterSeconds: null,
    minimumAgeSeconds: provider.minimumAgeSeconds,
  }
  return {
    outcome: 'refreshed',
    change: {
      ...(profile === null ? {} : identity(profile)),
      accessToken: deps.vault.seal(grant.accessToken, accountPlace(account.name, 'access_token')),
      ...(grant.refreshToken === null
        ? {}
        : {
            refreshToken: deps.vault.seal(grant.refreshToken, accountPlace(account.name, 'refresh_token')),
            refreshExpiresAt: grant.refreshExpiresInSeconds === null ? null : after(grant.refreshExpiresInSeconds),
          }),
      state: 'active',
      issuedAt: askedAt,
      expiresAt,
      lastRefreshAt: askedAt,
      nextRefreshAt: nextRefreshAt(history, deps.policy, askedAt),
      failureCount: 0,
      refusedAt: null,
      lastErrorCode: null,
      lastError: null,
    },
    event: { kind: 'refreshed', outcome: 'ok', detail: `The token was refreshed; it is good until ${expiresAt.toISOString()}.` },
  }
}

/** Keeps the token, and says why it could not be renewed and when the next try is. Anything unforeseen is rethrown. */
function failure(deps: RefreshDeps, account: Account, error: unknown, now: Date): Ending {
  if (!(error instanceof ProviderError) && !(error instanceof UnreadableError)) throw error
  const kind = error instanceof ProviderError ? error.kind : 'unreadable'
  const refusal = kind === 'reconnect'
  const neverWorked = account.providerUserId === null && (refusal || kind === 'misconfigured')
  // A single refusal is not believed: only a second one, at least ten minutes after the first of this run.
  const refusedAt = refusal ? (account.lastErrorCode === null ? now : (account.refusedAt ?? now)) : account.refusedAt
  const confirmed = refusal && refusedAt !== null && now.getTime() - refusedAt.getTime() >= CONFIRMATION_MS
  const failureCount = account.failureCount + 1
  const wait = nextRefreshAt(
    {
      issuedAt: account.issuedAt,
      expiresAt: account.expiresAt,
      refused: confirmed || (neverWorked && refusal),
      failureCount,
      retryAfterSeconds: error instanceof ProviderError ? error.retryAfterSeconds : null,
      minimumAgeSeconds: 0,
    },
    deps.policy,
    now,
  )
  const earliest = now.getTime() + (refusal ? CONFIRMATION_MS + deps.policy.random() * 60_000 : 0)
  const state = confirmed || neverWorked ? 'reconnect' : account.state
  const serving = isServable({ ...account, state, failureCount }, now) ? ' The present token is still served.' : ''
  return {
    outcome: 'failed',
    change: {
      providerUserId: account.providerUserId,
      username: account.username,
      state,
      failureCount,
      refusedAt,
      lastErrorCode: kind,
      lastError: error.message,
      nextRefreshAt: new Date(Math.max(wait.getTime(), earliest)),
    },
    event: {
      kind: state === 'reconnect' && account.state !== 'reconnect' ? 'reconnect_needed' : 'refresh_failed',
      outcome: 'failed',
      detail: error.message + serving,
    },
  }
}

/** An answer that the store cannot take at the moment must not be lost: it may be the only copy of a rotated token. */
async function commitPatiently(deps: RefreshDeps, claim: Claim, change: AccountChange, event: AccountEvent): Promise<boolean> {
  const after: Account = { ...claim.account, ...change, version: claim.account.version + (change.accessToken === undefined ? 0 : 1) }
  for (let tries = 0; ; tries++) {
    try {
      const owned = await deps.store.commit(claim, change, event)
      if (owned) await deps.publish(after)
      return owned
    } catch (error) {
      deps.log.warn({ account: claim.account.name, err: error }, 'the result of a refresh could not be saved; trying again')
      await new Promise((resolve) => setTimeout(resolve, SAVE_RETRY_MS[Math.min(tries, SAVE_RETRY_MS.length - 1)]))
    }
  }
}

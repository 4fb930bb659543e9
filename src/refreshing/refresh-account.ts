import { type Account, type Actor, hasGrant } from '../core/account.ts'
import type { AccountStore, Claim } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Grant, HeldTokens, Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { accountContext, type Vault } from '../core/vault.ts'
import { checkLife, checkOwner, profileOfYoung } from './check-grant.ts'
import { refreshRotating, secondTryMs, withLostAnswer } from './lost-answer.ts'
import type { RefreshPolicy } from './next-refresh.ts'
import { failure, identity, type Outcome, otherUser, refreshed, verified } from './outcome.ts'
import type { RateLimit } from './rate-limit.ts'
import { type SaveDeps, saveOutcome } from './unsaved-grant.ts'

export interface AttemptDeps extends SaveDeps {
  readonly store: Pick<AccountStore, 'commit' | 'update'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly policy: RefreshPolicy
  /** See `Installation`. */
  readonly copiedAt: () => Promise<Date | null>
  readonly rateLimit: RateLimit
  /** Counts the attempts of this process by outcome. */
  readonly counters: RefreshCounters
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

export interface RefreshResult {
  readonly account: string
  /** `verified`: the token works but is too young to be refreshed. `lost`: another process took the account over. */
  readonly outcome: 'refreshed' | 'verified' | 'failed' | 'lost'
  readonly message: string
  readonly nextRefreshAt: Date | null
}

export type RefreshCounters = Record<RefreshResult['outcome'], number>

export const createRefreshCounters = (): RefreshCounters => ({ refreshed: 0, verified: 0, failed: 0, lost: 0 })

/** The origin of a refresh. */
export interface Origin {
  readonly actor: Actor
  /** A person asked for this one account. */
  readonly byName?: boolean
  /** The id of the HTTP request, for the log line of each attempt. */
  readonly reqId?: string
}

/** The begin of the error that a release leaves on an account of a later one's provider. */
export const UNKNOWN_PROVIDER = 'This agent does not know the provider'

/** The commit of a rotated grant needs no lease: it counts as long as the row has the token that was spent for it. */
const ROTATING_COMMIT_SECONDS = 5
const COMMIT_SECONDS = 10

/**
 * Enough for all calls and the commit: profile, refresh and the profile of the new or old token; for a rotating token, whose
 * calls may take longer, a refresh and its second try. A crash is noticed when the lease ends, and must be named in a minute.
 */
export const leaseSeconds = (providers: Iterable<Pick<Provider, 'renewal' | 'timeoutMs'>>): number =>
  Math.max(COMMIT_SECONDS, ...[...providers].map(leaseOf))

const leaseOf = ({ renewal, timeoutMs }: Pick<Provider, 'renewal' | 'timeoutMs'>): number =>
  renewal === 'rotating'
    ? Math.ceil((timeoutMs + secondTryMs(timeoutMs)) / 1000) + ROTATING_COMMIT_SECONDS
    : Math.ceil((3 * timeoutMs) / 1000) + COMMIT_SECONDS

/** One attempt: calls the provider without an open transaction, then commits, fenced by the attempt's id. */
export async function refreshAccount(deps: AttemptDeps, claim: Claim, { actor, reqId, byName = false }: Origin): Promise<RefreshResult> {
  const { account } = claim
  const { clockMs = () => performance.now() } = deps
  const startedMs = clockMs()
  const now = (): Date => new Date(claim.claimedAt.getTime() + clockMs() - startedMs)
  if (claim.interruptedAt !== null) {
    deps.log.warn(
      { account: account.name, interruptedAt: claim.interruptedAt },
      'an earlier attempt never ended: its process died; trying again',
    )
  }

  const { change, event, outcome } = await attemptRefresh(deps, claim, { now, byName }).catch((error: unknown) =>
    withLostAnswer(failed(deps, account, error, now()), claim, error, now()),
  )
  const owned = await saveOutcome(deps, claim, change, { ...event, actor, account: account.name })
  deps.counters[owned ? outcome : 'lost']++
  const durationMs = Math.round(clockMs() - startedMs)
  const about = { reqId, account: account.name, actor, attempt: claim.attemptId, durationMs }
  if (!owned) {
    deps.log.warn({ ...about, outcome: 'lost' }, 'another process took this account over; its result stands')
    return {
      account: account.name,
      outcome: 'lost',
      message: 'Another process took this account over; its result stands.',
      nextRefreshAt: null,
    }
  }
  const next = change.nextRefreshAt ?? null
  const line = { ...about, outcome, nextRefreshAt: next }
  if (outcome === 'failed') deps.log.warn(line, event.detail ?? '')
  else deps.log.info(line, event.detail ?? '')
  if (outcome === 'refreshed') await askName(deps, { ...account, ...change }, actor)
  return { account: account.name, outcome, message: event.detail ?? '', nextRefreshAt: next }
}

type NameDeps = Pick<AttemptDeps, 'vault' | 'providers'> & { readonly store: Pick<AccountStore, 'update'> }

/** A rotated grant is saved before the provider is asked for the name of its user; without an answer the id is enough. */
export async function askName(deps: NameDeps, account: Account, actor: Actor): Promise<void> {
  const provider = deps.providers.get(account.provider)
  if (provider?.renewal !== 'rotating' || account.username !== null || account.accessToken === null) return
  const accessToken = deps.vault.open(account.accessToken, accountContext(account, 'access_token'))
  const profile = await provider.profile(accessToken).catch(() => null)
  if (profile === null || profile.username === null || profile.userId !== account.providerUserId) return
  const detail = `The token is @${profile.username}’s.`
  const event = { account: account.name, kind: 'verified', actor, outcome: 'ok', detail } as const
  await deps.store.update(account.name, { username: profile.username }, event).catch(() => false)
}

async function attemptRefresh(deps: AttemptDeps, claim: Claim, { now, byName }: { now: () => Date; byName: boolean }): Promise<Outcome> {
  const { account } = claim
  const unsaved = await deps.unsaved.find(account.name, account.version, claim.interruptedAt !== null)
  if (unsaved !== null) {
    const detail = 'The token was refreshed earlier, while the store was down; it is saved now.'
    return { outcome: 'refreshed', change: unsaved, event: { kind: 'refreshed', outcome: 'ok', detail } }
  }
  const provider = deps.providers.get(account.provider)
  if (provider === undefined) {
    throw new ProviderError('misconfigured', `${UNKNOWN_PROVIDER} “${account.provider}” of this account; install the version that does.`)
  }
  if (!hasGrant(account)) throw new ProviderError('reconnect', 'This account has no token yet; seed one, or connect the account.')
  const held = { accessToken: opened(deps.vault, account, 'access_token'), refreshToken: opened(deps.vault, account, 'refresh_token') }
  const calledAt = now()
  if (provider.renewal === 'rotating') {
    const isHeld = isCopy(account, await deps.copiedAt())
    if (isHeld && !byName) throw heldCopy(provider)
    const attempt = { account, provider, profile: null, calledAt }
    const grant = await refreshRotating(provider, held, claim)
    const isOther = account.providerUserId !== null && grant.profile !== undefined && grant.profile.userId !== account.providerUserId
    const outcome = isOther ? otherUser(deps, attempt, grant) : refreshed(deps, attempt, grant)
    return isHeld ? { ...outcome, change: { ...outcome.change, connectedAt: calledAt } } : outcome
  }
  return refreshWithProfile(deps, account, { provider, held, now })
}

/** The original store of this copy may still spend the same refresh token, which works once. A token given since is the copy's own. */
const isCopy = ({ connectedAt }: Account, copiedAt: Date | null): boolean => copiedAt !== null && connectedAt <= copiedAt

function heldCopy({ title }: Provider): ProviderError {
  return new ProviderError(
    'misconfigured',
    `This store is a copy of another one, or its agent has a new address, and a token of ${title} works in one place only. Switch the other agent off, then refresh this account by hand; or connect it again, which gives it a token of its own.`,
  )
}

/** Asks whose the new token is before it counts, because the old one stays valid. */
async function refreshWithProfile(
  deps: AttemptDeps,
  account: Account,
  { provider, held, now }: { provider: Provider; held: HeldTokens; now: () => Date },
): Promise<Outcome> {
  const { accessToken } = held
  // While the token's age is unknown, a refused refresh may only mean “too young”. The profile shows whether it works.
  const profile = account.issuedAt === null && accessToken !== null ? await provider.profile(accessToken) : null
  if (profile !== null && account.providerUserId !== null && profile.userId !== account.providerUserId)
    throw new ProviderError('reconnect', `${provider.title} says that the token is another user’s: connect the account again.`)
  const calledAt = now()
  const attempt = { account, provider, profile, calledAt }
  let grant: Grant
  try {
    grant = await provider.refresh({ ...held, userId: account.providerUserId, account: account.name })
    await checkOwner(provider, profile?.userId ?? account.providerUserId, accessToken, grant)
    if (accessToken !== null) await checkLife(provider, account, { before: accessToken, grant, calledAt })
  } catch (error) {
    if (error instanceof ProviderError && accessToken !== null) {
      const alive = await profileOfYoung(error, attempt, accessToken)
      if (alive !== null) return verified(deps, { ...attempt, profile: alive })
    }
    if (profile === null) throw error
    return failed(deps, { ...account, state: 'active', ...identity(profile) }, error, now())
  }
  return refreshed(deps, attempt, grant)
}

function failed(deps: AttemptDeps, account: Account, error: unknown, now: Date): Outcome {
  // The limit holds for all accounts of the provider.
  if (error instanceof ProviderError && error.concernsAll) deps.rateLimit.pause(account.provider, error.retryAfterSeconds)
  const outcome = failure(deps, account, error, now)
  // A refresh token that never worked here may have been spent elsewhere, and another try could end what it was spent for.
  const isSpent =
    account.providerUserId === null &&
    outcome.change.lastErrorCode === 'reconnect' &&
    deps.providers.get(account.provider)?.renewal === 'rotating'
  return isSpent ? { ...outcome, change: { ...outcome.change, nextRefreshAt: null } } : outcome
}

function opened(vault: Vault, account: Account, column: 'access_token' | 'refresh_token'): Secret | null {
  const sealed = column === 'access_token' ? account.accessToken : account.refreshToken
  return sealed === null ? null : vault.open(sealed, accountContext(account, column))
}

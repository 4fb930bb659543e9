import type { Account, Actor } from '../core/account.ts'
import type { Claim } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Grant, Profile, Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { accountContext, type Vault } from '../core/vault.ts'
import type { RefreshPolicy } from './next-refresh.ts'
import { type Attempt, type Ending, failure, identity, isGivenAgain, refreshed, verified } from './outcome.ts'
import type { RateLimit } from './rate-limit.ts'
import { type SaveDeps, saveEnding } from './unsaved-grant.ts'

export interface AttemptDeps extends SaveDeps {
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly policy: RefreshPolicy
  readonly rateLimit: RateLimit
  /** How the attempts of this process ended, counted. */
  readonly counters: RefreshCounters
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

/** Who asked for it. */
export interface Asked {
  readonly actor: Actor
  /** The request's id, where it was one: stands in the log line of each attempt that it led to. */
  readonly reqId?: string
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** Three calls at most (whose is it, refresh, and whose is the new one or does the old one still work), and room to commit. */
export const leaseSeconds = (providers: Iterable<Provider>): number =>
  Math.ceil((3 * Math.max(0, ...[...providers].map((provider) => provider.timeoutMs))) / 1000) + 10

/** One attempt: the claim is committed already; call the provider, then commit, fenced by the attempt's id. */
export async function refreshAccount(deps: AttemptDeps, claim: Claim, { actor, reqId }: Asked): Promise<RefreshResult> {
  const { account } = claim
  const startedMs = performance.now()
  const now = (): Date => new Date(claim.claimedAt.getTime() + performance.now() - startedMs)
  if (claim.interruptedAt !== null) {
    deps.log.warn(
      { account: account.name, interruptedAt: claim.interruptedAt },
      'an earlier attempt never ended: its process died; trying again',
    )
  }

  const { change, event, outcome } = await ask(deps, claim, now).catch((error: unknown) => failed(deps, account, error, now()))
  const owned = await saveEnding(deps, claim, change, { ...event, actor, account: account.name })
  deps.counters[owned ? outcome : 'lost']++
  const durationMs = Math.round(performance.now() - startedMs)
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
  return { account: account.name, outcome, message: event.detail ?? '', nextRefreshAt: next }
}

async function ask(deps: AttemptDeps, claim: Claim, now: () => Date): Promise<Ending> {
  const { account } = claim
  const kept = await deps.unsaved.find(account.name, account.version, claim.interruptedAt !== null)
  if (kept !== null) {
    const detail = 'The token was refreshed earlier, while the store was down; it is saved now.'
    return { outcome: 'refreshed', change: kept, event: { kind: 'refreshed', outcome: 'ok', detail } }
  }
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
  const attempt = { account, provider, profile, askedAt }
  let grant: Grant
  try {
    grant = await provider.refresh(held)
    await checkOwner(provider, profile?.userId ?? account.providerUserId, held.accessToken, grant.accessToken)
    await checkLife(provider, account, { before: held.accessToken, grant, askedAt })
  } catch (error) {
    if (error instanceof ProviderError) {
      const alive = await profileOfYoung(error, attempt, held.accessToken)
      if (alive !== null) return verified(deps, { ...attempt, profile: alive })
    }
    if (profile === null) throw error
    return failed(deps, { ...account, state: 'active', ...identity(profile) }, error, now())
  }
  return refreshed(deps, attempt, grant)
}

function failed(deps: AttemptDeps, account: Account, error: unknown, now: Date): Ending {
  // Every other account would be told the same.
  if (error instanceof ProviderError && error.concernsAll) deps.rateLimit.pause(account.provider, error.retryAfterSeconds)
  return failure(deps, account, error, now)
}

function openToken(vault: Vault, account: Account, column: 'access_token' | 'refresh_token'): Secret {
  const sealed = column === 'access_token' ? account.accessToken : account.refreshToken
  if (sealed === null) throw new ProviderError('reconnect', 'This account has no token yet; seed one, or connect the account.')
  return vault.open(sealed, accountContext(account.name, column))
}

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

/**
 * A token that works for weeks is not given away for one of seconds, unless the provider says so twice, or the old one
 * has ended with it.
 */
async function checkLife(
  provider: Provider,
  account: Account,
  { before, grant, askedAt }: { before: Secret; grant: Grant; askedAt: Date },
): Promise<void> {
  const toldEnd = toldEndOf(account, provider)
  const { expiresInSeconds, refreshToken } = grant
  const end = askedAt.getTime() + expiresInSeconds * 1000
  // Where refresh tokens rotate, the old one is known to die: its successor is always saved.
  if (toldEnd === null || refreshToken !== null || end >= toldEnd.getTime() - DAY_MS) return
  const earlier = /^life of (\d+) s$/.exec(account.doubted ?? '')?.[1]
  // The length or the end: a provider may count down to a fixed moment.
  const isSame =
    earlier !== undefined &&
    (Math.abs(Number(earlier) - expiresInSeconds) <= Number(earlier) / 10 ||
      Math.abs((account.doubtedAt?.getTime() ?? 0) + Number(earlier) * 1000 - end) <= MINUTE_MS)
  const answer = isSame ? (account.doubted ?? '') : `life of ${expiresInSeconds} s`
  if (isGivenAgain(account, answer, askedAt)) return
  if (before.reveal() !== grant.accessToken.reveal() && (await isDead(provider, before))) return
  const sentence = 'The provider handed out a token that ends sooner than the one in hand; the old one stays, and the agent asks again.'
  throw new ProviderError('transient', sentence, { doubt: { answer, atFirst: sentence } })
}

/** When the token in hand ends by the provider's own word; null = it has not said, or said what cannot be. */
function toldEndOf({ issuedAt, expiresAt, lastRefreshAt, connectedAt }: Account, { maximumLifeSeconds }: Provider): Date | null {
  if (issuedAt === null || expiresAt === null) return null
  // An imported token has an end that somebody wrote down, and a beginning that is neither a refresh nor a grant.
  const isTold = [lastRefreshAt, connectedAt].some((at) => at?.getTime() === issuedAt.getTime())
  return isTold ? new Date(Math.min(expiresAt.getTime(), issuedAt.getTime() + maximumLifeSeconds * 1000)) : null
}

async function isDead(provider: Provider, token: Secret): Promise<boolean> {
  return provider.profile(token).then(
    () => false,
    (error: unknown) => error instanceof ProviderError && error.kind === 'reconnect',
  )
}

/** Whose the token is that is only too young to be refreshed; null = that is not why it was refused. */
async function profileOfYoung(
  error: ProviderError,
  { account: { issuedAt }, provider, askedAt }: Attempt,
  token: Secret,
): Promise<Profile | null> {
  if (error.kind !== 'reconnect' && error.kind !== 'misconfigured') return null
  if (issuedAt !== null && askedAt.getTime() - issuedAt.getTime() >= provider.minimumAgeSeconds * 1000) return null
  // Asked after the refusal, not before: it may have died in between.
  return provider.profile(token).catch(() => null)
}

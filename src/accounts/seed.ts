import { setTimeout as sleep } from 'node:timers/promises'
import { acceptToken, type SecretNames } from '../core/accept-token.ts'
import { type Account, type Actor, hasGrant, isServable } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore, Claim } from '../core/account-store.ts'
import { AppError, ProviderError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { accountContext, tryOpen } from '../core/vault.ts'
import { granted, identity, NO_TROUBLE, readersOf } from '../refreshing/outcome.ts'
import { leaseSeconds, type RefreshResult } from '../refreshing/refresh-account.ts'
import { type RefreshDeps, refreshDue } from '../refreshing/refresh-due.ts'

export interface SeedDeps extends RefreshDeps {
  readonly store: AccountStore
  /** The agent's own secrets, which are refused as tokens. */
  readonly secrets: SecretNames
}

export interface Seed {
  readonly account: string
  readonly provider: string
  readonly token: Secret
  readonly actor: Actor
  /** The variable that holds the token, if the configuration has it. */
  readonly variable?: string
  /**
   * Fingerprint of the account’s configured token, so that the next start does not seed it over a later one. Null if it is
   * not known, as in a shell without the agent's variables: the stored fingerprint stays.
   */
  readonly fingerprint: string | null
  /** Only a token of this user may replace the present one. */
  readonly onlyUser?: string | null
  /** The expiry that came with the token; valid until the provider names one. */
  readonly expiresAt?: Date | null
}

export type SeedResult =
  /** The token is stored; `result` is the provider's answer, if this process asked. */
  | { readonly outcome: 'taken'; readonly result: RefreshResult | null; readonly message: string }
  /** The provider did not answer, or another process has claimed the account; the working token stays. */
  | { readonly outcome: 'postponed'; readonly message: string }
  /** The provider refused the new token; the working token stays. */
  | { readonly outcome: 'refused'; readonly message: string }

const CLAIM_RETRY_MS = 250

/**
 * Stores a long-lived token. Before it replaces a working token, the provider must confirm it. It is refreshed at once to
 * learn its expiry, which a pasted token does not tell.
 */
export async function seedAccount(deps: SeedDeps, given: Seed): Promise<SeedResult> {
  const provider = providerOf(deps, given.provider)
  const seed = { ...given, token: acceptToken(deps.secrets, provider, given.token) }

  const existing = await deps.store.find(seed.account)
  if (existing !== null && existing.provider !== seed.provider) {
    throw new AppError(
      'invalid',
      `The account “${seed.account}” belongs to ${existing.provider}, not to ${seed.provider}. Give the new one another name.`,
    )
  }
  const now = deps.store.now()
  const fresh = freshGrant(deps, seed, provider, existing)
  const readers = readersOf({ scopes: null, pageUseConfirmedAt: null }, provider)
  const event = (kind: 'seeded' | 'seed_refused' | 'replaced', detail: string): AccountEvent => ({
    account: seed.account,
    actor: seed.actor,
    kind,
    outcome: kind === 'seed_refused' ? 'failed' : 'ok',
    detail,
  })

  if (existing === null) {
    const account = { ...fresh, name: seed.account, provider: seed.provider, state: 'unverified' as const }
    // If another instance was faster, it is refreshing the same seed now.
    if (!(await deps.store.insert(account, event('seeded', `${sourceOf(seed)} was stored.${readers}`)))) return taken(null)
  } else {
    // Another instance, started with the same token, has just stored it. A second write would void its refresh.
    if (seed.actor === 'boot' && existing.seedFingerprint === seed.fingerprint) return taken(null)
    if (isStored(deps, existing, { ...seed, provider })) {
      // The same token again, as by a double click. Storing it again would void a refresh under way.
      const trusted = isTrusted(seed, existing) ? { trustedAt: now } : {}
      await deps.store.update(
        seed.account,
        { ...trusted, ...fingerprintChange(seed) },
        event('seeded', 'The token that is stored already was given once more.'),
      )
    } else {
      const left = await replaceToken(deps, { seed, existing, provider, fresh }, event)
      if (left !== null) return left
    }
    if (existing.pausedAt !== null)
      return taken(null, `The account is paused: the token is used when you switch it on again.${await readersAfter(deps, seed.account)}`)
  }
  const { results } = await refreshDue(deps, { actor: seed.actor, account: seed.account, force: true })
  const [result = null] = results
  return taken(result, `${taken(result).message}${await readersAfter(deps, seed.account)}`)
}

/** The columns of an account whose new token the provider has not confirmed yet. */
export function freshGrant(
  deps: Pick<SeedDeps, 'store' | 'vault'>,
  seed: Omit<Seed, 'provider' | 'onlyUser'>,
  provider: Provider,
  existing: Account | null,
): AccountChange {
  const now = deps.store.now()
  return {
    accessToken: null,
    refreshToken: null,
    ...sealedToken(deps, seed, provider),
    refreshExpiresAt: null,
    reconnectBy: null,
    neverExpires: false,
    providerUserId: null,
    providerAppUserId: null,
    username: null,
    // A pasted token does not tell its scopes.
    scopes: null,
    pageUseConfirmedAt: null,
    pageUseEndedAt: existing === null || provider.isPublicSafe(null) ? null : now,
    state: 'unverified',
    issuedAt: null,
    expiresAt: cappedExpiry(seed, provider, now),
    nextRefreshAt: now,
    nextCheckAt: null,
    ...NO_TROUBLE,
    connectedAt: now,
    trustedAt: isTrusted(seed, existing) ? now : null,
    ...fingerprintChange(seed),
  }
}

/** As `readersOf` after a token was stored: its first refresh may have named the scopes. */
export async function readersAfter({ store, providers }: SeedDeps, account: string): Promise<string> {
  const found = await store.find(account)
  const provider = providers.get(found?.provider ?? '')
  return found === null || provider === undefined ? '' : readersOf(found, provider)
}

/** Names the token by its source. */
function sourceOf({ actor, variable = 'the configuration' }: Pick<Seed, 'actor' | 'variable'>): string {
  if (actor === 'owner') return 'The token that was pasted'
  return actor === 'cli' ? 'The token given on the command line' : `The token of ${variable}`
}

function taken(result: RefreshResult | null, message = result?.message ?? 'Another process is checking it.'): SeedResult {
  return { outcome: 'taken', result, message }
}

const fingerprintChange = ({ fingerprint }: Pick<Seed, 'fingerprint'>): AccountChange =>
  fingerprint === null ? {} : { seedFingerprint: fingerprint }

/**
 * Without another token to fall back on, pages get a trusted token before the provider has confirmed it. A paste in the
 * browser is not trusted: a browser may fill a field by itself.
 */
function isTrusted({ actor }: Pick<Seed, 'actor'>, existing: Account | null): boolean {
  if (actor !== 'boot' && actor !== 'cli') return false
  return existing === null || existing.providerUserId === null || isGivenUp(existing)
}

/** The provider has refused the token for good: any other token is better. */
const isGivenUp = ({ state }: Account): boolean => state === 'reconnect'

/** A given expiry, capped at the provider's documented maximum. */
function cappedExpiry({ expiresAt = null }: Pick<Seed, 'expiresAt'>, { maximumLifeSeconds }: Provider, now: Date): Date | null {
  return expiresAt === null ? null : new Date(Math.min(expiresAt.getTime(), now.getTime() + maximumLifeSeconds * 1000))
}

const columnOf = ({ seed }: Provider) => (seed.kind === 'access' ? 'access_token' : 'refresh_token')

function sealedToken(
  { vault }: Pick<SeedDeps, 'vault'>,
  { account: name, token }: Pick<Seed, 'account' | 'token'>,
  provider: Provider,
): AccountChange {
  const sealed = vault.seal(token, accountContext({ provider: provider.name, name }, columnOf(provider)))
  return provider.seed.kind === 'access' ? { accessToken: sealed } : { refreshToken: sealed }
}

function isStored({ vault }: SeedDeps, account: Account, { token, provider }: { token: Secret; provider: Provider }): boolean {
  const held = provider.seed.kind === 'access' ? account.accessToken : account.refreshToken
  return held !== null && tryOpen(vault, held, accountContext(account, columnOf(provider)))?.reveal() === token.reveal()
}

interface Replacement {
  readonly seed: Seed
  readonly existing: Account
  readonly provider: Provider
  readonly fresh: AccountChange
}

/**
 * Replaces the present token; null = done. A working token stays unless the provider confirms the new one. Runs under a
 * claim, as a refresh does, so that no other process calls the provider for this account.
 */
async function replaceToken(
  deps: SeedDeps,
  { seed, existing, provider, fresh }: Replacement,
  event: (kind: 'seed_refused' | 'replaced', detail: string) => AccountEvent,
): Promise<SeedResult | null> {
  const done = event('replaced', `${sourceOf(seed)} took over.${readersOf({ scopes: null, pageUseConfirmedAt: null }, provider)}`)
  // No process refreshes a paused or empty account, so no claim is needed.
  const isIdle = existing.pausedAt !== null || !hasGrant(existing)
  const claim = isIdle ? null : await claimInTime(deps, seed.account, provider)
  if (!isIdle && claim === null) {
    return { outcome: 'postponed', message: 'Another process is refreshing this account at the moment; try again in a minute.' }
  }
  const before = claim?.account ?? existing
  const release = async (): Promise<void> => {
    if (claim !== null) await deps.store.release(claim, existing.nextRefreshAt)
  }
  let confirmed: AccountChange = {}
  // A paused account is checked too: its token must work when it is switched on again.
  if (works(before, deps.store.now())) {
    try {
      confirmed = await confirm(deps, { seed, provider, before })
    } catch (error) {
      if (!(error instanceof ProviderError)) throw error
      const silent = error.kind === 'transient' || error.kind === 'throttled'
      // If the provider has confirmed neither token, the newer one is the better guess.
      const givesWay = isGivenUp(before) || (before.providerUserId === null && fresh.trustedAt !== null)
      if (silent && !givesWay) {
        await release()
        return { outcome: 'postponed', message: error.message }
      }
      if (!silent) {
        await deps.store.record(event('seed_refused', `${sourceOf(seed)} was refused, and the working one stays. ${error.message}`))
        await release()
        return { outcome: 'refused', message: error.message }
      }
    }
  }
  const change = { ...fresh, ...confirmed }
  const isDone =
    claim === null ? await deps.store.replace(seed.account, existing.version, change, done) : await deps.store.commit(claim, change, done)
  if (isDone) return null
  throw new AppError('conflict', `The account “${seed.account}” was changed by another request at the same moment; try again.`)
}

function works(account: Account, now: Date): boolean {
  const canBeRefreshed = account.refreshToken !== null && account.providerUserId !== null && !isGivenUp(account)
  return canBeRefreshed || isServable({ ...account, pausedAt: null }, now)
}

/** What the provider says of the new token. A refresh token is spent for that, so its grant is what is saved. */
async function confirm(
  deps: SeedDeps,
  { seed, provider, before }: { seed: Seed; provider: Provider; before: Account },
): Promise<AccountChange> {
  if (provider.seed.kind === 'access') return { ...identity(await provider.profile(seed.token)), state: 'active' }
  // A token that works once is sent once, also where this process dies meanwhile.
  const event: AccountEvent = {
    account: before.name,
    kind: 'seeded',
    actor: seed.actor,
    outcome: 'ok',
    detail: `${sourceOf(seed)} is tried.`,
  }
  if (seed.fingerprint !== null) await deps.store.update(before.name, fingerprintChange(seed), event)
  const calledAt = deps.store.now()
  const held = { accessToken: null, refreshToken: seed.token, userId: before.providerUserId, account: before.name }
  const grant = await provider.refresh(held)
  const { profile, scopes } = grant
  if (seed.onlyUser != null && profile !== undefined && profile.userId !== seed.onlyUser)
    throw new ProviderError('reconnect', 'The token is another user’s. If you want that, tick the box and give another token.')
  const change = granted(deps, before, grant, { calledAt, provider })
  return { ...change, ...(profile === undefined ? {} : identity(profile)), scopes, lastRefreshAt: calledAt }
}

/** Waits at most as long as one call to the provider. Null = another process holds the lease, or died with it. */
async function claimInTime({ store, leaseOwner }: SeedDeps, account: string, provider: Provider): Promise<Claim | null> {
  const request = { leaseOwner, leaseSeconds: leaseSeconds([provider]), limit: 1, account, force: true }
  for (const until = performance.now() + provider.timeoutMs; ; ) {
    const [claim] = await store.claimDue(request)
    if (claim !== undefined || performance.now() > until) return claim ?? null
    await sleep(CLAIM_RETRY_MS)
  }
}

function providerOf({ providers }: SeedDeps, name: string): Provider {
  const provider = providers.get(name)
  if (provider === undefined) throw new AppError('invalid', `This agent does not know the provider “${name}”.`)
  return provider
}

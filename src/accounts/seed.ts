import { acceptToken } from '../core/accept-token.ts'
import type { Account } from '../core/account.ts'
import type { AccountChange, AccountEvent } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { accountContext, tryOpen } from '../core/vault.ts'
import { NO_GRANT, NO_TROUBLE, readersOf } from '../refreshing/outcome.ts'
import type { RefreshResult } from '../refreshing/refresh-account.ts'
import { refreshDue } from '../refreshing/refresh-due.ts'
import { fingerprintChange, isGivenUp, type Seed, type SeedDeps, type SeedResult, sourceOf } from './given-token.ts'
import { replaceToken } from './replace-token.ts'

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
    // A pasted token tells neither its user nor its scopes.
    ...NO_GRANT,
    ...NO_TROUBLE,
    ...sealedToken(deps, { ...seed, serves: existing?.serves ?? null }, provider),
    pageUseEndedAt: existing === null || provider.isPublicSafe(null) ? null : now,
    state: 'unverified',
    expiresAt: cappedExpiry(seed, provider, now),
    nextRefreshAt: now,
    nextCheckAt: null,
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

function taken(result: RefreshResult | null, message = result?.message ?? 'Another process is checking it.'): SeedResult {
  return { outcome: 'taken', result, message }
}

/**
 * Without another token to fall back on, pages get a trusted token before the provider has confirmed it. A paste in the
 * browser is not trusted: a browser may fill a field by itself.
 */
function isTrusted({ actor }: Pick<Seed, 'actor'>, existing: Account | null): boolean {
  if (actor !== 'boot' && actor !== 'cli') return false
  return existing === null || existing.providerUserId === null || isGivenUp(existing)
}

/** A given expiry, capped at the provider's documented maximum. */
function cappedExpiry({ expiresAt = null }: Pick<Seed, 'expiresAt'>, { maximumLifeSeconds }: Provider, now: Date): Date | null {
  return expiresAt === null ? null : new Date(Math.min(expiresAt.getTime(), now.getTime() + maximumLifeSeconds * 1000))
}

const columnOf = ({ seed }: Provider) => (seed.kind === 'access' ? 'access_token' : 'refresh_token')

function sealedToken(
  { vault }: Pick<SeedDeps, 'vault'>,
  { account: name, token, serves }: Pick<Seed, 'account' | 'token'> & Pick<Account, 'serves'>,
  provider: Provider,
): AccountChange {
  const sealed = vault.seal(token, accountContext({ provider: provider.name, name, serves }, columnOf(provider)))
  return provider.seed.kind === 'access' ? { accessToken: sealed } : { refreshToken: sealed }
}

function isStored({ vault }: SeedDeps, account: Account, { token, provider }: { token: Secret; provider: Provider }): boolean {
  const held = provider.seed.kind === 'access' ? account.accessToken : account.refreshToken
  return held !== null && tryOpen(vault, held, accountContext(account, columnOf(provider)))?.reveal() === token.reveal()
}

function providerOf({ providers }: SeedDeps, name: string): Provider {
  const provider = providers.get(name)
  if (provider === undefined) throw new AppError('invalid', `This agent does not know the provider “${name}”.`)
  return provider
}

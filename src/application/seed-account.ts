import { type Actor, DEFAULT_ACCOUNT, isServable } from '../domain/account.ts'
import type { AccountChange, AccountEvent } from '../domain/account-store.ts'
import { AppError, ProviderError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import { tokenProblem } from '../domain/token.ts'
import { accountPlace } from '../domain/vault.ts'
import { identity } from './attempt-ending.ts'
import type { RefreshDeps, RefreshResult } from './refresh-account.ts'
import { refreshDue } from './refresh-due.ts'

export interface Seed {
  readonly account: string
  readonly provider: string
  readonly token: Secret
  readonly actor: Actor
  /**
   * Fingerprint of the `STARTING_TOKEN` in force, so that it does not push a later token out at the next start; null
   * where it is not known, as in a shell without the agent's variables: the one that was taken last stays taken.
   */
  readonly fingerprint: string | null
  /** Where somebody has written it down; it holds until the provider tells the token's life. */
  readonly expiresAt?: Date | null
}

export type SeedResult =
  /** The token stands in the store; `result` says what the provider made of it. */
  | { readonly outcome: 'taken'; readonly result: RefreshResult | null }
  /** The provider did not answer, and the working token was left alone. */
  | { readonly outcome: 'postponed'; readonly message: string }
  /** The provider refused it, and the working token was left alone. */
  | { readonly outcome: 'refused'; readonly message: string }

/**
 * Takes a long-lived token over. It is checked with the provider before it replaces one that works, and refreshed at
 * once to learn its life, which nobody tells beforehand.
 */
export async function seedAccount(deps: RefreshDeps, seed: Seed): Promise<SeedResult> {
  const problem = tokenProblem(seed.token.reveal())
  if (problem !== null) throw new AppError('invalid', `The token ${problem}.`)
  const provider = deps.providers.get(seed.provider)
  if (provider === undefined) throw new AppError('invalid', `This agent does not know the provider “${seed.provider}”.`)

  const fresh: AccountChange = {
    accessToken: deps.vault.seal(seed.token, accountPlace(seed.account, 'access_token')),
    refreshToken: null,
    refreshExpiresAt: null,
    providerUserId: null,
    providerAppUserId: null,
    username: null,
    state: 'unverified',
    issuedAt: null,
    expiresAt: seed.expiresAt ?? null,
    nextRefreshAt: deps.store.now(),
    failureCount: 0,
    refusedAt: null,
    lastErrorCode: null,
    lastError: null,
    ...(seed.fingerprint === null ? {} : { seedFingerprint: seed.fingerprint }),
  }
  const event = (kind: 'seeded' | 'seed_refused' | 'replaced', detail: string): AccountEvent => ({
    account: seed.account,
    actor: seed.actor,
    kind,
    outcome: kind === 'seed_refused' ? 'failed' : 'ok',
    detail,
  })

  const existing = await deps.store.find(seed.account)
  // Another instance, started with the same new token, took it over since this one looked: to take it again would throw
  // away what the provider is answering that one.
  if (seed.actor === 'boot' && existing !== null && existing.seedFingerprint === seed.fingerprint) return { outcome: 'taken', result: null }
  if (existing === null) {
    const account = { ...fresh, name: seed.account, provider: seed.provider, state: 'unverified' as const }
    // Where another instance was faster, it is refreshing the same seed at this moment.
    if (!(await deps.store.insert(account, event('seeded', 'A starting token was stored.')))) return { outcome: 'taken', result: null }
  } else {
    let profile: AccountChange = {}
    if (isServable(existing, deps.store.now())) {
      try {
        profile = { ...identity(await provider.profile(seed.token)), state: 'active' }
      } catch (error) {
        if (!(error instanceof ProviderError)) throw error
        const silent = error.kind === 'transient' || error.kind === 'throttled'
        // Of two tokens that nobody has confirmed, the newer one is the better guess.
        if (silent && existing.providerUserId !== null) return { outcome: 'postponed', message: error.message }
        if (!silent) {
          await deps.store.record(event('seed_refused', `The new starting token was refused, and the working one stays. ${error.message}`))
          return { outcome: 'refused', message: error.message }
        }
      }
    }
    const replaced = await deps.store.replace(
      seed.account,
      existing.version,
      { ...fresh, ...profile },
      event('replaced', 'Another starting token took over.'),
    )
    if (!replaced)
      throw new AppError('conflict', `The account “${seed.account}” was changed by somebody else at the same moment; try again.`)
  }
  const { results } = await refreshDue(deps, { actor: seed.actor, account: seed.account, force: true })
  return { outcome: 'taken', result: results[0] ?? null }
}

/** Seeds the default account from `STARTING_TOKEN`, where that is another one than the last time; null = nothing to do. */
export async function takeStartingToken(deps: RefreshDeps, token: Secret, fingerprint: string): Promise<SeedResult | null> {
  if ((await deps.store.seedFingerprint(DEFAULT_ACCOUNT)) === fingerprint) return null
  return seedAccount(deps, { account: DEFAULT_ACCOUNT, provider: 'instagram', token, actor: 'boot', fingerprint })
}

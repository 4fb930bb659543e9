import type { Account, Actor } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { Grant, Profile, Provider } from '../core/provider.ts'
import type { Vault } from '../core/vault.ts'
import type { RefreshPolicy } from '../refreshing/next-refresh.ts'
import { granted, identity } from '../refreshing/outcome.ts'

export interface GrantDeps {
  readonly store: Pick<AccountStore, 'insert' | 'replace'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly policy: RefreshPolicy
  readonly publish: (name: string) => Promise<unknown>
  /** By account, of the configured tokens in force: so none of them pushes a later token out at the next start. */
  readonly seedFingerprints: ReadonlyMap<string, string>
}

export interface Taking {
  readonly account: string
  readonly provider: string
  readonly grant: Grant & { readonly scopes: string | null }
  readonly profile: Profile
  /** Before the provider was asked: the token's life is counted from here. */
  readonly askedAt: Date
  readonly actor: Actor
  /** The only row that it may replace; null = there was none. */
  readonly over: Account | null
}

/** Seals what the provider granted and serves it from now on. */
export async function saveGrant(deps: GrantDeps, taking: Taking): Promise<void> {
  const { account, provider, grant, profile, askedAt, actor, over } = taking
  if (over !== null && over.provider !== provider) {
    throw new AppError('conflict', `The account “${account}” belongs to another provider. Give the new one another name.`)
  }
  const seedFingerprint = deps.seedFingerprints.get(account)
  const minimumAgeSeconds = deps.providers.get(provider)?.minimumAgeSeconds ?? 0
  const change: AccountChange = {
    ...identity(profile),
    ...granted(deps, account, grant, { askedAt, minimumAgeSeconds }),
    scopes: grant.scopes,
    lastRefreshAt: null,
    // Not when it is saved: what the user takes back in between counts.
    connectedAt: askedAt,
    trustedAt: null,
    ...(seedFingerprint === undefined ? {} : { seedFingerprint }),
  }
  const detail = over?.accessToken ? 'Connected again; the new token took over.' : 'Connected.'
  const event: AccountEvent = { account, kind: 'connected', actor, outcome: 'ok', detail }
  const taken =
    over === null
      ? await deps.store.insert({ ...change, name: account, provider, state: 'active' }, event)
      : await deps.store.replace(account, over.version, change, event)
  if (!taken) throw new AppError('conflict', `The account “${account}” was changed by somebody else at the same moment; connect again.`)
  await deps.publish(account)
}

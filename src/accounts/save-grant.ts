import { setTimeout as sleep } from 'node:timers/promises'
import type { Account, Actor } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { Grant, Profile, Provider } from '../core/provider.ts'
import type { Vault } from '../core/vault.ts'
import type { RefreshPolicy } from '../refreshing/next-refresh.ts'
import { granted, identity, readersOf, sameOrNew } from '../refreshing/outcome.ts'

export interface GrantDeps {
  readonly store: Pick<AccountStore, 'insert' | 'replace'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly policy: RefreshPolicy
  readonly publish: (name: string) => Promise<unknown>
  /** By account: fingerprints of the configured tokens, saved with each grant so that the next start does not seed them over it. */
  readonly seedFingerprints: ReadonlyMap<string, string>
}

/** What the provider gave, and to whom. */
export interface NewGrant {
  readonly grant: Grant
  readonly profile: Profile
  /** The instant before the call to the provider: the token's life counts from here. */
  readonly askedAt: Date
}

export interface GrantToSave extends NewGrant {
  readonly account: string
  readonly provider: string
  readonly actor: Actor
  /** The row that the grant may replace, as it was read; null = a new account. */
  readonly existing: Account | null
}

/** An account never changes its provider. */
export function refuseOtherProvider(existing: Account | null, { account, provider }: Pick<GrantToSave, 'account' | 'provider'>): void {
  if (existing !== null && existing.provider !== provider)
    throw new AppError(
      'conflict',
      `The account “${account}” belongs to ${existing.provider}, not to ${provider}. Give the new one another name.`,
    )
}

/** Seals the grant, saves it and publishes the account. */
export async function saveGrant(deps: GrantDeps, toSave: GrantToSave): Promise<void> {
  const { account, provider, grant, profile, askedAt, actor, existing } = toSave
  refuseOtherProvider(existing, { account, provider })
  const scopes = sameOrNew(existing?.scopes ?? null, grant.scopes)
  const kind = deps.providers.get(provider)
  if (kind === undefined) throw new AppError('invalid', `This agent does not know the provider “${provider}”.`)
  const seedFingerprint = deps.seedFingerprints.get(account)
  // Unknown scopes may not be those that the owner allowed.
  const word = scopes !== null && scopes === existing?.scopes ? existing.pageUseConfirmedAt : null
  const isSafe = kind.isPublicSafe(scopes)
  const change: AccountChange = {
    ...identity(profile),
    ...granted(deps, { provider, name: account, serves: existing?.serves ?? null }, grant, { calledAt: askedAt, provider: kind }),
    scopes,
    ...(scopes === null ? { pageUseConfirmedAt: null } : {}),
    pageUseEndedAt: isSafe || existing === null ? null : askedAt,
    lastRefreshAt: null,
    // Not the instant of saving: a deauthorize call in between must win.
    connectedAt: askedAt,
    trustedAt: null,
    ...(seedFingerprint === undefined ? {} : { seedFingerprint }),
  }
  const readers = readersOf({ scopes, pageUseConfirmedAt: word }, kind)
  const detail = `${existing?.accessToken ? 'Connected again; the new token took over.' : 'Connected.'}${readers}`
  const event: AccountEvent = { account, kind: 'connected', actor, outcome: 'ok', detail }
  const taken =
    existing === null
      ? await deps.store.insert({ ...change, name: account, provider, state: 'active' }, event)
      : await deps.store.replace(account, existing.version, change, event)
  if (!taken) throw new AppError('conflict', `The account “${account}” was changed by another request at the same moment; connect again.`)
  await deps.publish(account)
}

const AWAY_RETRY_MS = [250, 500, 1000, 2000, 4000]

/** A rotated grant may be the only one that works by now, so a store that is away for some seconds must not lose it. */
export async function forSomeSeconds<T>(work: () => Promise<T>): Promise<T> {
  for (const waitMs of AWAY_RETRY_MS) {
    try {
      return await work()
    } catch (error) {
      // An answer of the store, such as a conflict, stands.
      if (!(error instanceof AppError && error.code === 'unavailable')) throw error
      await sleep(waitMs)
    }
  }
  return work()
}

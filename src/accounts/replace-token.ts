import { setTimeout as sleep } from 'node:timers/promises'
import { type Account, hasGrant, isServable } from '../core/account.ts'
import type { AccountChange, AccountEvent, Claim } from '../core/account-store.ts'
import { AppError, ProviderError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import { granted, identity, readersOf } from '../refreshing/outcome.ts'
import { leaseSeconds } from '../refreshing/refresh-account.ts'
import { saveOutcome } from '../refreshing/unsaved-grant.ts'
import { fingerprintChange, isGivenUp, type Seed, type SeedDeps, type SeedResult, sourceOf } from './given-token.ts'
import { forSomeSeconds } from './save-grant.ts'

const CLAIM_RETRY_MS = 250

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
export async function replaceToken(
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
  const commit = (): Promise<boolean> =>
    claim === null ? deps.store.replace(seed.account, existing.version, change, done) : deps.store.commit(claim, change, done)
  // A rotated grant is the only one that works by now.
  const isOnlyGrant = provider.renewal === 'rotating' && confirmed.accessToken != null
  const isDone = !isOnlyGrant
    ? await commit()
    : claim === null
      ? await forSomeSeconds(commit)
      : await saveOutcome(deps, claim, change, done)
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

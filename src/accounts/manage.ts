import { acceptToken, refuseSecret } from '../core/accept-token.ts'
import { ACCOUNT_NAME_RULE, type Account, type Actor, DEFAULT_ACCOUNT, isAccountName, isServable } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore, EventKind } from '../core/account-store.ts'
import { AppError, ConnectError, ProviderError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { accountContext, UnreadableError } from '../core/vault.ts'
import { entriesOf, parseAllowList } from '../reading/allow-list.ts'
import { constantNameProblem } from '../reading/js-constant.ts'
import { isPublicSuffix } from '../reading/public-suffix.ts'
import { sharedHostWarnings } from '../reading/shared-hosts.ts'
import type { Reach } from '../reading/token-reader.ts'
import type { RefreshResult } from '../refreshing/refresh-account.ts'
import { refreshDue } from '../refreshing/refresh-due.ts'
import type { OAuthStateStore } from './oauth-states.ts'
import type { Pictures } from './pictures.ts'
import { type PublishDeps, publishChange } from './publish-change.ts'
import { type GrantDeps, saveGrant } from './save-grant.ts'
import { type SeedDeps, type SeedResult, seedAccount } from './seed.ts'
import { waiting } from './waiting-grant.ts'

export interface ManageDeps extends SeedDeps {
  readonly publish: PublishDeps['publish']
  readonly seedFingerprints: GrantDeps['seedFingerprints']
  readonly states: Pick<OAuthStateStore, 'waiting' | 'forget'>
  readonly pictures: Pick<Pictures, 'forget'>
  /** Tells the readers that `/token.js` may serve another account. */
  readonly publishDefault: () => Promise<Reach>
}

/** Throws an AppError where there is none. */
export async function findAccount({ store }: { store: Pick<AccountStore, 'find'> }, name: string): Promise<Account> {
  const account = isAccountName(name) ? await store.find(name) : null
  if (account === null) throw new AppError('not_found', 'There is no account of this name.')
  return account
}

/** The provider of a new account: the one that has the account’s name, else the first. */
export function providerFor({ providers }: { providers: ReadonlyMap<string, unknown> }, account: string): string {
  const [first = account] = providers.keys()
  return providers.has(account) ? account : first
}

/** An account without a token yet: it waits to be connected, or for a token. */
export async function createAccount(deps: ManageDeps, name: string, provider: string, actor: Actor): Promise<void> {
  if (!isAccountName(name)) throw new AppError('invalid', ACCOUNT_NAME_RULE)
  refuseSecret(deps.secrets, name)
  if (!deps.providers.has(provider)) throw new AppError('invalid', 'This agent does not know this provider.')
  const created = await deps.store.insert({ name, provider, state: 'unverified', nextRefreshAt: null }, event(name, 'created', actor))
  if (!created) throw new AppError('conflict', `There is an account “${name}” already; choose another name.`)
  if (name === DEFAULT_ACCOUNT) await deps.publishDefault()
}

export interface SavedDomains {
  /** Null = the global list holds. */
  readonly saved: string | null
  readonly reach: Reach
  readonly warnings: readonly string[]
}

/**
 * Who may read this account's token; null = the global list again. Gives back the list as it was saved, in full, and what
 * is risky in it. Throws an AppError that lists every problem.
 */
export async function setDomains(deps: ManageDeps, name: string, typed: string | null, actor: Actor): Promise<SavedDomains> {
  const text = typed?.trim() || null
  const { list, problems } = parseAllowList(text ?? '', isPublicSuffix)
  if (problems.length > 0) throw new AppError('invalid', problems.map((problem) => `${problem.replace(/`([^`]*)`/g, '“$1”')}.`).join(' '))
  const saved = entriesOf(list).join(' ') || null
  if (text !== null && saved === null) throw new AppError('invalid', 'The list names no web site.')
  const said = saved === null ? 'The global list of web sites holds.' : `Web sites that may read the token: ${saved}`
  const reach = await change(deps, name, { allowedDomains: saved }, event(name, 'changed', actor, said.slice(0, 2000)))
  return { saved, reach, warnings: sharedHostWarnings(list) }
}

export async function setConstant(deps: ManageDeps, name: string, typed: string | null, actor: Actor): Promise<Reach> {
  const jsConstant = typed?.trim() || null
  const problem = jsConstant === null ? null : constantNameProblem(jsConstant)
  if (problem !== null) throw new AppError('invalid', `The name of the constant ${problem}.`)
  refuseSecret(deps.secrets, jsConstant ?? '')
  return change(deps, name, { jsConstant }, event(name, 'changed', actor, `Name of the constant: ${jsConstant ?? 'the global one'}`))
}

/** A paused account is neither refreshed nor served. */
export async function setPaused(deps: ManageDeps, name: string, paused: boolean, actor: Actor): Promise<Reach> {
  return change(deps, name, { pausedAt: paused ? deps.store.now() : null }, event(name, paused ? 'paused' : 'resumed', actor))
}

export async function makeDefault(deps: ManageDeps, name: string, actor: Actor): Promise<Reach> {
  await findAccount(deps, name)
  if (!(await deps.store.makeDefault(name, event(name, 'made_default', actor)))) throw gone()
  return deps.publishDefault()
}

export async function refreshNow(deps: ManageDeps, name: string, actor: Actor): Promise<RefreshResult | null> {
  const account = await findAccount(deps, name)
  if (account.pausedAt !== null) throw new AppError('conflict', 'The account is paused; switch it on first.')
  if (account.accessToken === null) throw new AppError('conflict', 'The account has no token yet.')
  const { results } = await refreshDue(deps, { actor, account: name, force: true })
  return results[0] ?? null
}

export type Removal = 'removed' | 'removed_and_revoked' | 'removed_not_revoked'

/** Erases the token and all settings; the history stays. Where it is asked to, the provider takes the grant back first. */
export async function removeAccount(
  deps: ManageDeps,
  name: string,
  revoke: boolean,
  actor: Actor,
): Promise<{ removal: Removal; reach: Reach }> {
  const account = await findAccount(deps, name)
  const provider = deps.providers.get(account.provider)
  if (revoke && provider?.connect?.revoke === undefined) throw cannotRevoke(provider)
  const revoked = revoke && (await revokeGrant(deps, account))
  const detail = revoke ? (revoked ? 'The provider took the grant back.' : 'The provider did not take the grant back.') : null
  if (!(await deps.store.remove(name, event(name, 'removed', actor, detail)))) throw gone()
  deps.pictures.forget(name)
  const reach = await publishChange(deps, name, actor)
  await deps.publishDefault()
  for (const state of await deps.states.waiting(waiting(account.provider))) {
    if (state.account === name) await deps.states.forget(state.id)
  }
  return { removal: revoke ? (revoked ? 'removed_and_revoked' : 'removed_not_revoked') : 'removed', reach }
}

export interface Paste {
  readonly account: string
  readonly provider: string
  readonly token: Secret
  readonly actor: Actor
  /** The owner knows that the token may be another user's. */
  readonly otherUser: boolean
}

/** Takes a token over that a person pasted. One that lives an hour is traded for one that lasts, where that is possible. */
export async function pasteToken(deps: ManageDeps, { account, provider, token: pasted, actor, otherUser }: Paste): Promise<SeedResult> {
  const known = deps.providers.get(provider)
  if (known === undefined) throw new AppError('invalid', 'This agent does not know this provider.')
  const token = acceptToken(deps.secrets, known, pasted)
  const over = await deps.store.find(account)
  if (!otherUser && over?.providerUserId != null) await mustBeSameUser(deps, over, token)
  const askedAt = deps.store.now()
  const { connect } = known
  try {
    const grant = await connect?.exchangeForLongLived?.(token)
    if (connect !== undefined && grant != null) {
      const profile = await connect.identify(grant.accessToken)
      await saveGrant(deps, { account, provider, grant: { ...grant, scopes: null }, profile, askedAt, actor, over })
      const message = 'The token would have lived for an hour; it was traded for one that lasts.'
      return { outcome: 'taken', result: { account, outcome: 'verified', message, nextRefreshAt: null }, message }
    }
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error
    // With nothing to lose, an unchecked token is better than none.
    const hasGoodToken = over !== null && over.state !== 'reconnect' && isServable(over, deps.store.now())
    if (error.isTransient && hasGoodToken) return { outcome: 'postponed', message: error.message }
    // Another app's token cannot be traded with this app's secret; it may be a good one all the same.
  }
  return seedAccount(deps, { account, provider, token, actor, fingerprint: deps.seedFingerprints.get(account) ?? null })
}

async function mustBeSameUser(deps: ManageDeps, { provider, providerUserId, username }: Account, token: Secret): Promise<void> {
  let userId: string | undefined
  try {
    userId = (await deps.providers.get(provider)?.profile(token))?.userId
  } catch (error) {
    // The take-over asks the provider too, and names what is wrong with the token.
    if (error instanceof ProviderError) return
    throw error
  }
  if (userId !== undefined && userId !== providerUserId) {
    const present = username === null ? 'somebody else' : `@${username}`
    throw new AppError(
      'conflict',
      `This token is another user’s; the account is connected as ${present}. Say that you want that, and paste it again.`,
    )
  }
}

async function change(deps: ManageDeps, name: string, what: AccountChange, why: AccountEvent): Promise<Reach> {
  await findAccount(deps, name)
  if (!(await deps.store.update(name, what, why))) throw gone()
  return publishChange(deps, name, why.actor)
}

async function revokeGrant(deps: ManageDeps, { name, provider, accessToken }: Account): Promise<boolean> {
  const connect = deps.providers.get(provider)?.connect
  if (connect?.revoke === undefined || accessToken === null) return false
  try {
    await connect.revoke(deps.vault.open(accessToken, accountContext(name, 'access_token')))
    return true
  } catch (error) {
    if (error instanceof ConnectError || error instanceof UnreadableError) return false
    throw error
  }
}

function event(account: string, kind: EventKind, actor: Actor, detail: string | null = null): AccountEvent {
  return { account, kind, actor, outcome: 'ok', detail }
}

function cannotRevoke(provider: Provider | undefined): AppError {
  const variable = provider?.connect === undefined ? provider?.setup.appVariables[0] : undefined
  const why = variable === undefined ? 'Where the agent cannot do that' : `Without ${variable}`
  return new AppError('invalid', `${why} the provider cannot be asked to take the permission back, so nothing was removed.`)
}

function gone(): AppError {
  return new AppError('not_found', 'This account has just been removed.')
}

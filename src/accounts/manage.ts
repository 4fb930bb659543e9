import { refuseSecret } from '../core/accept-token.ts'
import { ACCOUNT_NAME_RULE, type Account, type Actor, DEFAULT_ACCOUNT, hasGrant, isAccountName } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore, EventKind } from '../core/account-store.ts'
import { AppError, ConnectError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import { accountContext, UnreadableError } from '../core/vault.ts'
import { type AllowList, entriesOf, parseAllowList } from '../reading/allow-list.ts'
import { constantNameProblem } from '../reading/js-constant.ts'
import { isPublicSuffix } from '../reading/public-suffix.ts'
import { sharedHostWarnings } from '../reading/shared-hosts.ts'
import type { StaleUntil } from '../reading/token-reader.ts'
import type { RefreshResult } from '../refreshing/refresh-account.ts'
import { refreshDue } from '../refreshing/refresh-due.ts'
import { type ErasureRecord, removalOf } from './erasure.ts'
import type { SeedDeps } from './given-token.ts'
import type { OAuthStateStore } from './oauth-states.ts'
import type { Pictures } from './pictures.ts'
import { type PublishDeps, publishChange } from './publish-change.ts'
import type { GrantDeps } from './save-grant.ts'
import { waitingSteps } from './waiting-grant.ts'

export interface ManageDeps extends SeedDeps {
  readonly publish: PublishDeps['publish']
  readonly seedFingerprints: GrantDeps['seedFingerprints']
  readonly states: Pick<OAuthStateStore, 'waiting' | 'forget'>
  readonly pictures: Pick<Pictures, 'forget'>
  /** Shows the readers of all instances that `/token.js` may serve another account. */
  readonly publishDefault: () => Promise<StaleUntil>
}

/** Throws `not_found` if there is no such account. */
export async function findAccount({ store }: { store: Pick<AccountStore, 'find'> }, name: string): Promise<Account> {
  const account = isAccountName(name) ? await store.find(name) : null
  if (account === null) throw new AppError('not_found', 'There is no account of this name.')
  return account
}

/** The provider of a new account: the provider of the same name, else the first. */
export function providerFor({ providers }: { providers: ReadonlyMap<string, unknown> }, account: string): string {
  const [first = account] = providers.keys()
  return providers.has(account) ? account : first
}

/** Creates an account without a token. */
export async function createAccount(deps: ManageDeps, name: string, provider: string, actor: Actor): Promise<void> {
  if (!isAccountName(name)) throw new AppError('invalid', ACCOUNT_NAME_RULE)
  refuseSecret(deps.secrets, name)
  if (!deps.providers.has(provider)) throw new AppError('invalid', 'This agent does not know this provider.')
  const created = await deps.store.insert({ name, provider, state: 'unverified', nextRefreshAt: null }, event(name, 'created', actor))
  if (!created) throw new AppError('conflict', `There is an account “${name}” already; choose another name.`)
  if (name === DEFAULT_ACCOUNT) await deps.publishDefault()
}

export interface SavedDomains {
  /** Null = the global list applies. */
  readonly saved: string | null
  readonly staleUntil: StaleUntil
  readonly warnings: readonly string[]
}

/** The list as typed, read and in full; null = it is empty. Throws `invalid` with all problems. */
export function acceptDomains({ secrets }: Pick<ManageDeps, 'secrets'>, typed: string | null): { list: AllowList; saved: string | null } {
  const text = typed?.trim() || null
  const entries = text?.split(/[\s,]+/) ?? []
  for (const entry of entries) refuseSecret(secrets, entry)
  // “my shop” is no list of two hosts. The word is not repeated, because it may be a token.
  if (entries.some((entry) => /^[\w-]+$/.test(entry) && entry.toLowerCase() !== 'localhost'))
    throw new AppError(
      'invalid',
      'A word without a dot is no web site: name it as the browser shows it, such as www.example.com. A host of your own network is written with https:// in front.',
    )
  const { list, problems } = parseAllowList(text ?? '', isPublicSuffix)
  if (problems.length > 0) throw new AppError('invalid', problems.map((problem) => `${problem.replace(/`([^`]*)`/g, '“$1”')}.`).join(' '))
  const saved = entriesOf(list).join(' ') || null
  if (text !== null && saved === null) throw new AppError('invalid', 'The list names no web site.')
  return { list, saved }
}

/**
 * Sets the account's allow-list; null = the global list applies again. Resolves with the saved list in full, and with
 * warnings about risky entries. Throws `invalid` with all problems.
 */
export async function setDomains(deps: ManageDeps, name: string, typed: string | null, actor: Actor): Promise<SavedDomains> {
  const { list, saved } = acceptDomains(deps, typed)
  const said = saved === null ? 'The global list of web sites holds.' : `Web sites that may read the token: ${saved}`
  const staleUntil = await change(deps, name, { allowedDomains: saved }, event(name, 'changed', actor, said.slice(0, 2000)))
  return { saved, staleUntil, warnings: sharedHostWarnings(list) }
}

export async function setConstant(deps: ManageDeps, name: string, typed: string | null, actor: Actor): Promise<StaleUntil> {
  const jsConstant = typed?.trim() || null
  const problem = jsConstant === null ? null : constantNameProblem(jsConstant)
  if (problem !== null) throw new AppError('invalid', `The name of the constant ${problem}.`)
  refuseSecret(deps.secrets, jsConstant ?? '')
  return change(deps, name, { jsConstant }, event(name, 'changed', actor, `Name of the constant: ${jsConstant ?? 'the global one'}`))
}

/** Lets pages have a token that can do more than read, or takes that back. `scopes`: those that the owner has read. */
export async function setPageUse(
  deps: ManageDeps,
  name: string,
  { allow, scopes }: { allow: boolean; scopes: string | null },
  actor: Actor,
): Promise<StaleUntil> {
  const { version } = await mustHaveScopes(deps, name, scopes)
  const said = allow
    ? `Web pages may have the token, with the permissions ${scopes ?? 'that it does not tell'}.`
    : 'Only servers get the token.'
  const write = (at: Date | null) =>
    change(deps, name, { pageUseConfirmedAt: at, pageUseEndedAt: null }, event(name, 'changed', actor, said))
  const staleUntil = await write(allow ? deps.store.now() : null)
  // Another token came in between, perhaps with other scopes.
  if (allow && (await findAccount(deps, name)).version !== version) {
    await write(null)
    throw scopesChanged()
  }
  return staleUntil
}

async function mustHaveScopes(deps: ManageDeps, name: string, scopes: string | null): Promise<Account> {
  const account = await findAccount(deps, name)
  if (account.scopes !== scopes) throw scopesChanged()
  return account
}

function scopesChanged(): AppError {
  return new AppError(
    'conflict',
    'The token has been replaced since this page was shown. Nothing was changed: read what the new one can do.',
  )
}

/** A paused account is neither refreshed nor served. */
export async function setPaused(deps: ManageDeps, name: string, paused: boolean, actor: Actor): Promise<StaleUntil> {
  return change(deps, name, { pausedAt: paused ? deps.store.now() : null }, event(name, paused ? 'paused' : 'resumed', actor))
}

export async function makeDefault(deps: ManageDeps, name: string, actor: Actor): Promise<StaleUntil> {
  await findAccount(deps, name)
  if (!(await deps.store.makeDefault(name, event(name, 'made_default', actor)))) throw gone()
  return deps.publishDefault()
}

export async function refreshNow(deps: ManageDeps, name: string, actor: Actor): Promise<RefreshResult | null> {
  const account = await findAccount(deps, name)
  if (account.pausedAt !== null) throw new AppError('conflict', 'The account is paused; switch it on first.')
  if (!hasGrant(account)) throw new AppError('conflict', 'The account has no token yet.')
  const { results } = await refreshDue(deps, { actor, account: name, force: true })
  return results[0] ?? null
}

export type Removal = 'removed' | 'removed_and_revoked' | 'removed_not_revoked'

/** Erases the token and all settings; the history stays. With `revoke` the provider is asked to revoke the grant first. */
export async function removeAccount(
  deps: ManageDeps,
  name: string,
  revoke: boolean,
  actor: Actor,
): Promise<{ removal: Removal; staleUntil: StaleUntil; record: ErasureRecord }> {
  const account = await findAccount(deps, name)
  const provider = deps.providers.get(account.provider)
  if (revoke && provider?.connect?.revoke === undefined) throw cannotRevoke(provider)
  const revoked = revoke && (await revokeGrant(deps, account))
  const detail = revoke ? (revoked ? 'The provider took the grant back.' : 'The provider did not take the grant back.') : null
  if (!(await deps.store.remove(name, event(name, 'removed', actor, detail)))) throw gone()
  const record = removalOf(deps.vault, account, deps.store.now())
  deps.log.info(record, 'an account was removed; a restore of an older backup needs this line')
  deps.pictures.forget(name)
  const staleUntil = await publishChange(deps, name, actor)
  await deps.publishDefault()
  for (const state of await deps.states.waiting(...waitingSteps(account.provider))) {
    if (state.account === name) await deps.states.forget(state.id)
  }
  return { removal: revoke ? (revoked ? 'removed_and_revoked' : 'removed_not_revoked') : 'removed', staleUntil, record }
}

async function change(deps: ManageDeps, name: string, what: AccountChange, why: AccountEvent): Promise<StaleUntil> {
  await findAccount(deps, name)
  if (!(await deps.store.update(name, what, why))) throw gone()
  return publishChange(deps, name, why.actor)
}

async function revokeGrant(deps: ManageDeps, account: Account): Promise<boolean> {
  const { provider, accessToken, refreshToken } = account
  const connect = deps.providers.get(provider)?.connect
  if (connect?.revoke === undefined || !hasGrant(account)) return false
  const open = (sealed: string | null, column: 'access_token' | 'refresh_token') =>
    sealed === null ? null : deps.vault.open(sealed, accountContext(account, column))
  try {
    await connect.revoke({ accessToken: open(accessToken, 'access_token'), refreshToken: open(refreshToken, 'refresh_token') })
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
  return new AppError('invalid', `${why} the provider cannot be asked to revoke the permission, so nothing was removed.`)
}

function gone(): AppError {
  return new AppError('not_found', 'This account has just been removed.')
}

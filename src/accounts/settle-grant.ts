import { ConnectError } from '../core/errors.ts'
import type { Connect, Grant, Profile } from '../core/provider.ts'
import { askName } from '../refreshing/refresh-account.ts'
import type { Authorization } from './authorization.ts'
import { type ConnectDeps, type Connected, connectableOf } from './connected.ts'
import { arrivalOf } from './links.ts'
import { forSomeSeconds, type NewGrant, saveGrant } from './save-grant.ts'
import { choosing, connected, type Pending, seal, waiting, writePending } from './waiting-grant.ts'

/** What the provider gave, and the instant before it was asked. */
export interface Login {
  readonly grant: Grant
  readonly askedAt: Date
}

/** Saves the grant of a login, or asks the owner first: which of its accounts, or whether another user may take the account over. */
export async function settleLogin(deps: ConnectDeps, authorization: Authorization, login: Login): Promise<Connected> {
  const { connect } = connectableOf(deps, authorization.provider)
  const { grant } = login
  if (connect.choice === undefined) {
    const isRotating = deps.providers.get(authorization.provider)?.renewal === 'rotating'
    // A rotated grant is saved before anything else is asked.
    const profile = (isRotating ? grant.profile : undefined) ?? (await identified(connect, grant))
    return settleGrant(deps, authorization, { ...login, profile })
  }
  const choices = await connect.choice.list(grant)
  const existing = await deps.store.find(authorization.account)
  const only = choices.length === 1 ? choices[0] : choices.find((one) => one.id === existing?.providerUserId)
  if (only !== undefined) return settleChoice(deps, authorization, { ...login, choice: only.id })
  const { profile = { userId: '', username: null, appUserId: null } } = grant
  await keepWaiting(deps, authorization, { step: choosing, pending: { ...login, profile, version: existing?.version ?? 0 } })
  return { outcome: 'choice', account: authorization.account, choices, answer: authorization.state }
}

/** Goes on with one of the accounts that the login leads to. */
export async function settleChoice(
  deps: ConnectDeps,
  authorization: Authorization,
  { grant: login, askedAt, choice }: Login & { readonly choice: string },
): Promise<Connected> {
  const grant = await connectableOf(deps, authorization.provider).connect.choice?.take(login, choice)
  if (grant?.profile === undefined) throw new ConnectError('The provider did not say whose account that is.', 'Connect again.')
  return settleGrant(deps, authorization, { grant, profile: grant.profile, askedAt })
}

async function settleGrant(deps: ConnectDeps, authorization: Authorization, given: NewGrant): Promise<Connected> {
  const { account, provider } = authorization
  const { grant, profile } = given
  const persist = deps.persist ?? forSomeSeconds
  if (deps.settle !== undefined) {
    const profile = given.profile.username === null ? await identified(connectableOf(deps, provider).connect, grant) : given.profile
    const settled = await deps.settle(authorization, { ...given, profile })
    await deps.states.advance(authorization.id, { provider: connected(provider), sealed: '' }).catch(() => {})
    return settled
  }
  const existing = await persist(() => deps.store.find(account))
  const isFirst = existing === null || existing.providerUserId === null
  if (isFirst ? deps.asksFirst !== true : existing.providerUserId === profile.userId) {
    const username = profile.username ?? (existing?.providerUserId === profile.userId ? existing.username : null)
    return saveConnected(deps, authorization, { ...given, profile: { ...profile, username }, version: existing?.version ?? 0 })
  }
  // The question shows the user's name.
  const { connect } = connectableOf(deps, provider)
  const named = profile.username === null ? await identified(connect, { ...grant, profile }) : profile
  const pending = { ...given, profile: named, version: existing?.version ?? 0 }
  await persist(() => keepWaiting(deps, authorization, { step: waiting, pending }))
  return question(deps, authorization, pending)
}

/** Saves the grant where the account is still of this version. */
export async function saveConnected(deps: ConnectDeps, authorization: Authorization, pending: Pending): Promise<Connected> {
  const { id, account, provider } = authorization
  const { version, ...grant } = pending
  const isSaved = await (deps.persist ?? forSomeSeconds)(async () => {
    const existing = await deps.store.find(account)
    // Only the store's answer was lost.
    if (existing?.connectedAt.getTime() === grant.askedAt.getTime() && existing.providerUserId === grant.profile.userId) return true
    if ((existing?.version ?? 0) !== version) {
      const { title } = connectableOf(deps, provider)
      throw new ConnectError('The account was changed since you were asked.', `Look at it, then press “Connect ${title}” again.`)
    }
    return deps.signedRequests.unlessErased(arrivalOf(deps.vault, provider, grant), (store) =>
      // Readers hear of the change once it stands.
      saveGrant({ ...deps, store, publish: async () => {} }, { ...grant, account, provider, existing, actor: deps.actor ?? 'owner' }),
    )
  })
  if (!isSaved) return forgetErased(deps, authorization)
  await deps.publish(account)
  // The token is stored by now: neither an account without a name nor an error here may look as if it were not.
  const stored = await deps.store.find(account).catch(() => null)
  if (stored !== null) await askName(deps, stored, deps.actor ?? 'owner')
  await deps.states.advance(id, { provider: connected(provider), sealed: '' }).catch(() => {})
  return { outcome: 'connected', account, username: grant.profile.username }
}

export async function question(deps: ConnectDeps, { account, state }: Authorization, { profile }: Pending): Promise<Connected> {
  const present = (await deps.store.find(account))?.username ?? null
  return { outcome: 'other_user', account, present, username: profile.username, answer: state }
}

async function keepWaiting(
  deps: ConnectDeps,
  authorization: Authorization,
  { step, pending }: { step: typeof waiting; pending: Pending },
): Promise<void> {
  const { id, provider } = authorization
  await deps.states.advance(id, { provider: step(provider), sealed: seal(deps.vault, id, writePending(pending)) })
  // A call about the user from now on finds the row; an earlier one has left the user's code.
  if (!(await deps.signedRequests.unlessErased(arrivalOf(deps.vault, provider, pending)))) await forgetErased(deps, authorization)
}

/** The user has taken the permission back, or had the data erased, between the exchange and now. */
async function forgetErased(deps: ConnectDeps, { id, provider }: Authorization): Promise<never> {
  await deps.states.forget(id)
  const { title } = connectableOf(deps, provider)
  const happened = `The ${title} user took the permission back while the account was being connected, so nothing was changed.`
  throw new ConnectError(happened, `Press “Connect ${title}” again.`)
}

/** A grant that names its user is saved even where the profile cannot be read. */
async function identified(connect: Connect, grant: Grant): Promise<Profile> {
  const named = grant.profile
  return connect.identify(grant.accessToken).catch((error: unknown) => {
    if (named !== undefined && error instanceof ConnectError && error.isTransient) return named
    throw error
  })
}

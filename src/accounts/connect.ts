import { ACCOUNT_NAME_RULE, type Actor, isAccountName } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import { digest, randomId } from '../core/digest.ts'
import { AppError, ConnectError } from '../core/errors.ts'
import type { Choice, Connect, Grant, Profile } from '../core/provider.ts'
import { isMarked, marked } from '../core/vault.ts'
import { askName } from '../refreshing/refresh-account.ts'
import { challengeFor, tryOtherChallenge } from './challenge.ts'
import type { KeptState, OAuthStateStore } from './oauth-states.ts'
import { type GrantDeps, type GrantToSave, refuseOtherProvider, saveGrant } from './save-grant.ts'
import { choosing, connected, openPending, type Pending, readTrip, seal, unseal, waiting, write, writeTrip } from './waiting-grant.ts'

export interface ConnectDeps extends GrantDeps {
  readonly store: Pick<AccountStore, 'insert' | 'replace' | 'update' | 'find' | 'now'>
  readonly states: OAuthStateStore
  /** The agent's own origin. */
  readonly appUrl: string
  /** Unset = the owner in the browser. */
  readonly actor?: Actor
  /** A first user of the account is asked about too, not only another one. */
  readonly asksFirst?: boolean
  /** Saves a grant, perhaps in more than one try. */
  readonly saving?: (save: () => Promise<void>) => Promise<void>
}

/** The parameters of the provider's callback, and the session of the browser that brought them. */
export interface CallbackParams {
  readonly provider: string
  readonly sessionId: string
  /** As the provider sent them. */
  readonly code?: string | undefined
  readonly state?: string | undefined
  readonly error?: string | undefined
  readonly errorDescription?: string | undefined
  readonly scopes?: string | undefined
}

export type Connected =
  | { readonly outcome: 'connected'; readonly account: string; readonly username: string | null }
  /** Nothing is changed yet: the account is another user's. `answer` identifies the question when the owner replies. */
  | {
      readonly outcome: 'other_user'
      readonly account: string
      readonly present: string | null
      readonly username: string | null
      readonly answer: string
    }

  /** Nothing is changed yet: the login leads to several accounts, and the owner chooses one of them. */
  | { readonly outcome: 'choice'; readonly account: string; readonly choices: readonly Choice[]; readonly answer: string }

export const redirectUriOf = (appUrl: string, provider: string): string => `${appUrl}/connect/${provider}/callback`

export interface ConnectRequest {
  readonly provider: string
  readonly account: string
  readonly sessionId: string
  /** Unset = the agent's own. */
  readonly redirectUri?: string
}

/** The provider's address where the owner approves. The callback is accepted once, within ten minutes. */
export async function startConnect(
  deps: ConnectDeps,
  { provider, account, sessionId, redirectUri = redirectUriOf(deps.appUrl, provider) }: ConnectRequest,
): Promise<URL> {
  const { connect } = connectableOf(deps, provider)
  if (!isAccountName(account)) throw new AppError('invalid', ACCOUNT_NAME_RULE)
  refuseOtherProvider(await deps.store.find(account), { account, provider })
  const [state, verifier] = [marked(deps.vault, STATE, randomId()), randomId()]
  const id = digest(state)
  const challenge = await challengeFor(deps, connect)
  const url = connect.authorizeUrl({ state, verifier, redirectUri, ...challenge })
  // Another process may finish it, and a pasted code comes without its state.
  const isOwn = redirectUri === redirectUriOf(deps.appUrl, provider)
  const text = isOwn ? verifier : writeTrip({ verifier, redirectUri, state })
  await deps.states.keep(id, { sessionId, provider, account, sealed: seal(deps.vault, id, text) })
  return url
}

/**
 * Throws `ConnectError` if the authorization ended without a token; nothing is changed then. A second callback, by a double
 * click, the back button or a reload, gets the result of the first.
 */
export async function finishConnect(deps: ConnectDeps, params: CallbackParams): Promise<Connected> {
  const { provider, sessionId, code, state = '', error } = params
  const { connect, title } = connectableOf(deps, provider)
  const again = `Press “Connect ${title}” again; nothing was changed.`
  const authorization = await findAuthorization(deps, state, sessionId)
  if (error !== undefined) {
    const refused = connect.callbackError?.(error, params.errorDescription ?? '') ?? denied(title, error)
    // A denial changes nothing, and may arrive without its state.
    if (authorization === null) throw refused
    return tryOtherChallenge(deps, connect, refused)
  }
  const { account } = authorization ?? {}
  if (authorization?.provider === connected(provider)) return { outcome: 'connected', account: authorization.account, username: null }
  if (authorization?.provider === waiting(provider)) {
    if (authorization.usedSecondsAgo !== null) return { outcome: 'connected', account: authorization.account, username: null }
    const pending = openPending(deps.vault, authorization)
    if (pending === null || authorization.tooOld) throw new ConnectError('This question was asked more than ten minutes ago.', again)
    return question(deps, authorization.account, pending, state)
  }
  if (authorization?.provider === choosing(provider) && connect.choice !== undefined) {
    if (authorization.usedSecondsAgo !== null) return { outcome: 'connected', account: authorization.account, username: null }
    const pending = openPending(deps.vault, authorization)
    if (pending === null || authorization.tooOld) throw new ConnectError('This question was asked more than ten minutes ago.', again)
    const choices = await connect.choice.list(pending.grant)
    return { outcome: 'choice', account: authorization.account, choices, answer: state }
  }
  if (authorization === null || account === undefined || authorization.provider !== provider) {
    throw new ConnectError('This answer does not belong to a request of yours, or was used already.', again)
  }
  const { id } = authorization
  const running = underWay.get(id)
  if (running !== undefined) return running
  if (authorization.usedSecondsAgo !== null) {
    const happened = `This answer of ${title} was used ${authorization.usedSecondsAgo > LONGEST_SECONDS ? 'already' : 'a moment ago'}, and the account is not connected yet.`
    if (authorization.usedSecondsAgo > LONGEST_SECONDS) throw new ConnectError(happened, `Press “Connect ${title}” again.`)
    throw new ConnectError(happened, 'Reload this page in a few seconds.', { isTransient: true })
  }
  if (authorization.tooOld) throw new ConnectError(`It took more than ten minutes to come back from ${title}.`, again)
  if (code === undefined || code === '') throw new ConnectError(`${title} sent no code along.`, again)
  const trip = readTrip(unseal(deps.vault, authorization))
  if (trip === null) throw new ConnectError('No key of this agent opens the request that this answer belongs to.', again)

  return once(
    deps,
    id,
    async () => {
      const askedAt = deps.store.now()
      const { verifier, redirectUri = redirectUriOf(deps.appUrl, provider) } = trip
      const request = { verifier, redirectUri, scopes: params.scopes }
      const grant = await connect.exchangeCode(code, request).catch((failed: unknown) => tryOtherChallenge(deps, connect, failed))
      if (connect.choice === undefined) {
        const profile = deps.providers.get(provider)?.renewal === 'rotating' ? grant.profile : undefined
        // A rotated grant is saved before anything else is asked.
        return settle(deps, { id, state, provider, account }, { grant, profile: profile ?? (await identified(connect, grant)), askedAt })
      }
      const choices = await connect.choice.list(grant)
      const existing = await deps.store.find(account)
      const only = choices.length === 1 ? choices[0] : choices.find((one) => one.id === existing?.providerUserId)
      if (only !== undefined) return take(deps, connect, { id, state, provider, account }, { grant, askedAt, choice: only.id })
      const { profile = { userId: '', username: null, appUserId: null } } = grant
      const pending = { grant, profile, askedAt, version: existing?.version ?? 0 }
      await deps.states.advance(id, { provider: choosing(provider), sealed: seal(deps.vault, id, write(pending)) })
      return { outcome: 'choice', account, choices, answer: state }
    },
    () => finishConnect(deps, params),
  )
}

interface Place {
  readonly id: string
  readonly state: string
  readonly provider: string
  readonly account: string
}

async function take(
  deps: ConnectDeps,
  { choice }: Connect,
  place: Place,
  { grant: login, askedAt, choice: id }: { grant: Grant; askedAt: Date; choice: string },
): Promise<Connected> {
  const grant = await choice?.take(login, id)
  if (grant?.profile === undefined) throw new ConnectError('The provider did not say whose account that is.', 'Connect again.')
  return settle(deps, place, { grant, profile: grant.profile, askedAt })
}

/** Saves the grant, or asks the owner first where the account is another user's. */
async function settle(
  deps: ConnectDeps,
  { id, state, provider, account }: Place,
  { grant, profile, askedAt }: Pick<Pending, 'grant' | 'profile' | 'askedAt'>,
): Promise<Connected> {
  const existing = await deps.store.find(account)
  const isFirst = existing === null || existing.providerUserId === null
  if (isFirst ? deps.asksFirst !== true : existing.providerUserId === profile.userId) {
    const username = profile.username ?? (existing?.providerUserId === profile.userId ? existing.username : null)
    await saved(deps, { account, provider, grant, profile: { ...profile, username }, askedAt, existing })
    await askSavedName(deps, account)
    return markConnected(deps, id, { provider, account, username })
  }
  const pending = { grant, profile: await named(deps, provider, { grant, profile }), askedAt, version: existing?.version ?? 0 }
  await deps.states.advance(id, { provider: waiting(provider), sealed: seal(deps.vault, id, write(pending)) })
  return question(deps, account, pending, state)
}

function saved(deps: ConnectDeps, grant: Omit<GrantToSave, 'actor'>): Promise<void> {
  const save = (): Promise<void> => saveGrant(deps, { ...grant, actor: deps.actor ?? 'owner' })
  return deps.saving === undefined ? save() : deps.saving(save)
}

/** The token is stored by now, so an account without a name is none of the caller's problems. */
async function askSavedName(deps: ConnectDeps, account: string): Promise<void> {
  const stored = await deps.store.find(account).catch(() => null)
  if (stored !== null) await askName(deps, stored, deps.actor ?? 'owner')
}

/** The question whether another user may take the account over shows the user's name. */
async function named(
  { providers }: ConnectDeps,
  provider: string,
  { grant, profile }: Pick<Pending, 'grant' | 'profile'>,
): Promise<Profile> {
  const connect = profile.username === null ? providers.get(provider)?.connect : undefined
  return connect === undefined ? profile : identified(connect, { ...grant, profile })
}

/** A grant that names its user is saved even where the profile cannot be read. */
async function identified(connect: Connect, grant: Grant): Promise<Profile> {
  const named = grant.profile
  return connect.identify(grant.accessToken).catch((error: unknown) => {
    if (named !== undefined && error instanceof ConnectError && error.isTransient) return named
    throw error
  })
}

async function markConnected(
  deps: ConnectDeps,
  id: string,
  { provider, account, username }: { provider: string; account: string; username: string | null },
): Promise<Connected> {
  // The token is stored by now; an error here must not look as if it were not.
  await deps.states.advance(id, { provider: connected(provider), sealed: '' }).catch(() => {})
  return { outcome: 'connected', account, username }
}

interface Answer {
  readonly provider: string
  readonly sessionId: string
  readonly answer: string
}

/** The owner chooses one of the accounts that the login leads to. */
export async function chooseAccount(
  deps: ConnectDeps,
  { provider, sessionId, answer, choice }: Answer & { choice: string },
): Promise<Connected> {
  const { connect, title } = connectableOf(deps, provider)
  const authorization = await findAuthorization(deps, answer, sessionId)
  const isChoosing = authorization?.provider === choosing(provider)
  const running = authorization !== null && isChoosing ? underWay.get(authorization.id) : undefined
  if (running !== undefined) return running
  if (authorization?.provider === connected(provider) || (isChoosing && authorization.usedSecondsAgo !== null))
    return { outcome: 'connected', account: authorization.account, username: null }
  const pending = authorization !== null && isChoosing && !authorization.tooOld ? openPending(deps.vault, authorization) : null
  if (authorization === null || pending === null)
    throw new ConnectError('This question was answered already, or more than ten minutes ago.', `Press “Connect ${title}” again.`)
  const { id, account } = authorization
  const { grant, askedAt } = pending
  return once(
    deps,
    id,
    () => take(deps, connect, { id, state: answer, provider, account }, { grant, askedAt, choice }),
    () => chooseAccount(deps, { provider, sessionId, answer, choice }),
  )
}

/** The owner agrees that another user takes the account over. */
export async function confirmConnect(deps: ConnectDeps, { provider, sessionId, answer }: Answer): Promise<Connected> {
  const { title } = connectableOf(deps, provider)
  const authorization = await findAuthorization(deps, answer, sessionId)
  const { account = '' } = authorization ?? {}
  const isWaiting = authorization?.provider === waiting(provider)
  const running = authorization !== null && isWaiting ? underWay.get(authorization.id) : undefined
  if (running !== undefined) return running
  // A double click: the first click has been answered.
  if (authorization?.provider === connected(provider) || (isWaiting && authorization.usedSecondsAgo !== null))
    return { outcome: 'connected', account, username: null }
  const pending = authorization !== null && isWaiting && !authorization.tooOld ? openPending(deps.vault, authorization) : null
  if (authorization === null || pending === null) {
    throw new ConnectError('This question was answered already, or more than ten minutes ago.', `Press “Connect ${title}” again.`)
  }
  return once(
    deps,
    authorization.id,
    async () => {
      const { version, ...grant } = pending
      const existing = await deps.store.find(account)
      if ((existing?.version ?? 0) !== version) {
        throw new ConnectError('The account was changed since you were asked.', `Look at it, then press “Connect ${title}” again.`)
      }
      await saved(deps, { ...grant, account, provider, existing })
      return markConnected(deps, authorization.id, { provider, account, username: grant.profile.username })
    },
    () => confirmConnect(deps, { provider, sessionId, answer }),
  )
}

/** The owner declines; the waiting grant is deleted at once. Null if the question was answered already. */
export async function declineConnect(deps: ConnectDeps, { provider, sessionId, answer }: Answer): Promise<{ account: string } | null> {
  const authorization = await findAuthorization(deps, answer, sessionId)
  if (authorization?.provider !== waiting(provider) && authorization?.provider !== choosing(provider)) return null
  await deps.states.forget(authorization.id)
  return { account: authorization.account }
}

/** Longer than all calls of one exchange may take together. */
const LONGEST_SECONDS = 60
const underWay = new Map<string, Promise<Connected>>()

/** Runs `work` once for each id. Concurrent callers share its result; if another process was faster, `afterwards` runs. */
function once(deps: ConnectDeps, id: string, work: () => Promise<Connected>, afterwards: () => Promise<Connected>): Promise<Connected> {
  const run = async (): Promise<Connected> => {
    if (!(await deps.states.use(id))) {
      underWay.delete(id)
      return afterwards()
    }
    // After a failure a reload has to start over.
    return work().catch(async (error: unknown) => {
      await deps.states.forget(id).catch(() => {})
      throw error
    })
  }
  const running = run().finally(() => underWay.delete(id))
  underWay.set(id, running)
  return running
}

function connectableOf({ providers }: ConnectDeps, name: string): { connect: Connect; title: string } {
  const provider = providers.get(name)
  if (provider?.connect === undefined) {
    throw new AppError('not_found', 'This agent cannot connect accounts of this provider: the credentials of an app are not set.')
  }
  return { connect: provider.connect, title: provider.title }
}

function denied(title: string, error: string): ConnectError {
  if (error === 'access_denied') {
    return new ConnectError(
      `${title} says that the request was declined.`,
      `If that was a mistake, press “Connect ${title}” again and allow it; nothing was changed.`,
    )
  }
  return new ConnectError(`${title} ended the request with an error of its own.`, `Press “Connect ${title}” again in a few minutes.`)
}

const STATE = 'oauth state'

/** Null if the state is made up, another browser's, or deleted for its age. */
async function findAuthorization(deps: ConnectDeps, state: string, sessionId: string): Promise<KeptState | null> {
  if (!isMarked(deps.vault, STATE, state)) return null
  const authorization = await deps.states.find(digest(state))
  return authorization?.sessionId === sessionId ? authorization : null
}

async function question(deps: ConnectDeps, account: string, { profile }: Pending, answer: string): Promise<Connected> {
  const present = (await deps.store.find(account))?.username ?? null
  return { outcome: 'other_user', account, present, username: profile.username, answer }
}

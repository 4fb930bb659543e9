import { ACCOUNT_NAME_RULE, isAccountName } from '../domain/account.ts'
import { ConnectError, type Connector } from '../domain/connector.ts'
import { AppError } from '../domain/errors.ts'
import type { Profile } from '../domain/provider.ts'
import { Secret } from '../domain/secret.ts'
import { type Place, tryOpen } from '../domain/vault.ts'
import type { OwnerDeps } from './owner-deps.ts'
import { type Taking, takeGrant } from './take-grant.ts'

type Grant = Taking['grant']

export interface Arrival {
  readonly provider: string
  readonly sessionId: string
  /** As the provider sent them. */
  readonly code?: string | undefined
  readonly state?: string | undefined
  readonly error?: string | undefined
}

export type Connected =
  | { readonly outcome: 'connected'; readonly account: string; readonly username: string | null }
  /** Nothing is changed yet: the account is another user's. `answer` is what the owner's word goes with. */
  | {
      readonly outcome: 'other_user'
      readonly account: string
      readonly present: string | null
      readonly username: string | null
      readonly answer: string
    }

export const redirectUriOf = (appUrl: string, provider: string): string => `${appUrl}/connect/${provider}/callback`

/** The address at the provider where the owner approves. What comes back is taken once, within ten minutes. */
export async function startConnect(
  deps: OwnerDeps,
  { provider, account, sessionId }: { provider: string; account: string; sessionId: string },
): Promise<URL> {
  const connector = connectorOf(deps, provider)
  if (!isAccountName(account)) throw new AppError('invalid', ACCOUNT_NAME_RULE)
  const [state, verifier] = [deps.randomId(), deps.randomId()]
  await keep(deps, state, { sessionId, provider, account }, verifier)
  return connector.authorizeUrl({ state, verifier, redirectUri: redirectUriOf(deps.appUrl, provider) })
}

/** Throws `ConnectError` where the trip ended without a token; nothing is changed then. */
export async function finishConnect(deps: OwnerDeps, arrival: Arrival): Promise<Connected> {
  const { provider, sessionId, code, state, error } = arrival
  const connector = connectorOf(deps, provider)
  const { title } = connector
  const again = `Press “Connect ${title}” again; nothing was changed.`
  // A denial may come without its state, and changes nothing: it needs none.
  if (error !== undefined && state === undefined) throw denied(connector, error)
  const trip = state === undefined ? null : await take(deps, state, sessionId, provider)
  if (trip === null) throw new ConnectError('This answer does not belong to a request of yours, or was used already.', again)
  if (trip.tooOld) throw new ConnectError(`It took more than ten minutes to come back from ${title}.`, again)
  if (error !== undefined) throw denied(connector, error)
  if (code === undefined || code === '') throw new ConnectError(`${title} sent no code along.`, again)

  const askedAt = deps.store.now()
  const grant = await connector.exchangeCode(code, { verifier: trip.sealed, redirectUri: redirectUriOf(deps.appUrl, provider) })
  const profile = await connector.identify(grant.accessToken)
  const { account } = trip
  const over = await deps.store.find(account)
  if (over === null || over.providerUserId === null || over.providerUserId === profile.userId) {
    await takeGrant(deps, { account, provider, grant, profile, askedAt, actor: 'owner', over })
    return { outcome: 'connected', account, username: profile.username }
  }
  const answer = deps.randomId()
  await keep(deps, answer, { sessionId, provider: waiting(provider), account }, write({ grant, profile, askedAt, version: over.version }))
  return { outcome: 'other_user', account, present: over.username, username: profile.username, answer }
}

/** The owner's word that another user may take the account over. */
export async function confirmConnect(
  deps: OwnerDeps,
  { provider, sessionId, answer }: { provider: string; sessionId: string; answer: string },
): Promise<{ account: string }> {
  const { title } = connectorOf(deps, provider)
  const trip = await take(deps, answer, sessionId, waiting(provider))
  if (trip === null || trip.tooOld) {
    throw new ConnectError('This question was answered already, or more than ten minutes ago.', `Press “Connect ${title}” again.`)
  }
  const { version, ...pending } = read(trip.sealed)
  const over = await deps.store.find(trip.account)
  if (over?.version !== version) {
    throw new ConnectError('The account was changed since you were asked.', `Look at it, then press “Connect ${title}” again.`)
  }
  await takeGrant(deps, { ...pending, account: trip.account, provider, actor: 'owner', over })
  return { account: trip.account }
}

function connectorOf({ connectors }: OwnerDeps, provider: string): Connector {
  const connector = connectors.get(provider)
  if (connector === undefined) {
    throw new AppError('not_found', 'This agent cannot connect accounts of this provider: the credentials of an app are not set.')
  }
  return connector
}

function denied({ title }: Connector, error: string): ConnectError {
  if (error === 'access_denied') {
    return new ConnectError(
      `${title} says that the request was declined.`,
      `If that was a mistake, press “Connect ${title}” again and allow it; nothing was changed.`,
    )
  }
  return new ConnectError(`${title} ended the request with an error of its own.`, `Press “Connect ${title}” again in a few minutes.`)
}

interface Kept {
  readonly sessionId: string
  readonly provider: string
  readonly account: string
}

/** A grant that waits is no state that came back: one must not pass for the other. */
const waiting = (provider: string): string => `${provider} waits`

async function keep(deps: OwnerDeps, secret: string, kept: Kept, text: string): Promise<void> {
  const id = deps.hash(secret)
  await deps.states.keep(id, { ...kept, sealed: deps.vault.seal(new Secret(text), statePlace(id)) })
}

/** Whoever comes with it uses it up; only the browser and the provider that it was made for gets something for it. */
async function take(
  deps: OwnerDeps,
  secret: string,
  sessionId: string,
  provider: string,
): Promise<(Kept & { sealed: string; tooOld: boolean }) | null> {
  const id = deps.hash(secret)
  const state = await deps.states.take(id)
  if (state === null || state.sessionId !== sessionId || state.provider !== provider) return null
  const sealed = tryOpen(deps.vault, state.sealed, statePlace(id))
  return sealed === null ? null : { ...state, sealed: sealed.reveal() }
}

function statePlace(id: string): Place {
  return { table: 'oauth_states', row: id, column: 'sealed' }
}

interface Pending {
  readonly grant: Grant
  readonly profile: Profile
  readonly askedAt: Date
  readonly version: number
}

// A Secret prints itself as such, on purpose: its value is put into the text by hand, to be sealed.
function write({ grant, ...rest }: Pending): string {
  const { accessToken, refreshToken } = grant
  return JSON.stringify({ ...rest, grant: { ...grant, accessToken: accessToken.reveal(), refreshToken: refreshToken?.reveal() ?? null } })
}

function read(text: string): Pending {
  const { grant, askedAt, ...rest } = JSON.parse(text)
  const { accessToken, refreshToken } = grant
  return {
    ...rest,
    askedAt: new Date(askedAt),
    grant: { ...grant, accessToken: new Secret(accessToken), refreshToken: refreshToken === null ? null : new Secret(refreshToken) },
  }
}

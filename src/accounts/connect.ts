import { ACCOUNT_NAME_RULE, isAccountName } from '../core/account.ts'
import { digest, randomId } from '../core/digest.ts'
import { AppError, ConnectError } from '../core/errors.ts'
import type { Connect } from '../core/provider.ts'
import { type Authorization, answered, findAuthorization, once, stateFrom, underWayFor } from './authorization.ts'
import { challengeFor, tryOtherChallenge } from './challenge.ts'
import { type ConnectDeps, type Connected, connectableOf, redirectUriOf } from './connected.ts'
import { refuseOtherProvider } from './save-grant.ts'
import { question, saveConnected, settleChoice, settleLogin } from './settle-grant.ts'
import { openPending, type Pending, readTrip, seal, unseal, writeTrip } from './waiting-grant.ts'

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
  const [state, verifier] = [stateFrom(deps, randomId()), randomId()]
  const id = digest(state)
  const challenge = await challengeFor(deps, connect)
  const url = connect.authorizeUrl({ state, verifier, redirectUri, ...challenge })
  // Another process may finish it, and a pasted code comes without its state.
  const isOwn = redirectUri === redirectUriOf(deps.appUrl, provider)
  const text = isOwn ? verifier : writeTrip({ verifier, redirectUri, state })
  await deps.states.keep(id, { sessionId, provider, account, sealed: seal(deps.vault, id, text) })
  return url
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

/** Longer than all calls of one exchange may take together. */
const LONGEST_SECONDS = 60

/**
 * Throws `ConnectError` if the authorization ended without a token; nothing is changed then. A second callback, by a double
 * click, the back button or a reload, gets the result of the first.
 */
export async function finishConnect(deps: ConnectDeps, params: CallbackParams): Promise<Connected> {
  const { provider, code, state = '', error } = params
  const { connect, title } = connectableOf(deps, provider)
  const again = `Press “Connect ${title}” again; nothing was changed.`
  const authorization = await findAuthorization(deps, { ...params, state })
  if (error !== undefined) {
    const refused = connect.callbackError?.(error, params.errorDescription ?? '') ?? denied(title, error)
    // A denial changes nothing, and may arrive without its state.
    if (authorization === null) throw refused
    return tryOtherChallenge(deps, connect, refused)
  }
  if (authorization === null) throw new ConnectError('This answer does not belong to a request of yours, or was used already.', again)
  const running = authorization.step === 'sent' ? underWayFor(authorization) : answered(authorization)
  if (running != null) return running
  if (authorization.step !== 'sent') return askAgain(deps, connect, authorization)
  if (authorization.usedSecondsAgo !== null) {
    const happened = `This answer of ${title} was used ${authorization.usedSecondsAgo > LONGEST_SECONDS ? 'already' : 'a moment ago'}, and the account is not connected yet.`
    if (authorization.usedSecondsAgo > LONGEST_SECONDS) throw new ConnectError(happened, `Press “Connect ${title}” again.`)
    throw new ConnectError(happened, 'Reload this page in a few seconds.', { isTransient: true })
  }
  if (authorization.tooOld) throw new ConnectError(`It took more than ten minutes to come back from ${title}.`, again)
  if (code === undefined || code === '') throw new ConnectError(`${title} sent no code along.`, again)
  const trip = readTrip(unseal(deps.vault, authorization))
  if (trip === null) throw new ConnectError('No key of this agent opens the request that this answer belongs to.', again)

  const exchange = async (): Promise<Connected> => {
    const askedAt = deps.store.now()
    const { verifier, redirectUri = redirectUriOf(deps.appUrl, provider) } = trip
    const request = { verifier, redirectUri, scopes: params.scopes }
    const grant = await connect.exchangeCode(code, request).catch((failed: unknown) => tryOtherChallenge(deps, connect, failed))
    return settleLogin(deps, authorization, { grant, askedAt })
  }
  return once(deps, authorization, exchange, () => finishConnect(deps, params))
}

/** The question that waits for its answer, once more. */
async function askAgain(deps: ConnectDeps, { choice }: Connect, authorization: Authorization): Promise<Connected> {
  const pending = pendingIn(deps, authorization)
  if (pending === null) {
    const { title } = connectableOf(deps, authorization.provider)
    const again = `Press “Connect ${title}” again; nothing was changed.`
    throw new ConnectError('This question was asked more than ten minutes ago.', again)
  }
  if (authorization.step === 'waiting' || choice === undefined) return question(deps, authorization, pending)
  const choices = await choice.list(pending.grant)
  return { outcome: 'choice', account: authorization.account, choices, answer: authorization.state }
}

interface Answer {
  readonly provider: string
  readonly sessionId: string
  readonly answer: string
}

/** The owner chooses one of the accounts that the login leads to. */
export function chooseAccount(deps: ConnectDeps, answer: Answer & { readonly choice: string }): Promise<Connected> {
  return answerWith(deps, { ...answer, step: 'choosing' }, (authorization, pending) =>
    settleChoice(deps, authorization, { ...pending, choice: answer.choice }),
  )
}

/** The owner agrees that another user takes the account over. */
export function confirmConnect(deps: ConnectDeps, answer: Answer): Promise<Connected> {
  return answerWith(deps, { ...answer, step: 'waiting' }, (authorization, pending) => saveConnected(deps, authorization, pending))
}

/** The owner declines; the waiting grant is deleted at once. Null if the question was answered already. */
export async function declineConnect(deps: ConnectDeps, { answer: state, ...place }: Answer): Promise<{ account: string } | null> {
  const authorization = await findAuthorization(deps, { ...place, state })
  if (authorization?.step !== 'waiting' && authorization?.step !== 'choosing') return null
  await deps.states.forget(authorization.id)
  return { account: authorization.account }
}

/** Goes on with the grant that waits for the owner in this step. */
async function answerWith(
  deps: ConnectDeps,
  { answer: state, step, ...place }: Answer & { readonly step: Authorization['step'] },
  work: (authorization: Authorization, pending: Pending) => Promise<Connected>,
): Promise<Connected> {
  const { title } = connectableOf(deps, place.provider)
  const authorization = await findAuthorization(deps, { ...place, state })
  const isOpen = authorization?.step === step
  const before = authorization === null ? null : ((isOpen ? underWayFor(authorization) : undefined) ?? answered(authorization))
  if (before !== null) return before
  const pending = isOpen ? pendingIn(deps, authorization) : null
  if (authorization === null || pending === null)
    throw new ConnectError('This question was answered already, or more than ten minutes ago.', `Press “Connect ${title}” again.`)
  return once(
    deps,
    authorization,
    () => work(authorization, pending),
    () => answerWith(deps, { answer: state, step, ...place }, work),
  )
}

/** The grant that waits; null = for more than ten minutes, or no key opens it. */
const pendingIn = ({ vault }: ConnectDeps, authorization: Authorization): Pending | null =>
  authorization.tooOld ? null : openPending(vault, authorization)

function denied(title: string, error: string): ConnectError {
  if (error === 'access_denied') {
    return new ConnectError(
      `${title} says that the request was declined.`,
      `If that was a mistake, press “Connect ${title}” again and allow it; nothing was changed.`,
    )
  }
  return new ConnectError(`${title} ended the request with an error of its own.`, `Press “Connect ${title}” again in a few minutes.`)
}

import type { AccountEvent } from '../domain/account-store.ts'
import type { Connector } from '../domain/connector.ts'
import { AppError } from '../domain/errors.ts'
import type { OwnerDeps } from './owner-deps.ts'

/** The user has taken back what the app was allowed: from now on a person must connect the account again. */
export async function userDeauthorized(deps: OwnerDeps, provider: string, signedRequest: string): Promise<void> {
  const { connector, userId } = verified(deps, provider, signedRequest)
  const lastError = `The ${connector.title} user has taken the permission back: connect the account again.`
  for (const { name, version } of await deps.store.ofUser(provider, userId)) {
    const event: AccountEvent = { account: name, kind: 'reconnect_needed', actor: 'provider', outcome: 'failed', detail: lastError }
    const now = deps.store.now()
    const change = { state: 'reconnect', refusedAt: now, lastErrorCode: 'reconnect', lastError, nextRefreshAt: null } as const
    // Also ends a refresh under way, whose good news would be no longer true.
    if (!(await deps.store.replace(name, version, change, event))) throw tryAgain()
    await publish(deps, name)
  }
}

/** Erases what is stored of the user, and gives a code by which the user can see that it was done. */
export async function userWantsErasure(deps: OwnerDeps, provider: string, signedRequest: string): Promise<string> {
  const { connector, userId } = verified(deps, provider, signedRequest)
  const lastError = `The ${connector.title} user had the account’s data erased: connect the account again.`
  for (const { name, version } of await deps.store.ofUser(provider, userId)) {
    const event: AccountEvent = { account: name, kind: 'erased', actor: 'provider', outcome: 'ok', detail: lastError }
    if (!(await deps.store.replace(name, version, { ...NOTHING, lastError }, event))) throw tryAgain()
    deps.pictures.forget(name)
    await publish(deps, name)
  }
  const id = await deps.store.record({
    account: null,
    kind: 'erased',
    actor: 'provider',
    outcome: 'ok',
    detail: `A ${connector.title} user asked for it.`,
  })
  // Meta wants letters and digits alone.
  return id.replace('-', '')
}

/** When the erasure with this code was done; null = there is no such code. */
export async function erasureDoneAt({ store }: Pick<OwnerDeps, 'store'>, code: string): Promise<Date | null> {
  if (!/^[0-9a-f]{30}$/.test(code)) return null
  const event = await store.findEvent(`${code.slice(0, 14)}-${code.slice(14)}`)
  return event?.kind === 'erased' && event.account === null ? event.at : null
}

const NOTHING = {
  accessToken: null,
  refreshToken: null,
  refreshExpiresAt: null,
  providerUserId: null,
  providerAppUserId: null,
  username: null,
  scopes: null,
  state: 'reconnect',
  issuedAt: null,
  expiresAt: null,
  lastRefreshAt: null,
  nextRefreshAt: null,
  lastErrorCode: 'reconnect',
} as const

function verified({ connectors }: OwnerDeps, provider: string, signedRequest: string): { connector: Connector; userId: string } {
  const connector = connectors.get(provider)
  if (connector === undefined) throw new AppError('not_found', 'There is nothing at this address.')
  const user = connector.readSignedRequest(signedRequest)
  if (user === null) throw new AppError('forbidden', 'The request is not signed with the app’s secret.')
  return { connector, ...user }
}

async function publish(deps: OwnerDeps, name: string): Promise<void> {
  const account = await deps.store.find(name)
  if (account !== null) await deps.publish(account)
}

function tryAgain(): AppError {
  return new AppError('unavailable', 'The account is being changed at this moment; send the request again.')
}

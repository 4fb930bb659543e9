import { hasGrant } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore, EventKind } from '../core/account-store.ts'
import { digest } from '../core/digest.ts'
import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Provider, SignedCall } from '../core/provider.ts'
import { isMarked, marked, type Vault } from '../core/vault.ts'
import type { RefreshPolicy } from '../refreshing/next-refresh.ts'
import { nextRefreshAt } from '../refreshing/next-refresh.ts'
import { NO_GRANT } from '../refreshing/outcome.ts'
import { erasureOf } from './erasure.ts'
import { type Arrival, type LinkStore, userCode } from './links.ts'
import type { OAuthStateStore } from './oauth-states.ts'
import type { Pictures } from './pictures.ts'
import { type PublishDeps, publishChange } from './publish-change.ts'
import { isWaitingGrantOf, waitingSteps } from './waiting-grant.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

interface SignedRequestEffect {
  /** The answer to this call and its repetitions. */
  readonly answer: string
  /** Keep the row for good, not for two days: the call has no usable time. */
  readonly keepForGood: boolean
}

/** Stores inside the call's transaction; `now` is the database's time. */
interface SignedRequestScope {
  readonly store: Pick<AccountStore, 'ofUser' | 'replace' | 'record'>
  readonly states: Pick<OAuthStateStore, 'waiting' | 'forget'>
  readonly links: Pick<LinkStore, 'ofUser' | 'forget'>
  /** Voids grants of this user that were asked for before the instant and are on their way. */
  noteUser(code: string, at: Date): Promise<void>
  readonly now: Date
}

/** Calls signed by a provider, with their answers. */
export interface SignedRequests {
  /** Runs the effect and keeps its answer in one transaction. A repeated call gets the kept answer and has no effect. */
  answerOnce(digest: string, effect: (scope: SignedRequestScope) => Promise<SignedRequestEffect>): Promise<string>
  /** Runs `save` in one transaction. False where a call has named the user since the grant was asked for. */
  unlessErased(arrival: Pick<Arrival, 'askedAt' | 'codes'>, save?: (store: AccountStore) => Promise<void>): Promise<boolean>
  /** Deletes rows of calls that are too old to have an effect. */
  clear(): Promise<void>
}

export interface DeauthorizeDeps extends PublishDeps {
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly policy: RefreshPolicy
  readonly signedRequests: SignedRequests
  readonly pictures: Pick<Pictures, 'forget'>
  /** The agent's own origin. */
  readonly appUrl: string
  readonly log: Pick<Log, 'info'>
}

/** Handles Meta's deauthorize call: a person must connect the accounts again. Resolves with the answer's JSON. */
export function userDeauthorized(deps: DeauthorizeDeps, provider: string, signedRequest: string): Promise<string> {
  return answerOnce(deps, provider, signedRequest, async ({ title }, call, scope) => {
    const lastError = `The ${title} user has taken the permission back: connect the account again.`
    const change: AccountChange = { state: 'reconnect', refusedAt: scope.now, lastErrorCode: 'reconnect', lastError }
    // The daily refresh of a refused token stays: if the call is wrong, the account recovers by itself.
    const probe = { issuedAt: null, expiresAt: null, refused: true, failureCount: 0, retryAfterSeconds: null, minimumAgeSeconds: 0 }
    const nextRefresh = nextRefreshAt(probe, deps.policy, scope.now)
    const concern = await concernedAccounts(deps, provider, call, scope)
    // The write also voids a refresh under way, which would report success for a token that is revoked.
    for (const account of concern.accounts) {
      const next = hasGrant(account) ? nextRefresh : null
      const event = { ...eventOf(account.name, 'reconnect_needed', 'failed', lastError), endsFeed: true }
      if (!(await scope.store.replace(account.name, account.version, { ...change, nextRefreshAt: next }, event)))
        throw new ChangedConcurrently()
    }
    await recordIgnored(title, concern, scope, 'the user has taken the permission back')
    return { answer: '{}', touched: concern.accounts.map(({ name }) => name) }
  })
}

/** Handles Meta's data deletion call: erases the user's data. Resolves with the answer's JSON, which has a confirmation code. */
export function deleteUserData(deps: DeauthorizeDeps, provider: string, signedRequest: string): Promise<string> {
  return answerOnce(deps, provider, signedRequest, async ({ title }, call, scope) => {
    const lastError = `The ${title} user had the account’s data erased: connect the account again.`
    const concern = await concernedAccounts(deps, provider, call, scope)
    for (const { name, version } of concern.accounts) {
      const event = eventOf(name, 'erased', 'ok', lastError)
      if (!(await scope.store.replace(name, version, { ...ERASED, lastError }, event))) throw new ChangedConcurrently()
    }
    const ignoredId = await recordIgnored(title, concern, scope, 'the user wants the data erased')
    // Before the commit: a line too many erases what the provider asks for again, a line too few would bring a user back.
    if (!concern.isOld)
      deps.log.info(
        erasureOf(deps.vault, { provider, userId: call.userId }, new Date(Math.min(concern.issuedAtMs, scope.now.getTime()))),
        'a user had the data erased; a restore of an older backup needs this line',
      )
    const isIgnored = ignoredId !== null && concern.accounts.length === 0
    const id = isIgnored ? ignoredId : await scope.store.record(eventOf(null, 'erased', 'ok', `A ${title} user asked for it.`))
    // Meta accepts only letters and digits.
    const code = marked(deps.vault, CODE, id.replace('-', ''))
    const url = `${deps.appUrl}/callbacks/${provider}/deletions/${code}`
    return { answer: JSON.stringify({ url, confirmation_code: code }), touched: concern.accounts.map(({ name }) => name) }
  })
}

const CODE = 'deletion code'
const CODE_FORM = /^([0-9a-f]{14})([0-9a-f]{16})([0-9a-f]{32})?$/

/** The deletion request with this code; null = none. `isDone` is false if it was ignored for its age. */
export async function findDeletion(
  { store, vault }: { store: Pick<AccountStore, 'findEvent'>; vault: Vault },
  code: string,
): Promise<{ at: Date; isDone: boolean } | null> {
  const [, time, random, mac] = CODE_FORM.exec(code) ?? []
  if (time === undefined || (mac !== undefined && !isMarked(vault, CODE, code))) return null
  const find = () => store.findEvent(`${time}-${random}`)
  const event = await (mac === undefined ? limitUnmarked(find) : find())
  if (event?.kind === 'call_ignored') return { at: event.at, isDone: false }
  return event?.kind === 'erased' && event.account === null ? { at: event.at, isDone: true } : null
}

/** Codes of the previous release are unmarked, so anyone can make them up: few are looked up at a time. */
let unmarked = 0
const MAX_UNMARKED = 2
async function limitUnmarked<T>(work: () => Promise<T>): Promise<T> {
  if (unmarked >= MAX_UNMARKED)
    throw new AppError('unavailable', 'Too many such addresses are asked for at this moment; try again in a minute.')
  unmarked++
  try {
    return await work()
  } finally {
    unmarked--
  }
}

export const ERASED = { ...NO_GRANT, state: 'reconnect', lastRefreshAt: null, lastErrorCode: 'reconnect' } as const

/** Another process changed an account between read and write: the transaction has no effect. */
class ChangedConcurrently extends Error {}

type Effect = (provider: Provider, call: SignedCall, scope: SignedRequestScope) => Promise<{ answer: string; touched: string[] }>

async function answerOnce(deps: DeauthorizeDeps, name: string, signedRequest: string, effect: Effect): Promise<string> {
  const provider = deps.providers.get(name)
  if (provider?.connect?.readSignedRequest === undefined) throw new AppError('not_found', 'There is nothing at this address.')
  const call = provider.connect.readSignedRequest(signedRequest)
  if (call === null) throw new AppError('forbidden', 'The request is not signed with the app’s secret.')
  let touched: string[] = []
  const answer = await deps.signedRequests
    .answerOnce(digest(`${name}\0${call.signed}`), async (scope) => {
      const done = await effect(provider, call, scope)
      touched = done.touched
      return { answer: done.answer, keepForGood: plausibleIssuedAtMs(call, scope.now) === null }
    })
    .catch((error: unknown) => {
      if (error instanceof ChangedConcurrently)
        throw new AppError('unavailable', 'The account is being changed at this moment; send the request again.')
      throw error
    })
  for (const account of touched) {
    deps.pictures.forget(account)
    await publishChange(deps, account, 'provider')
  }
  return answer
}

/** In milliseconds since 1970. Null if the call has no plausible time: it never counts as old, and takes effect once. */
function plausibleIssuedAtMs({ issuedAtMs }: SignedCall, now: Date): number | null {
  return issuedAtMs === null || issuedAtMs > now.getTime() + DAY_MS ? null : issuedAtMs
}

interface Concern {
  readonly accounts: Awaited<ReturnType<SignedRequestScope['store']['ofUser']>>
  /** Connected after the call was made, so the user has approved the app again. */
  readonly skipped: readonly string[]
  /** Older than a provider still retries a call. */
  readonly isOld: boolean
  /** Infinite where the call does not say. */
  readonly issuedAtMs: number
}

/** The accounts that the call concerns. Also erases the user's grants that wait for the owner's answer. */
async function concernedAccounts(
  deps: DeauthorizeDeps,
  provider: string,
  call: SignedCall,
  { store, states, links, noteUser, now }: SignedRequestScope,
): Promise<Concern> {
  const issuedAtMs = plausibleIssuedAtMs(call, now) ?? Number.POSITIVE_INFINITY
  const isOld = issuedAtMs < now.getTime() - DAY_MS
  const isBefore = (since: Date): boolean => isOld || issuedAtMs < since.getTime() - MINUTE_MS
  const until = new Date(Math.min(now.getTime(), issuedAtMs + MINUTE_MS))
  if (!isOld) await noteUser(userCode(deps.vault, provider, call.userId), until)
  for (const state of await states.waiting(...waitingSteps(provider))) {
    if (isWaitingGrantOf(deps.vault, state, call.userId, isBefore)) await states.forget(state.id)
  }
  for (const { id, grantedAt } of await links.ofUser(provider, call.userId)) if (!isBefore(grantedAt)) await links.forget(id)
  const all = await store.ofUser(provider, call.userId)
  const skipped = all.filter(({ connectedAt }) => isBefore(connectedAt))
  return { accounts: all.filter((account) => !skipped.includes(account)), skipped: skipped.map(({ name }) => name), isOld, issuedAtMs }
}

/** Records that a call came too late for all or some of the user's accounts. Resolves with the event's id; null if it did not. */
async function recordIgnored(
  title: string,
  { skipped, isOld }: Concern,
  { store }: SignedRequestScope,
  what: string,
): Promise<string | null> {
  if (skipped.length === 0 && !isOld) return null
  const why = isOld ? 'was made more than a day ago' : 'was made before the account was connected'
  const account = skipped.length === 1 ? (skipped[0] ?? null) : null
  return store.record(eventOf(account, 'call_ignored', 'ok', `The call of ${title} that ${what} ${why}, so it was ignored.`))
}

function eventOf(account: string | null, kind: EventKind, outcome: AccountEvent['outcome'], detail: string): AccountEvent {
  return { account, kind, actor: 'provider', outcome, detail }
}

import type { AccountChange, AccountEvent, AccountStore, EventKind } from '../core/account-store.ts'
import { digest } from '../core/digest.ts'
import { AppError } from '../core/errors.ts'
import type { Provider, SignedCall } from '../core/provider.ts'
import { isMarked, marked, type Vault } from '../core/vault.ts'
import type { RefreshPolicy } from '../refreshing/next-refresh.ts'
import { nextRefreshAt } from '../refreshing/next-refresh.ts'
import type { Pictures } from './pictures.ts'
import { type PublishDeps, publishChange } from './publish-change.ts'
import type { SignedRequestScope, SignedRequests } from './signed-requests.ts'
import { isWaitingGrantOf, waiting } from './waiting-grant.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

export interface DeauthorizeDeps extends PublishDeps {
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly policy: RefreshPolicy
  readonly signedRequests: SignedRequests
  readonly pictures: Pick<Pictures, 'forget'>
  /** The agent's own origin. */
  readonly appUrl: string
}

/** The user has taken back what the app was allowed: from now on a person must connect the account again. Gives the answer's JSON. */
export function userDeauthorized(deps: DeauthorizeDeps, provider: string, signedRequest: string): Promise<string> {
  return answerOnce(deps, provider, signedRequest, async ({ title }, call, scope) => {
    const lastError = `The ${title} user has taken the permission back: connect the account again.`
    const change: AccountChange = { state: 'reconnect', refusedAt: scope.now, lastErrorCode: 'reconnect', lastError }
    // Asked once a day, as of every token that the provider refuses: should the call be wrong, the account recovers by itself.
    const probe = { issuedAt: null, expiresAt: null, refused: true, failureCount: 0, retryAfterSeconds: null, minimumAgeSeconds: 0 }
    const nextRefresh = nextRefreshAt(probe, deps.policy, scope.now)
    const concern = await concerned(deps, provider, call, scope)
    // Also ends a refresh under way, whose good news would be no longer true.
    for (const account of concern.accounts) {
      const next = account.accessToken === null ? null : nextRefresh
      const event = eventOf(account.name, 'reconnect_needed', 'failed', lastError)
      if (!(await scope.store.replace(account.name, account.version, { ...change, nextRefreshAt: next }, event)))
        throw new ChangedMeanwhile()
    }
    await ignored(title, concern, scope, 'the user has taken the permission back')
    return { answer: '{}', touched: concern.accounts.map(({ name }) => name) }
  })
}

/** Erases what is stored of the user, and gives a code by which the user can see that it was done: the answer's JSON. */
export function userWantsErasure(deps: DeauthorizeDeps, provider: string, signedRequest: string): Promise<string> {
  return answerOnce(deps, provider, signedRequest, async ({ title }, call, scope) => {
    const lastError = `The ${title} user had the account’s data erased: connect the account again.`
    const concern = await concerned(deps, provider, call, scope)
    for (const { name, version } of concern.accounts) {
      const event = eventOf(name, 'erased', 'ok', lastError)
      if (!(await scope.store.replace(name, version, { ...NOTHING, lastError }, event))) throw new ChangedMeanwhile()
    }
    const ignoredId = await ignored(title, concern, scope, 'the user wants the data erased')
    const isIgnored = ignoredId !== null && concern.accounts.length === 0
    const id = isIgnored ? ignoredId : await scope.store.record(eventOf(null, 'erased', 'ok', `A ${title} user asked for it.`))
    // Meta wants letters and digits alone.
    const code = marked(deps.vault, CODE, id.replace('-', ''))
    const url = `${deps.appUrl}/callbacks/${provider}/deletions/${code}`
    return { answer: JSON.stringify({ url, confirmation_code: code }), touched: concern.accounts.map(({ name }) => name) }
  })
}

const CODE = 'deletion code'
const CODE_FORM = /^([0-9a-f]{14})([0-9a-f]{16})([0-9a-f]{32})?$/

/** The request with this code; null = there is none. `isDone` is false where it was ignored for its age. */
export async function findErasure(
  { store, vault }: { store: Pick<AccountStore, 'findEvent'>; vault: Vault },
  code: string,
): Promise<{ at: Date; isDone: boolean } | null> {
  const [, time, random, mac] = CODE_FORM.exec(code) ?? []
  if (time === undefined || (mac !== undefined && !isMarked(vault, CODE, code))) return null
  const find = () => store.findEvent(`${time}-${random}`)
  const event = await (mac === undefined ? unmarkedInTurn(find) : find())
  if (event?.kind === 'call_ignored') return { at: event.at, isDone: false }
  return event?.kind === 'erased' && event.account === null ? { at: event.at, isDone: true } : null
}

/** The release before gave codes without a mark, which anybody can make up: few are looked for at a time. */
let unmarked = 0
const MAX_UNMARKED = 2
async function unmarkedInTurn<T>(work: () => Promise<T>): Promise<T> {
  if (unmarked >= MAX_UNMARKED)
    throw new AppError('unavailable', 'Too many such addresses are asked for at this moment; try again in a minute.')
  unmarked++
  try {
    return await work()
  } finally {
    unmarked--
  }
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

/** Another process changed an account between the look at it and the change: nothing is done yet. */
class ChangedMeanwhile extends Error {}

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
      return { answer: done.answer, keepForGood: believable(call, scope.now) === null }
    })
    .catch((error: unknown) => {
      if (error instanceof ChangedMeanwhile)
        throw new AppError('unavailable', 'The account is being changed at this moment; send the request again.')
      throw error
    })
  for (const account of touched) {
    deps.pictures.forget(account)
    await publishChange(deps, account, 'provider')
  }
  return answer
}

/** In milliseconds since 1970. Null where the call tells no time that can be: it is old enough for nothing then, but has its effect once. */
function believable({ issuedAtMs }: SignedCall, now: Date): number | null {
  return issuedAtMs === null || issuedAtMs > now.getTime() + DAY_MS ? null : issuedAtMs
}

interface Concern {
  readonly accounts: Awaited<ReturnType<SignedRequestScope['store']['ofUser']>>
  /** Connected after the call was made: the user has approved the app again since. */
  readonly spared: readonly string[]
  /** Older than any call that a provider may still be sending. */
  readonly isOld: boolean
}

/** What the call is about; the user's grants that wait for the owner's word are erased with it. */
async function concerned(
  deps: DeauthorizeDeps,
  provider: string,
  call: SignedCall,
  { store, states, now }: SignedRequestScope,
): Promise<Concern> {
  const issuedAtMs = believable(call, now) ?? Number.POSITIVE_INFINITY
  const isOld = issuedAtMs < now.getTime() - DAY_MS
  const isBefore = (since: Date): boolean => isOld || issuedAtMs < since.getTime() - MINUTE_MS
  for (const state of await states.waiting(waiting(provider))) {
    if (isWaitingGrantOf(deps.vault, state, call.userId, isBefore)) await states.forget(state.id)
  }
  const all = await store.ofUser(provider, call.userId)
  const spared = all.filter(({ connectedAt }) => isBefore(connectedAt))
  return { accounts: all.filter((account) => !spared.includes(account)), spared: spared.map(({ name }) => name), isOld }
}

/** The event of a call that came too late, for all or some of the user's accounts; null where it did not. */
async function ignored(title: string, { spared, isOld }: Concern, { store }: SignedRequestScope, what: string): Promise<string | null> {
  if (spared.length === 0 && !isOld) return null
  const why = isOld ? 'was made more than a day ago' : 'was made before the account was connected'
  const account = spared.length === 1 ? (spared[0] ?? null) : null
  return store.record(eventOf(account, 'call_ignored', 'ok', `The call of ${title} that ${what} ${why}, so it was ignored.`))
}

function eventOf(account: string | null, kind: EventKind, outcome: AccountEvent['outcome'], detail: string): AccountEvent {
  return { account, kind, actor: 'provider', outcome, detail }
}

import type { Account, AccountState, Actor } from './account.ts'

export type EventKind =
  | 'seeded'
  | 'seed_refused'
  | 'replaced'
  | 'verified'
  | 'refreshed'
  | 'refresh_failed'
  | 'reconnect_needed'
  | 'created'
  | 'connected'
  | 'changed'
  | 'paused'
  | 'resumed'
  | 'made_default'
  | 'removed'
  | 'erased'
  | 'call_ignored'
  | 'signed_in'
  | 'sign_in_failed'
  | 'alert_sent'
  | 'signed_out'
  | 'provider_trouble'
  | 'grant_waits'

/** A line in an account's history; `account` is null where it concerns none. `detail` is safe to show. */
export interface AccountEvent {
  readonly account: string | null
  readonly kind: EventKind
  readonly actor: Actor
  readonly outcome: 'ok' | 'failed'
  readonly detail: string | null
  /** The user took the permission back: the posts and pictures go in the same transaction. */
  readonly endsFeed?: boolean
}

export interface RecordedEvent extends AccountEvent {
  readonly id: string
  readonly at: Date
}

/** An account that only this process may refresh until its lease lapses. */
export interface Claim {
  readonly account: Account
  readonly attemptId: string
  /** By the database's clock. All times of the attempt count from it. */
  readonly claimedAt: Date
  /** The start of an earlier attempt whose process died; null = there is none. */
  readonly interruptedAt: Date | null
}

export interface ClaimRequest {
  readonly leaseOwner: string
  readonly leaseSeconds: number
  readonly limit: number
  /** Only this account. */
  readonly account?: string
  /** Only accounts of this provider. */
  readonly provider?: string
  /** No accounts of these providers. */
  readonly exceptProviders?: readonly string[]
  /** Also accounts that are not due; leases still hold. */
  readonly force?: boolean
  /** With `force`: only accounts whose token ends by then, or has no known end. */
  readonly endsWithinSeconds?: number
}

/** The columns that a write may set. Tokens are sealed. */
export type AccountChange = Partial<
  Pick<
    Account,
    | 'providerUserId'
    | 'providerAppUserId'
    | 'username'
    | 'accessToken'
    | 'refreshToken'
    | 'scopes'
    | 'pageUseConfirmedAt'
    | 'pageUseEndedAt'
    | 'allowedDomains'
    | 'jsConstant'
    | 'serves'
    | 'feedOpen'
    | 'pausedAt'
    | 'state'
    | 'issuedAt'
    | 'expiresAt'
    | 'refreshExpiresAt'
    | 'reconnectBy'
    | 'neverExpires'
    | 'lastRefreshAt'
    | 'nextRefreshAt'
    | 'failureCount'
    | 'refusedAt'
    | 'lastErrorCode'
    | 'lastError'
    | 'seedFingerprint'
    | 'trustedAt'
    | 'connectedAt'
    | 'checkedAt'
    | 'nextCheckAt'
    | 'doubted'
    | 'doubtedAt'
  >
>

export interface NewAccount extends AccountChange {
  readonly name: string
  readonly provider: string
  readonly state: AccountState
}

/** An account as readers see it, also a removed one. */
export interface Look {
  /** The database's time of the query. */
  readonly at: Date
  /** The store's namespace in a shared cache; null = no start has prepared the store yet. */
  readonly cacheId: string | null
  /** Null = it never existed. A removed account has only its name, version and revision. */
  readonly account: Account | null
  readonly isRemoved: boolean
}

export interface AccountStore {
  /** The database's clock, extrapolated from its last answer; this machine's clock before the first answer. */
  now(): Date
  /** The same in milliseconds since 1970. A read calls it twice, and a Date costs more than the rest of its checks. */
  nowMs(): number
  /** False while the estimate of the database's clock is too old or too uncertain to compute an age. */
  isClockSure(): boolean
  /** Null = the default, as in `find`. */
  look(name: string | null): Promise<Look>
  /** Null = the default, which `/token.js` serves: the first account ever created, or the one made the default since. */
  find(name: string | null): Promise<Account | null>
  /** Ordered by name: all accounts, or a page of those after a name. */
  list(page?: { readonly after: string; readonly limit: number }): Promise<Account[]>
  /** The accounts of this user; `userId` is `providerUserId` or `providerAppUserId`. */
  ofUser(provider: string, userId: string): Promise<Account[]>
  /** The fingerprint of the account's last accepted seed, also of a removed account. */
  seedFingerprint(name: string): Promise<string | null>
  /** False where the name is taken. */
  insert(account: NewAccount, event: AccountEvent): Promise<boolean>
  /**
   * Replaces the token of `version`, raises the version and voids every running attempt. False where the version has
   * changed.
   */
  replace(name: string, version: number, change: AccountChange, event: AccountEvent): Promise<boolean>
  /** Changes other columns than the token; version and running attempts stay. False where there is no account. */
  update(name: string, change: AccountChange, event: AccountEvent): Promise<boolean>
  /** From now on `/token.js` serves this account. False where there is no such account. */
  makeDefault(name: string, event: AccountEvent): Promise<boolean>
  /** Erases all but the history and voids every running attempt. No other account becomes the default. */
  remove(name: string, event: AccountEvent): Promise<boolean>
  /** Gives each due, unleased account to one caller; the most overdue first. */
  claimDue(request: ClaimRequest): Promise<Claim[]>
  /**
   * Ends an attempt and records its event. A token in the change raises the version. False where the attempt is void:
   * another process took over after its lease, or the token was replaced. A new refresh token may be the only one that
   * works, so it also counts after a take-over, as long as the row has the version that it replaces.
   */
  commit(claim: Claim, change: AccountChange, event: AccountEvent): Promise<boolean>
  /** Returns an unused claim; the account is due as before. */
  release(claim: Claim, nextRefreshAt: Date | null): Promise<void>
  /** Returns the event's id. */
  record(event: AccountEvent): Promise<string>
  /** Newest first; null = events that concern no account. `before` = the id of an event; only older ones follow. */
  events(account: string | null, limit: number, before?: string): Promise<RecordedEvent[]>
  findEvent(id: string): Promise<RecordedEvent | null>
  /** Runs `work` in one transaction: all of its writes count, or none. Use only the given store inside. */
  atomically<T>(work: (store: AccountStore) => Promise<T>): Promise<T>
  /** Writes the same tokens sealed with another key. False where the row has changed since it was read. */
  reseal(account: Account, sealed: Pick<Account, 'accessToken' | 'refreshToken'>): Promise<boolean>
}

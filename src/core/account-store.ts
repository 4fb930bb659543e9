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

/** One thing that happened to an account; `detail` is safe to show. */
export interface AccountEvent {
  readonly account: string | null
  readonly kind: EventKind
  readonly actor: Actor
  readonly outcome: 'ok' | 'failed'
  readonly detail: string | null
}

export interface RecordedEvent extends AccountEvent {
  readonly id: string
  readonly at: Date
}

/** An account that this process alone may refresh, until its lease lapses. */
export interface Claim {
  readonly account: Account
  readonly attemptId: string
  /** The database's clock at the claim: every time that follows is counted from it. */
  readonly claimedAt: Date
  /** An earlier attempt was left open: its process died before it could say how it ended. */
  readonly interruptedAt: Date | null
}

export interface ClaimRequest {
  readonly leaseOwner: string
  readonly leaseSeconds: number
  readonly limit: number
  /** Only this account. */
  readonly account?: string
  /** Only accounts of this provider, or of any but these. */
  readonly provider?: string
  readonly exceptProviders?: readonly string[]
  /** Also where it is not due yet; a lease is respected all the same. */
  readonly force?: boolean
}

/** The columns that one step of an account's life may set; sealed values as text. */
export type AccountChange = Partial<
  Pick<
    Account,
    | 'providerUserId'
    | 'providerAppUserId'
    | 'username'
    | 'accessToken'
    | 'refreshToken'
    | 'scopes'
    | 'allowedDomains'
    | 'jsConstant'
    | 'pausedAt'
    | 'state'
    | 'issuedAt'
    | 'expiresAt'
    | 'refreshExpiresAt'
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

/** An account as its readers see it, removed ones too. */
export interface Look {
  /** The database's time of the statement that read it. */
  readonly at: Date
  /** Names this store in a shared cache; null = no start has prepared the store yet. */
  readonly cacheId: string | null
  /** Null = there has never been one. Of a removed one only name, version and revision are left. */
  readonly account: Account | null
  readonly isRemoved: boolean
}

export interface AccountStore {
  /** The database's clock, as of the last answer; this machine's before there was one. Two machines may differ by days. */
  now(): Date
  /** The same in milliseconds since 1970. A read asks it twice, and a Date costs more than the rest of its checks. */
  nowMs(): number
  /** False where the database's clock is not known well enough to judge an age by it. */
  isClockSure(): boolean
  /** Null = the default, as in `find`. */
  look(name: string | null): Promise<Look>
  /** Null = the default, which `/token.js` serves: the first account ever created, or the one that was made the default since. */
  find(name: string | null): Promise<Account | null>
  /** By name: all, or a page of those that follow a name. */
  list(page?: { readonly after: string; readonly limit: number }): Promise<Account[]>
  /** The accounts of this user of the provider, whichever of the two ids it is called by. */
  ofUser(provider: string, userId: string): Promise<Account[]>
  /** The fingerprint of the seed that the account took last, also where it has been removed since. */
  seedFingerprint(name: string): Promise<string | null>
  /** False where the name is taken. */
  insert(account: NewAccount, event: AccountEvent): Promise<boolean>
  /**
   * Puts another token in place of the one with `version`, raises the version, and voids every attempt under way.
   * False where another process was faster.
   */
  replace(name: string, version: number, change: AccountChange, event: AccountEvent): Promise<boolean>
  /** Changes what is not the token: neither the version nor an attempt under way is touched. False where there is no account. */
  update(name: string, change: AccountChange, event: AccountEvent): Promise<boolean>
  /** From now on `/token.js` serves this account. False where there is no such account. */
  makeDefault(name: string, event: AccountEvent): Promise<boolean>
  /** Erases all but its history, and voids every attempt under way. No other account becomes the default in its place. */
  remove(name: string, event: AccountEvent): Promise<boolean>
  /** Gives each due, unleased account to one caller; most overdue first. */
  claimDue(request: ClaimRequest): Promise<Claim[]>
  /**
   * Ends an attempt, with its event. The version goes up where the change has a token. False where the attempt is
   * no longer ours: its lease lapsed and another process took over, or the token was replaced meanwhile.
   */
  commit(claim: Claim, change: AccountChange, event: AccountEvent): Promise<boolean>
  /** Gives an account back that nothing was done with, due as it was before the claim. */
  release(claim: Claim, nextRefreshAt: Date | null): Promise<void>
  /** Gives the event's id. */
  record(event: AccountEvent): Promise<string>
  /** Newest first; null = those that concern no account. Only those older than the event with the id `before`. */
  events(account: string | null, limit: number, before?: string): Promise<RecordedEvent[]>
  findEvent(id: string): Promise<RecordedEvent | null>
  /** Swaps one sealing for another of the same values; false where the row has changed since it was read. */
  reseal(account: Account, sealed: Pick<Account, 'accessToken' | 'refreshToken'>): Promise<boolean>
}

import type { AccountStore } from '../core/account-store.ts'
import type { OAuthStateStore } from './oauth-states.ts'

export interface SignedRequestEffect {
  /** The answer to this call and its repetitions. */
  readonly answer: string
  /** Keep the row for good, not for two days: the call has no usable time. */
  readonly keepForGood: boolean
}

/** Stores inside the call's transaction; `now` is the database's time. */
export interface SignedRequestScope {
  readonly store: Pick<AccountStore, 'ofUser' | 'replace' | 'record'>
  readonly states: Pick<OAuthStateStore, 'waiting' | 'forget'>
  readonly now: Date
}

/** Calls signed by a provider, with their answers. */
export interface SignedRequests {
  /** Runs the effect and keeps its answer in one transaction. A repeated call gets the kept answer and has no effect. */
  answerOnce(digest: string, effect: (scope: SignedRequestScope) => Promise<SignedRequestEffect>): Promise<string>
  /** Deletes rows of calls that are too old to have an effect. */
  clear(): Promise<void>
}

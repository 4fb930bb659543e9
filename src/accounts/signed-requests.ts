import type { AccountStore } from '../core/account-store.ts'
import type { OAuthStateStore } from './oauth-states.ts'

export interface SignedRequestEffect {
  /** What the same call is answered from now on. */
  readonly answer: string
  /** For good, not for two days: the call does not say how old it is. */
  readonly keepForGood: boolean
}

/** Within the transaction of the call, with the database's clock. */
export interface SignedRequestScope {
  readonly store: Pick<AccountStore, 'ofUser' | 'replace' | 'record'>
  readonly states: Pick<OAuthStateStore, 'waiting' | 'forget'>
  readonly now: Date
}

/** The calls that a provider signs, and what they were answered. */
export interface SignedRequests {
  /** Has the effect and keeps its answer, both or neither; the same call again has no effect and gets the answer that is kept. */
  answerOnce(digest: string, effect: (scope: SignedRequestScope) => Promise<SignedRequestEffect>): Promise<string>
  /** Removes those that are too old to have an effect. */
  clear(): Promise<void>
}

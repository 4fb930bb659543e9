import type { Challenge } from '../core/provider.ts'

/** One authorization request, as stored. Ids are hashes of the OAuth `state`. */
export interface OAuthState {
  readonly sessionId: string
  /** The provider's name, and how far the request has come: see `waiting` and `connected`. */
  readonly provider: string
  readonly account: string
  readonly sealed: string
}

export interface KeptState extends OAuthState {
  readonly id: string
  /** Kept more than ten minutes ago. */
  readonly tooOld: boolean
  readonly usedSecondsAgo: number | null
}

export interface OAuthStateStore {
  keep(id: string, state: OAuthState): Promise<void>
  find(id: string): Promise<KeptState | null>
  /** Empties the row; false if it was used before. The row stays, so that a second callback can be answered. */
  use(id: string): Promise<boolean>
  /** Moves a used row on to its next step. With a non-empty `sealed` its ten minutes begin again. */
  advance(id: string, step: Pick<OAuthState, 'provider' | 'sealed'>): Promise<void>
  forget(id: string): Promise<void>
  /** All rows of these steps that are not empty. */
  waiting(...steps: string[]): Promise<KeptState[]>
  /** How PKCE challenges are written since one way was refused; null = none was. */
  challenge(): Promise<Challenge | null>
  preferChallenge(challenge: Challenge): Promise<void>
  /** Deletes outdated rows. */
  clear(): Promise<void>
}

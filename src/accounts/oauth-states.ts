/** One trip of the owner to a provider, as the store remembers it. Ids are hashes of what the browser brings. */
export interface OAuthState {
  readonly sessionId: string
  /** And how far the trip is. */
  readonly provider: string
  readonly account: string
  readonly sealed: string
}

export interface KeptState extends OAuthState {
  readonly id: string
  /** More than ten minutes have passed since it was kept. */
  readonly tooOld: boolean
  readonly usedSecondsAgo: number | null
}

export interface OAuthStateStore {
  keep(id: string, state: OAuthState): Promise<void>
  find(id: string): Promise<KeptState | null>
  /** Empties it; of two that come with the same one, false for the second. The row stays, so that the second is told what happened. */
  use(id: string): Promise<boolean>
  /** A used one goes on as another step, with ten minutes of its own where it holds something again. */
  advance(id: string, step: Pick<OAuthState, 'provider' | 'sealed'>): Promise<void>
  forget(id: string): Promise<void>
  /** Those of one step that still hold something. */
  waiting(provider: string): Promise<KeptState[]>
  /** Removes what is of no use any more. */
  clear(): Promise<void>
}

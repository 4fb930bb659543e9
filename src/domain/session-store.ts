/** A browser in which the owner is signed in. Ids are hashes of what the browser holds. */
export interface SessionStore {
  create(id: string, credential: string): Promise<void>
  /** The session's credential, and counts as a sign of life; null where it ended, by its age or for want of such signs. */
  touch(id: string): Promise<string | null>
  /** The same without counting: a page that asks by itself is no sign of life. */
  peek(id: string): Promise<string | null>
  end(id: string): Promise<void>
  endAll(): Promise<void>
}

/** One trip to a provider, as it is remembered until it comes back. */
export interface OAuthState {
  readonly sessionId: string
  readonly provider: string
  readonly account: string
  readonly sealed: string
}

export interface OAuthStateStore {
  keep(id: string, state: OAuthState): Promise<void>
  /** Gives it out once; `tooOld` where it came after its ten minutes. */
  take(id: string): Promise<(OAuthState & { readonly tooOld: boolean }) | null>
}

/** Counts what is tried, for all instances together. */
export interface SignInAttempts {
  /** Counts an attempt as failed before it is made; or says in how many seconds the next one may be. */
  begin(source: string): Promise<{ readonly allowed: true } | { readonly allowed: false; readonly waitSeconds: number }>
  /** It was the right password after all. */
  succeed(source: string): Promise<void>
}

/** Browsers in which the owner is signed in. An id is the hash of the browser's cookie. */
export interface SessionStore {
  /** Resolves with the time of the database. */
  create(id: string, credential: string): Promise<Date>
  /** The session's credential; also renews its idle time. Null if the session has ended, by age or idleness. */
  touch(id: string): Promise<string | null>
  /** As `touch`, without renewing the idle time: for requests that a page makes by itself. */
  peek(id: string): Promise<string | null>
  /** Whether the session is alive, by a list read at most once a second: made-up ids cost the store nothing. */
  isListed(id: string): Promise<boolean>
  end(id: string): Promise<void>
  endAll(): Promise<void>
}

/** All instances together check one sign-in in this time: four a second. */
export const TURN_MS = 250

/** The turns and tries of sign-ins, shared by all instances. */
export interface SignInAttempts {
  /** Takes the current turn of `TURN_MS`; if another instance has it, says how soon the next one opens. */
  takeTurn(): Promise<{ readonly taken: true } | { readonly taken: false; readonly opensInMs: number }>
  /** A ticket is spent by one check of a password; false if it was spent before. */
  spend(ticket: string): Promise<boolean>
  /** Takes a try of a known browser; false if none is left, or if the owner has signed out everywhere since `knownSince`. */
  takeDeviceTry(device: string, knownSince: Date): Promise<boolean>
  /** Gives a known browser all its tries back, after the right password. */
  forgive(device: string): Promise<void>
}

/** Counts the wrong passwords of all instances over a day, which begins with the first one. */
export interface WrongPasswords {
  /** Adds one and resolves with the count. */
  add(): Promise<number>
  ofDay(): Promise<WrongOfDay | null>
  /** Claims the alert once a day for one process, if the count has reached `limit`. The claim lapses without `settleAlert`. */
  claimAlert(limit: number, leaseSeconds: number): Promise<WrongOfDay | null>
  settleAlert(detail: string): Promise<void>
}

export interface WrongOfDay {
  readonly count: number
  readonly since: Date
}

/** A browser in which the owner is signed in. Ids are hashes of what the browser holds. */
export interface SessionStore {
  /** Gives the moment by the clock of the database. */
  create(id: string, credential: string): Promise<Date>
  /** The session's credential, and counts as a sign of life; null where it ended, by its age or for want of such signs. */
  touch(id: string): Promise<string | null>
  /** The same without counting: a page that asks by itself is no sign of life. */
  peek(id: string): Promise<string | null>
  /** Whether it is alive, by a list that is read once a second at most: for ids that a stranger may have made up. */
  isListed(id: string): Promise<boolean>
  end(id: string): Promise<void>
  endAll(): Promise<void>
}

/** One sign-in is looked at in this time, over all instances: four a second. */
export const TURN_MS = 250

/** The order in which sign-ins are looked at, kept for all instances together. */
export interface SignInAttempts {
  /** Takes the look of the next `TURN_MS`; where it is taken, says how soon the next one is open. */
  takeTurn(): Promise<{ readonly taken: true } | { readonly taken: false; readonly opensInMs: number }>
  /** A ticket is good for one look: false where it has had it. */
  spend(ticket: string): Promise<boolean>
  /** Takes one of the few tries of a known browser; false where none is left, or where the owner has signed out everywhere since. */
  takeDeviceTry(device: string, knownSince: Date): Promise<boolean>
  /** The browser gave the right password: it has all its tries again. */
  forgive(device: string): Promise<void>
}

/** How many wrong passwords all instances together have seen since the first one of a day. */
export interface WrongPasswords {
  /** Counts one more, and gives the count. */
  add(): Promise<number>
  ofDay(): Promise<WrongOfDay | null>
  /** Once a day, for one process, where the count has reached `limit`; given out again when the lease ends without `settleAlert`. */
  claimAlert(limit: number, leaseSeconds: number): Promise<WrongOfDay | null>
  settleAlert(detail: string): Promise<void>
}

export interface WrongOfDay {
  readonly count: number
  readonly since: Date
}

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { unquoted } from '../core/quotes.ts'
import type { Secret } from '../core/secret.ts'

/** In UTF-16 units. A form with a longer one would not fit into a request's body. */
export const MAX_PASSWORD_LENGTH = 1024

/** How the owner proves to be the owner. */
export interface PasswordCheck {
  /** `one-time`: no password is set, and the log has one that works once. `off`: no password is set, and none can be had. */
  readonly mode: 'password' | 'one-time' | 'off'
  /** True where the one of `one-time` has been used. */
  isSpent(): boolean
  /** Spends the one of `one-time`. */
  matches(candidate: string): boolean
  /** Changes with the password, and so ends what began with another one: sessions, and known browsers. */
  readonly credential: string
}

const NO_PASSWORD: PasswordCheck = { mode: 'off', isSpent: () => false, matches: () => false, credential: '' }

/**
 * No slow hash: the password stands in the environment, so a stored hash of it is not what must be guarded. How many
 * guesses are looked at is bounded elsewhere.
 */
export function createPasswordCheck(password: Secret): PasswordCheck {
  const credential = createHash('sha256').update(`admin\0${password.reveal()}`).digest('base64url')
  return { mode: 'password', isSpent: () => false, matches: comparer(password.reveal()), credential }
}

/**
 * With no password set, an agent with a store of its own has one that works once. Several instances on one database would
 * each print another, and only one of them would know the one that is typed.
 */
export function choosePassword(
  set: Secret | null,
  hasOwnStore: boolean,
): { readonly password: string | null; readonly check: PasswordCheck } {
  if (set !== null) return { password: null, check: createPasswordCheck(set) }
  return hasOwnStore ? createOneTimePassword() : { password: null, check: NO_PASSWORD }
}

/** A password for the log, which works until it has worked once. */
export function createOneTimePassword(): { readonly password: string; readonly check: PasswordCheck } {
  const password = randomBytes(15).toString('base64url')
  const matches = comparer(password)
  let spent = false
  return {
    password,
    check: {
      mode: 'one-time',
      isSpent: () => spent,
      matches(candidate) {
        if (!matches(candidate) || spent) return false
        spent = true
        return true
      },
      // The session that it began outlives the process, and ends once there is a real password.
      credential: 'one-time password',
    },
  }
}

/** In constant time, and by digests: not even the length of the password shows. */
function comparer(password: string): (candidate: string) => boolean {
  const expected = digest(password)
  return (candidate) => timingSafeEqual(digest(candidate), expected)
}

// One keyboard writes é as one character, another as two; an environment variable has no blanks at its ends, and those who
// set it in quotes may type them.
function digest(password: string): Buffer {
  return createHash('sha256')
    .update(unquoted(password.normalize('NFC')))
    .digest()
}

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Log } from '../core/log.ts'
import { unquoted } from '../core/quotes.ts'
import type { Secret } from '../core/secret.ts'

/** In UTF-16 units. A longer password would not fit into a request's body. */
export const MAX_PASSWORD_LENGTH = 1024

/** The check of the owner's password. */
export interface PasswordCheck {
  /** `one-time`: ADMIN_PASSWORD is unset, and the log shows a password that works once. `off`: unset, and sign-in is off. */
  readonly mode: 'password' | 'one-time' | 'off'
  /** True once the one-time password has been used. */
  isSpent(): boolean
  /** A match spends the one-time password. */
  matches(candidate: string): boolean
  /** Changes with the password, which ends the sessions and known browsers of the old one. */
  readonly credential: string
}

const NO_PASSWORD: PasswordCheck = { mode: 'off', isSpent: () => false, matches: () => false, credential: '' }

/** No slow hash: the password itself stands in the environment, and draw.ts bounds the guesses per second. */
export function createPasswordCheck(password: Secret): PasswordCheck {
  const credential = createHash('sha256').update(`admin\0${password.reveal()}`).digest('base64url')
  return { mode: 'password', isSpent: () => false, matches: comparer(password.reveal()), credential }
}

/**
 * Without ADMIN_PASSWORD, an agent with an embedded store gets a one-time password. On a shared database each instance
 * would print another one, and only that instance would accept it.
 */
export function choosePassword(
  set: Secret | null,
  hasOwnStore: boolean,
): { readonly password: string | null; readonly check: PasswordCheck } {
  if (set !== null) return { password: null, check: createPasswordCheck(set) }
  return hasOwnStore ? createOneTimePassword() : { password: null, check: NO_PASSWORD }
}

/** A password for the log that works once. */
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
      // Constant, so that its session outlives a restart and ends once ADMIN_PASSWORD is set.
      credential: 'one-time password',
    },
  }
}

/** Compares digests in constant time: the duration shows not even the password's length. */
function comparer(password: string): (candidate: string) => boolean {
  const expected = digest(password)
  return (candidate) => timingSafeEqual(digest(candidate), expected)
}

// Keyboards write é as one character or as two. `unquoted` drops outer blanks and quotes, as the configuration does.
function digest(password: string): Buffer {
  return createHash('sha256')
    .update(unquoted(password.normalize('NFC')))
    .digest()
}

/** Logs the one-time password, and returns it for a person at a terminal; null = there is none. */
export function announceOneTime(log: Pick<Log, 'warn'>, appUrl: string, password: string | null): string | null {
  if (password !== null) log.warn({}, `ADMIN_PASSWORD is not set. To sign in once at ${appUrl}/admin use this password: ${password}`)
  return password
}

import { createHash, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import type { PasswordCheck } from './domain/password-check.ts'
import type { Secret } from './domain/secret.ts'

// 32 MB and about 100 ms a guess. More would only slow the reads beside it: how many guesses there are is bounded elsewhere.
const COST: ScryptOptions = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 }
const KEY_BYTES = 32
const MAX_LENGTH = 1024

/**
 * The password itself stands in the environment, so a slow hash does not guard a stored one here. It makes every guess
 * cost the same and dear, and what is compared has one length, whatever was typed.
 */
export function createPasswordCheck(password: Secret): PasswordCheck {
  return { mode: 'password', isSpent: () => false, matches: comparer(password.reveal()), credential: digest(password.reveal()) }
}

/** A password for the log, which works until it has worked once. */
export function createOneTimePassword(): { password: string; check: PasswordCheck } {
  const password = randomBytes(15).toString('base64url')
  const matches = comparer(password)
  let spent = false
  return {
    password,
    check: {
      mode: 'one-time',
      isSpent: () => spent,
      async matches(candidate) {
        if (!(await matches(candidate)) || spent) return false
        spent = true
        return true
      },
      // The session that it began outlives the process, and ends once there is a real password.
      credential: 'one-time password',
    },
  }
}

export const NO_PASSWORD: PasswordCheck = { mode: 'off', isSpent: () => false, matches: async () => false, credential: '' }

function comparer(password: string): (candidate: string) => Promise<boolean> {
  const salt = randomBytes(16)
  const expected = derive(password, salt)
  return async (candidate) => {
    if (candidate.length > MAX_LENGTH) return false
    return timingSafeEqual(await derive(candidate, salt), await expected)
  }
}

function derive(password: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // One keyboard writes é as one character, another as two; and an environment variable has no blanks at its ends.
    scrypt(password.normalize('NFC').trim(), salt, KEY_BYTES, COST, (error, key) => (error ? reject(error) : resolve(key)))
  })
}

function digest(password: string): string {
  return createHash('sha256').update(`admin\0${password}`).digest('base64url')
}

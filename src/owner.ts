import { createHash, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import type { OwnerDeps } from './application/owner-deps.ts'
import { createPictures } from './application/show-picture.ts'
import type { PasswordCheck, SignInDeps } from './application/sign-in.ts'
import type { Config } from './config.ts'
import type { Log } from './domain/log.ts'
import type { Secret } from './domain/secret.ts'
import { isPublicSuffix } from './public-suffix.ts'
import type { Services } from './services.ts'

// 32 MB and about 100 ms a guess. More would only slow the reads beside it: how many guesses there are is bounded elsewhere.
const COST: ScryptOptions = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 }
const KEY_BYTES = 32
const MAX_LENGTH = 1024
const NO_PASSWORD: PasswordCheck = { mode: 'off', isSpent: () => false, matches: async () => false, credential: '' }

const randomId = (): string => randomBytes(32).toString('base64url')
const hash = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** What the owner's doings need, in the browser or on the command line. */
export function ownerDeps({ appUrl }: Config, services: Services): OwnerDeps {
  const { refreshDeps, connectors, oauthStates: states, startingFingerprint, reader, overview } = services
  return {
    ...refreshDeps,
    connectors,
    states,
    overview,
    pictures: createPictures(refreshDeps),
    appUrl,
    startingFingerprint,
    isPublicSuffix,
    forget: (name) => reader.forget(name),
    publishDefault: () => reader.publishDefault(),
    randomId,
    hash,
  }
}

/** What the sign-in needs. With no password set, the log of an agent with a store of its own gets one that works once. */
export function signInDeps(config: Config, { sessions, signInAttempts: attempts, store, vault }: Services, log: Log): SignInDeps {
  return { sessions, attempts, store, vault, password: passwordCheck(config, log), randomId, hash }
}

function passwordCheck({ adminPassword, database, appUrl }: Config, log: Log): PasswordCheck {
  if (adminPassword !== null) return createPasswordCheck(adminPassword)
  // Several instances would print one each, and only one of them would know the one that is typed.
  if (database.kind === 'postgres') return NO_PASSWORD
  const { password, check } = createOneTimePassword()
  log.warn({}, `ADMIN_PASSWORD is not set. To sign in once at ${appUrl}/admin use this password: ${password}`)
  return check
}

/**
 * The password itself stands in the environment, so a slow hash does not guard a stored one here. It makes every guess
 * cost the same and dear, and what is compared has one length, whatever was typed.
 */
function createPasswordCheck(password: Secret): PasswordCheck {
  return { mode: 'password', isSpent: () => false, matches: comparer(password.reveal()), credential: hash(`admin\0${password.reveal()}`) }
}

/** A password for the log, which works until it has worked once. */
function createOneTimePassword(): { password: string; check: PasswordCheck } {
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

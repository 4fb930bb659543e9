import { createHash, randomBytes } from 'node:crypto'
import type { SignInDeps } from './application/sign-in.ts'
import type { Config } from './config.ts'
import type { Log } from './domain/log.ts'
import type { PasswordCheck } from './domain/password-check.ts'
import { createOneTimePassword, createPasswordCheck, NO_PASSWORD } from './password.ts'
import type { Services } from './services.ts'

/** What the sign-in needs. With no password set, the log of an agent with a store of its own gets one that works once. */
export function signInDeps(config: Config, { sessions, signInAttempts: attempts, store, vault }: Services, log: Log): SignInDeps {
  return {
    sessions,
    attempts,
    store,
    vault,
    password: passwordCheck(config, log),
    randomId: () => randomBytes(32).toString('base64url'),
    hash: (text) => createHash('sha256').update(text).digest('base64url'),
  }
}

function passwordCheck({ adminPassword, database, appUrl }: Config, log: Log): PasswordCheck {
  if (adminPassword !== null) return createPasswordCheck(adminPassword)
  // Several instances would print one each, and only one of them would know the one that is typed.
  if (database.kind === 'postgres') return NO_PASSWORD
  const { password, check } = createOneTimePassword()
  log.warn({}, `ADMIN_PASSWORD is not set. To sign in once at ${appUrl}/admin use this password: ${password}`)
  return check
}

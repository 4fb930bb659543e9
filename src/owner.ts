import { createHash, randomBytes } from 'node:crypto'
import type { OwnerDeps } from './accounts/owner-deps.ts'
import { createPictures } from './accounts/pictures.ts'
import type { Services } from './agent.ts'
import type { Config } from './config/config.ts'
import type { KnownSecrets } from './config/known-secrets.ts'
import type { Log } from './core/log.ts'
import { isPublicSuffix } from './reading/public-suffix.ts'
import { createDraw } from './sign-in/draw.ts'
import { createKnownDevices } from './sign-in/known-devices.ts'
import { createOneTimePassword, createPasswordCheck, NO_PASSWORD, type PasswordCheck } from './sign-in/password.ts'
import type { SignInDeps } from './sign-in/sign-in.ts'

const randomId = (): string => randomBytes(32).toString('base64url')
const hash = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** What the owner's doings need, in the browser or on the command line. */
export function ownerDeps({ appUrl }: Config, services: Services): OwnerDeps {
  const { refreshDeps, connectors, oauthStates: states, signedRequests, startingFingerprint, reader, overview } = services
  return {
    ...refreshDeps,
    connectors,
    states,
    signedRequests,
    overview,
    pictures: createPictures(refreshDeps),
    appUrl,
    startingFingerprint,
    isPublicSuffix,
    publishDefault: () => reader.publishDefault(),
    randomId,
    hash,
  }
}

/**
 * What the sign-in needs. With no password set, the log of an agent with a store of its own gets one that works once:
 * `announce` prints it, once the agent can be reached. Before, another program may have the port.
 */
export function signInDeps(config: Config, services: Services, log: Log): SignInDeps & { announce(): void } {
  const { sessions, installation, signInAttempts: attempts, wrongPasswords, store, vault, secrets } = services
  const { check: password, announce } = passwordCheck(config, secrets, log)
  return {
    sessions,
    installation,
    store,
    vault,
    password,
    draw: createDraw({ attempts, vault, nowMs: () => store.nowMs(), randomId }),
    devices: createKnownDevices({ attempts, vault, credential: password.credential, hash, randomId }),
    wrongPasswords,
    log,
    randomId,
    hash,
    announce,
  }
}

interface Announced {
  readonly check: PasswordCheck
  announce(): void
}

function passwordCheck({ adminPassword, database, appUrl }: Config, secrets: KnownSecrets, log: Log): Announced {
  const silent = (check: PasswordCheck): Announced => ({ check, announce() {} })
  if (adminPassword !== null) return silent(createPasswordCheck(adminPassword))
  // Several instances would print one each, and only one of them would know the one that is typed.
  if (database.kind === 'postgres') return silent(NO_PASSWORD)
  const { password, check } = createOneTimePassword()
  secrets.add('the one-time password', password)
  const announce = (): void => log.warn({}, `ADMIN_PASSWORD is not set. To sign in once at ${appUrl}/admin use this password: ${password}`)
  return { check, announce }
}

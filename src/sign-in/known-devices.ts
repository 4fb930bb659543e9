import { digest, randomId } from '../core/digest.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import type { SignInAttempts } from './session-store.ts'

export interface KnownDevicesDeps {
  readonly attempts: Pick<SignInAttempts, 'takeDeviceTry' | 'forgive'>
  readonly vault: Vault
  /** Changes with the password. */
  readonly credential: string
  readonly clockMs?: () => number
}

/** Browsers in which the owner has signed in before. Their tries are counted apart from those of strangers. */
export interface KnownDevices {
  /**
   * The id of the device that this cookie names, if it has a try left. A new password and “Sign out everywhere” end the
   * cookie. A stolen cookie gives a few tries an hour; beyond these its sign-ins take part in the draw.
   */
  takeTry(cookie: string | null): Promise<string | null>
  /** The cookie for the next sign-in, after a right password. */
  remember(device: string | null, since: Date): Promise<string>
}

const SEAL_CONTEXT: SealContext = { table: 'cookies', row: 'device', column: 'id' }
/** How long a cookie without a try left is not looked up again. */
const REFUSED_FOR_MS = 60_000

export function createKnownDevices({ attempts, vault, credential, clockMs = () => performance.now() }: KnownDevicesDeps): KnownDevices {
  const refusedUntilMs = new Map<string, number>()
  const proofOf = (device: string): string => digest(`${device}\0${credential}`)

  return {
    async takeTry(cookie) {
      if (cookie === null || (refusedUntilMs.get(cookie) ?? 0) > clockMs()) return null
      refusedUntilMs.delete(cookie)
      // The previous release stored no date in the cookie: such a browser counts as a stranger once.
      const [device, since, proof] = tryOpen(vault, cookie, SEAL_CONTEXT)?.reveal().split(' ') ?? []
      if (device === undefined || proof !== proofOf(device)) return null
      if (await attempts.takeDeviceTry(digest(device), new Date(Number(since)))) return device
      refusedUntilMs.set(cookie, clockMs() + REFUSED_FOR_MS)
      return null
    },
    async remember(known, since) {
      const device = known ?? randomId()
      if (known !== null) await attempts.forgive(digest(known))
      return vault.seal(new Secret(`${device} ${since.getTime()} ${proofOf(device)}`), SEAL_CONTEXT)
    },
  }
}

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

/** Browsers in which the owner has signed in before: what they try is counted apart from strangers. */
export interface KnownDevices {
  /**
   * The id of the device that this cookie names, if it has a try left. It ends with the password that it was given for,
   * and with “Sign out everywhere”. One that is stolen is good for a few tries an hour; then it waits with the strangers.
   */
  takeTry(cookie: string | null): Promise<string | null>
  /** The right password was given: the cookie for the next time. */
  remember(device: string | null, since: Date): Promise<string>
}

const PLACE: SealContext = { table: 'cookies', row: 'device', column: 'id' }
/** A cookie without a try left is not looked up again for so long. */
const REFUSED_FOR_MS = 60_000

export function createKnownDevices({ attempts, vault, credential, clockMs = () => performance.now() }: KnownDevicesDeps): KnownDevices {
  const refusedUntilMs = new Map<string, number>()
  const proofOf = (device: string): string => digest(`${device}\0${credential}`)

  return {
    async takeTry(cookie) {
      if (cookie === null || (refusedUntilMs.get(cookie) ?? 0) > clockMs()) return null
      refusedUntilMs.delete(cookie)
      // The release before put the id alone into it, which does not say since when: such a browser is a stranger once.
      const [device, since, proof] = tryOpen(vault, cookie, PLACE)?.reveal().split(' ') ?? []
      if (device === undefined || proof !== proofOf(device)) return null
      if (await attempts.takeDeviceTry(digest(device), new Date(Number(since)))) return device
      refusedUntilMs.set(cookie, clockMs() + REFUSED_FOR_MS)
      return null
    },
    async remember(known, since) {
      const device = known ?? randomId()
      if (known !== null) await attempts.forgive(digest(known))
      return vault.seal(new Secret(`${device} ${since.getTime()} ${proofOf(device)}`), PLACE)
    },
  }
}

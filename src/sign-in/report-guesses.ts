import type { SendAlert } from '../alerts/alert.ts'
import type { Log } from '../core/log.ts'
import type { WrongPasswords } from './session-store.ts'

export interface GuessesDeps {
  readonly wrongPasswords: Pick<WrongPasswords, 'claimAlert' | 'settleAlert'>
  readonly send: SendAlert
  readonly log: Log
}

/** More wrong passwords within a day than an owner who forgot theirs would type. */
export const WRONG_A_DAY = 1000
const LEASE_SECONDS = 90

/** Alerts the operator once a day, from one of the instances, while the password is being guessed. */
export async function reportGuesses({ wrongPasswords, send, log }: GuessesDeps): Promise<void> {
  const found = await wrongPasswords.claimAlert(WRONG_A_DAY, LEASE_SECONDS)
  if (found === null) return
  const since = `${found.since.toISOString().slice(0, 16).replace('T', ' ')} UTC`
  const message = `${found.count} wrong passwords were given at the sign-in since ${since}. If ADMIN_PASSWORD is short or a common word, put a long one in its place.`
  try {
    await send({ event: 'password_guessed_at', account: null, state: null, message })
  } catch (err) {
    log.warn({ event: 'password_guessed_at', err }, 'an alert could not be delivered; it is tried again')
    return
  }
  await wrongPasswords.settleAlert(message)
  log.info({ event: 'password_guessed_at' }, 'alert sent')
}

import { digest } from '../core/digest.ts'
import type { ConnectDeps } from './connected.ts'
import { readTrip, unseal } from './waiting-grant.ts'

/** The session of all requests from a terminal. No browser has it. */
export const TERMINAL_SESSION = 'cli'

/** An open request from a terminal. */
export interface OpenTrip {
  readonly state: string
  readonly redirectUri: string
}

/** The open requests for this account. */
export async function openTrips(
  { states, vault }: Pick<ConnectDeps, 'states' | 'vault'>,
  { provider, account }: { provider: string; account: string },
): Promise<OpenTrip[]> {
  const rows = await states.waiting(provider)
  return rows.flatMap((row) => {
    if (row.sessionId !== TERMINAL_SESSION || row.account !== account || row.tooOld || row.usedSecondsAgo !== null) return []
    const { state, redirectUri } = readTrip(unseal(vault, row)) ?? {}
    return state === undefined || redirectUri === undefined ? [] : [{ state, redirectUri }]
  })
}

/** Nothing can finish the request from now on. */
export async function endTrip({ states }: Pick<ConnectDeps, 'states'>, { state }: Pick<OpenTrip, 'state'>): Promise<void> {
  await states.forget(digest(state))
}

import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import type { KeptState } from './oauth-states.ts'
import type { NewGrant } from './save-grant.ts'

// The step of an authorization request is part of its `provider`: a callback must not pass for an owner's answer, nor be used twice.
export const waiting = (provider: string): string => `${provider} waits`
export const choosing = (provider: string): string => `${provider} chooses`
/** The steps in which a grant waits for the owner. */
export const waitingSteps = (provider: string): readonly string[] => [waiting(provider), choosing(provider)]
export const connected = (provider: string): string => `${provider} connected`

/** A grant that waits for the owner's answer: whether its user may take the account over, or which of its accounts to connect. */
export interface Pending extends NewGrant {
  readonly version: number
}

/** Seals the text of an authorization request: its PKCE verifier, later its waiting grant. */
export function seal(vault: Vault, id: string, text: string): string {
  return vault.seal(new Secret(text), stateContext(id))
}

export function unseal(vault: Vault, { id, sealed }: KeptState): string | null {
  return tryOpen(vault, sealed, stateContext(id))?.reveal() ?? null
}

/** What finishes an authorization request. Only one from a terminal has more than the verifier. */
interface Trip {
  readonly verifier: string
  readonly redirectUri?: string
  readonly state?: string
}

// None of the three has a blank.
export function writeTrip({ verifier, redirectUri, state }: Required<Trip>): string {
  return `${verifier} ${redirectUri} ${state}`
}

export function readTrip(text: string | null): Trip | null {
  const [verifier, redirectUri, state] = text?.split(' ') ?? []
  if (verifier === undefined) return null
  return redirectUri === undefined || state === undefined ? { verifier } : { verifier, redirectUri, state }
}

export function openPending(vault: Vault, state: KeptState): Pending | null {
  const text = unseal(vault, state)
  return text === null ? null : readPending(text)
}

/** Also true for a grant that no key opens: it can be neither compared nor used. */
export function isWaitingGrantOf(vault: Vault, state: KeptState, userId: string, isBefore: (grantedAt: Date) => boolean): boolean {
  const pending = openPending(vault, state)
  if (pending === null) return true
  const { profile, askedAt } = pending
  return (profile.userId === userId || profile.appUserId === userId) && !isBefore(askedAt)
}

function stateContext(id: string): SealContext {
  return { table: 'oauth_states', row: id, column: 'sealed' }
}

// JSON.stringify hides the value of a Secret, so the values are revealed by hand, to be sealed.
export function writePending({ grant, ...rest }: Pending): string {
  const { accessToken, refreshToken } = grant
  return JSON.stringify({ ...rest, grant: { ...grant, accessToken: accessToken.reveal(), refreshToken: refreshToken?.reveal() ?? null } })
}

export function readPending(text: string): Pending {
  const { grant, askedAt, ...rest } = JSON.parse(text)
  const { accessToken, refreshToken } = grant
  return {
    ...rest,
    askedAt: new Date(askedAt),
    grant: { ...grant, accessToken: new Secret(accessToken), refreshToken: refreshToken === null ? null : new Secret(refreshToken) },
  }
}

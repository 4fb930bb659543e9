import type { Profile } from '../core/provider.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import type { KeptState } from './oauth-states.ts'
import type { Taking } from './save-grant.ts'

// How far a trip is stands beside its provider: an answer of the provider must not pass for one of the owner, nor be taken twice.
export const waiting = (provider: string): string => `${provider} waits`
export const connected = (provider: string): string => `${provider} connected`

/** What the provider granted, until the owner says whether its user may take the account over. */
export interface Pending {
  readonly grant: Taking['grant']
  readonly profile: Profile
  readonly askedAt: Date
  readonly version: number
}

/** What a trip keeps until it comes back. */
export function seal(vault: Vault, id: string, text: string): string {
  return vault.seal(new Secret(text), stateContext(id))
}

export function unseal(vault: Vault, { id, sealed }: KeptState): string | null {
  return tryOpen(vault, sealed, stateContext(id))?.reveal() ?? null
}

export function openPending(vault: Vault, state: KeptState): Pending | null {
  const text = unseal(vault, state)
  return text === null ? null : read(text)
}

/** Also one that no key opens: it cannot be compared, and cannot be used. */
export function isWaitingGrantOf(vault: Vault, state: KeptState, userId: string, isBefore: (grantedAt: Date) => boolean): boolean {
  const pending = openPending(vault, state)
  if (pending === null) return true
  const { profile, askedAt } = pending
  return (profile.userId === userId || profile.appUserId === userId) && !isBefore(askedAt)
}

function stateContext(id: string): SealContext {
  return { table: 'oauth_states', row: id, column: 'sealed' }
}

// A Secret prints itself as such, on purpose: its value is put into the text by hand, to be sealed.
export function write({ grant, ...rest }: Pending): string {
  const { accessToken, refreshToken } = grant
  return JSON.stringify({ ...rest, grant: { ...grant, accessToken: accessToken.reveal(), refreshToken: refreshToken?.reveal() ?? null } })
}

function read(text: string): Pending {
  const { grant, askedAt, ...rest } = JSON.parse(text)
  const { accessToken, refreshToken } = grant
  return {
    ...rest,
    askedAt: new Date(askedAt),
    grant: { ...grant, accessToken: new Secret(accessToken), refreshToken: refreshToken === null ? null : new Secret(refreshToken) },
  }
}

import { Secret } from '../domain/secret.ts'
import { type Place, tryOpen, type Vault } from '../domain/vault.ts'
import type { TokenRow } from './snapshot.ts'

// Whoever can write to Memcached could otherwise forge a version, an expiry or an allow-list.
function placeOf(name: string): Place {
  return { table: 'cache', row: name, column: 'row' }
}

export function sealRow({ name, version, accessToken, expiresAt, allowedDomains, jsConstant }: TokenRow, vault: Vault): string {
  const row = { name, version, accessToken, expiresAt, allowedDomains, jsConstant }
  return vault.seal(new Secret(JSON.stringify(row)), placeOf(name))
}

/** Null where the value is not one that this installation sealed for this account in this shape. */
export function openRow(name: string, sealed: string, vault: Vault): TokenRow | null {
  const text = tryOpen(vault, sealed, placeOf(name))
  if (text === null) return null
  const { version, accessToken, expiresAt, allowedDomains, jsConstant } = JSON.parse(text.reveal()) as Record<string, unknown>
  // Another release may have sealed it: what is missing here or of another type is not guessed.
  if (typeof version !== 'number' || typeof accessToken !== 'string') return null
  if (allowedDomains !== null && typeof allowedDomains !== 'string') return null
  if (jsConstant !== null && typeof jsConstant !== 'string') return null
  if (expiresAt !== null && (typeof expiresAt !== 'string' || Number.isNaN(Date.parse(expiresAt)))) return null
  return { name, version, accessToken, expiresAt: expiresAt === null ? null : new Date(expiresAt), allowedDomains, jsConstant }
}

const DEFAULT_PLACE: Place = { table: 'cache', row: '', column: 'default' }

/** The name of the account that `/token.js` serves. */
export function sealDefault(name: string, vault: Vault): string {
  return vault.seal(new Secret(name), DEFAULT_PLACE)
}

export function openDefault(sealed: string, vault: Vault): string | null {
  return tryOpen(vault, sealed, DEFAULT_PLACE)?.reveal() ?? null
}

import type { Account } from '../core/account.ts'

/** The columns that serving a token needs. The refresh token is not one of them, so no cache holds it. */
export type TokenRow = Pick<Account, 'name' | 'provider' | 'accessToken' | 'expiresAt' | 'allowedDomains' | 'jsConstant'>

export function toRow({ name, provider, accessToken, expiresAt, allowedDomains, jsConstant }: TokenRow): TokenRow {
  return { name, provider, accessToken, expiresAt, allowedDomains, jsConstant }
}

/** A row from JSON. Its seal proves that this release wrote it, so it needs no check. */
export function rowIn(name: string, value: unknown): TokenRow {
  const row = toRow(value as TokenRow)
  return { ...row, name, expiresAt: row.expiresAt === null ? null : new Date(row.expiresAt) }
}

export function hasExpired({ expiresAt }: Pick<Account, 'expiresAt'>, nowMs: number): boolean {
  return expiresAt !== null && expiresAt.getTime() <= nowMs
}

import type { Account } from '../core/account.ts'

/** The columns that serving a token needs; the refresh token is not among them, so no cache ever holds it. */
export type TokenRow = Pick<Account, 'name' | 'accessToken' | 'expiresAt' | 'allowedDomains' | 'jsConstant'>

export function toRow({ name, accessToken, expiresAt, allowedDomains, jsConstant }: TokenRow): TokenRow {
  return { name, accessToken, expiresAt, allowedDomains, jsConstant }
}

/** A row out of JSON. Only this release, with one of our keys, can have sealed it, so it has this shape. */
export function rowIn(name: string, value: unknown): TokenRow {
  const row = toRow(value as TokenRow)
  return { ...row, name, expiresAt: row.expiresAt === null ? null : new Date(row.expiresAt) }
}

export function hasExpired({ expiresAt }: Pick<Account, 'expiresAt'>, nowMs: number): boolean {
  return expiresAt !== null && expiresAt.getTime() <= nowMs
}

import type { Account } from '../core/account.ts'

/** The columns that serving a token needs. The refresh token is not one of them, so no cache holds it. */
export type TokenRow = Pick<
  Account,
  'name' | 'provider' | 'accessToken' | 'expiresAt' | 'allowedDomains' | 'jsConstant' | 'scopes' | 'pageUseConfirmedAt' | 'serves'
>

export function toRow(account: TokenRow): TokenRow {
  const { name, provider, accessToken, expiresAt, allowedDomains, jsConstant, scopes, pageUseConfirmedAt, serves } = account
  return { name, provider, accessToken, expiresAt, allowedDomains, jsConstant, scopes, pageUseConfirmedAt, serves }
}

/** A row from JSON. Its seal proves that this release wrote it, so it needs no check. */
export function rowIn(name: string, value: unknown): TokenRow {
  const row = toRow(value as TokenRow)
  const toDate = (at: Date | null): Date | null => (at === null ? null : new Date(at))
  return { ...row, name, expiresAt: toDate(row.expiresAt), pageUseConfirmedAt: toDate(row.pageUseConfirmedAt) }
}

export function hasExpired({ expiresAt }: Pick<Account, 'expiresAt'>, nowMs: number): boolean {
  return expiresAt !== null && expiresAt.getTime() <= nowMs
}

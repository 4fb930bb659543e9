import type { Account, AccountState } from '../core/account.ts'
import type { AccountChange } from '../core/account-store.ts'
import type { Param } from './database.ts'

type Instant = Date | string

export interface AccountRow {
  readonly name: string
  readonly provider: string
  readonly provider_user_id: string | null
  readonly provider_app_user_id: string | null
  readonly username: string | null
  readonly access_token: string | null
  readonly refresh_token: string | null
  readonly scopes: string | null
  readonly page_use_confirmed_at: Instant | null
  readonly page_use_ended_at: Instant | null
  readonly allowed_domains: string | null
  readonly js_constant: string | null
  readonly serves: Account['serves']
  /** 1, 0 or null. */
  readonly feed_open: number | null
  readonly paused_at: Instant | null
  readonly state: AccountState
  readonly issued_at: Instant | null
  readonly expires_at: Instant | null
  readonly refresh_expires_at: Instant | null
  readonly reconnect_by: Instant | null
  /** 1 or 0. */
  readonly never_expires: number
  readonly last_refresh_at: Instant | null
  readonly next_refresh_at: Instant | null
  readonly version: number
  readonly failure_count: number
  readonly failing_since: Instant | null
  readonly refused_at: Instant | null
  readonly last_error_code: string | null
  readonly last_error: string | null
  readonly seed_fingerprint: string | null
  readonly revision: number
  readonly trusted_at: Instant | null
  readonly connected_at: Instant | null
  readonly checked_at: Instant | null
  readonly next_check_at: Instant | null
  readonly doubted: string | null
  readonly doubted_at: Instant | null
  readonly created_at: Instant
}

/** The columns that a change may set; `Required` keeps the table complete. */
const CHANGEABLE: Record<keyof Required<AccountChange>, keyof AccountRow> = {
  providerUserId: 'provider_user_id',
  providerAppUserId: 'provider_app_user_id',
  username: 'username',
  accessToken: 'access_token',
  refreshToken: 'refresh_token',
  scopes: 'scopes',
  pageUseConfirmedAt: 'page_use_confirmed_at',
  pageUseEndedAt: 'page_use_ended_at',
  allowedDomains: 'allowed_domains',
  jsConstant: 'js_constant',
  serves: 'serves',
  feedOpen: 'feed_open',
  pausedAt: 'paused_at',
  state: 'state',
  issuedAt: 'issued_at',
  expiresAt: 'expires_at',
  refreshExpiresAt: 'refresh_expires_at',
  reconnectBy: 'reconnect_by',
  neverExpires: 'never_expires',
  lastRefreshAt: 'last_refresh_at',
  nextRefreshAt: 'next_refresh_at',
  failureCount: 'failure_count',
  refusedAt: 'refused_at',
  lastErrorCode: 'last_error_code',
  lastError: 'last_error',
  seedFingerprint: 'seed_fingerprint',
  trustedAt: 'trusted_at',
  connectedAt: 'connected_at',
  checkedAt: 'checked_at',
  nextCheckAt: 'next_check_at',
  doubted: 'doubted',
  doubtedAt: 'doubted_at',
}

/** The columns that decide what readers get. A write that changes one of them raises the row's revision. */
export const READ_COLUMNS: ReadonlySet<string> = new Set<keyof AccountRow>([
  'access_token',
  'expires_at',
  'state',
  'paused_at',
  'allowed_domains',
  'js_constant',
  'serves',
  'feed_open',
  'scopes',
  'page_use_confirmed_at',
  'provider_user_id',
  'trusted_at',
])

export const ACCOUNT_COLUMNS = [
  'name',
  'provider',
  'version',
  'revision',
  'created_at',
  'failing_since',
  ...Object.values(CHANGEABLE),
].join(', ')

/** All columns that a change may set. */
export const FILLED_COLUMNS: readonly string[] = Object.values(CHANGEABLE)

/** The columns that `change` sets, in a fixed order, so that similar changes share one SQL text. */
export function changedColumns(change: AccountChange): { column: string; value: Param }[] {
  return Object.entries(CHANGEABLE).flatMap(([key, column]) => {
    const value = change[key as keyof AccountChange]
    return value === undefined ? [] : [{ column, value: typeof value === 'boolean' ? Number(value) : value }]
  })
}

export function toAccount(row: AccountRow): Account {
  return {
    name: row.name,
    provider: row.provider,
    providerUserId: row.provider_user_id,
    providerAppUserId: row.provider_app_user_id,
    username: row.username,
    accessToken: row.access_token,
    refreshToken: row.refresh_token,
    scopes: row.scopes,
    pageUseConfirmedAt: toDate(row.page_use_confirmed_at),
    pageUseEndedAt: toDate(row.page_use_ended_at),
    allowedDomains: row.allowed_domains,
    jsConstant: row.js_constant,
    serves: row.serves,
    feedOpen: row.feed_open === 1,
    pausedAt: toDate(row.paused_at),
    state: row.state,
    issuedAt: toDate(row.issued_at),
    expiresAt: toDate(row.expires_at),
    refreshExpiresAt: toDate(row.refresh_expires_at),
    reconnectBy: toDate(row.reconnect_by),
    neverExpires: row.never_expires === 1,
    lastRefreshAt: toDate(row.last_refresh_at),
    nextRefreshAt: toDate(row.next_refresh_at),
    version: row.version,
    failureCount: row.failure_count,
    failingSince: toDate(row.failing_since),
    refusedAt: toDate(row.refused_at),
    lastErrorCode: row.last_error_code,
    lastError: row.last_error,
    seedFingerprint: row.seed_fingerprint,
    revision: row.revision,
    trustedAt: toDate(row.trusted_at),
    connectedAt: new Date(row.connected_at ?? row.created_at),
    checkedAt: toDate(row.checked_at),
    nextCheckAt: toDate(row.next_check_at),
    doubted: row.doubted,
    doubtedAt: toDate(row.doubted_at),
    createdAt: new Date(row.created_at),
  }
}

export function toDate(instant: Instant | null): Date | null {
  return instant === null ? null : new Date(instant)
}

import { type Account, isServable } from '../domain/account.ts'
import type { AccountStore } from '../domain/account-store.ts'
import { AppError } from '../domain/errors.ts'
import type { RowCache } from '../domain/row-cache.ts'
import { accountPlace, UnreadableError, type Vault } from '../domain/vault.ts'
import { openRow, sealRow } from './cached-row.ts'
import { createSnapshot, type Snapshot, type TokenRow } from './snapshot.ts'

export interface FoundToken {
  readonly kind: 'token'
  readonly version: number
  readonly row: TokenRow
  readonly snapshot: Snapshot
  readonly source: 'memcached' | 'store'
}

/** The account is there, and its token is not fit to be served. */
export interface FoundProblem {
  readonly kind: 'problem'
  readonly version: number
  readonly error: AppError
}

export type Found = FoundToken | FoundProblem

export interface TokenFinder {
  /** Memcached, then the database; null = no such account. Throws where the database does not answer. */
  find(name: string, known: Found | null): Promise<Found | null>
  judge(account: Account): Found
  /** Makes the other instances see the account as it is now; null = it is gone. */
  share(name: string, found: Found | null): Promise<void>
}

export interface TokenFinderDeps {
  readonly store: Pick<AccountStore, 'find' | 'now'>
  readonly cache: RowCache | null
  readonly vault: Vault
  /** A short hash of a text, in characters that an entity tag and a cache key may have. */
  readonly digest: (text: string) => string
  readonly constantName: string
}

const CACHE_TTL_SECONDS = 60

export function createTokenFinder({ store, cache, vault, digest, constantName }: TokenFinderDeps): TokenFinder {
  const keyOf = (name: string): string => digest(`${vault.namespace} row ${name}`)

  function tokenFrom(row: TokenRow, source: FoundToken['source'], known: Found | null = null): FoundToken {
    const { name, version, accessToken } = row
    if (known?.kind === 'token' && isSame(known.row, row)) return { kind: 'token', version, row, snapshot: known.snapshot, source }
    const token = vault.open(accessToken ?? '', accountPlace(name, 'access_token'))
    return { kind: 'token', version, row, snapshot: createSnapshot(row, token, { constantName, digest }), source }
  }

  function fromCache(name: string, sealed: string, known: Found | null): FoundToken | null {
    const row = openRow(name, sealed, vault)
    if (row === null || row.version < (known?.version ?? 0) || hasExpired(row, store.now())) return null
    try {
      return tokenFrom(row, 'memcached', known)
    } catch (error) {
      if (error instanceof UnreadableError) return null
      throw error
    }
  }

  function judge(account: Account, known: Found | null = null): Found {
    const { version } = account
    const problem = (error: AppError): FoundProblem => ({ kind: 'problem', version, error })
    if (account.accessToken === null) return problem(noToken())
    if (hasExpired(account, store.now())) return problem(expired())
    if (!isServable(account, store.now())) return problem(account.state === 'unverified' ? unchecked() : refused())
    try {
      const { name, accessToken, expiresAt, allowedDomains } = account
      return tokenFrom({ name, version, accessToken, expiresAt, allowedDomains }, 'store', known)
    } catch (error) {
      if (error instanceof UnreadableError) return problem(unreadable(error))
      throw error
    }
  }

  return {
    judge,
    async find(name, known) {
      const sealed = cache === null ? null : await cache.get(keyOf(name))
      const cached = sealed === null ? null : fromCache(name, sealed, known)
      if (cached !== null) return cached
      const account = await store.find(name)
      if (account === null) return null
      const found = judge(account, known)
      // `add` for a miss: a refresh may have written its newer row since this one was read. Bad news is not shared:
      // it must be gone the moment that the database says so.
      if (cache !== null && found.kind === 'token') {
        void cache[sealed === null ? 'add' : 'set'](keyOf(name), sealRow(found.row, vault), CACHE_TTL_SECONDS)
      }
      return found
    },
    async share(name, found) {
      // An empty value opens nowhere, so that everybody asks the database.
      if (found?.kind !== 'token') await cache?.set(keyOf(name), '', 1)
      else await cache?.set(keyOf(name), sealRow(found.row, vault), CACHE_TTL_SECONDS)
    },
  }
}

export function hasExpired({ expiresAt }: Pick<Account, 'expiresAt'>, now: Date): boolean {
  return expiresAt !== null && expiresAt.getTime() <= now.getTime()
}

function isSame(one: TokenRow, other: TokenRow): boolean {
  if (one.version !== other.version || one.accessToken !== other.accessToken) return false
  return one.allowedDomains === other.allowedDomains && one.expiresAt?.getTime() === other.expiresAt?.getTime()
}

export function noToken(): AppError {
  return new AppError('unavailable', 'There is no token yet. Is this your site? Open /setup on this agent: it says how to give it one.')
}

function unchecked(): AppError {
  return new AppError('unavailable', 'The token is being checked with its provider. Try again in a few seconds.')
}

function refused(): AppError {
  return new AppError('unavailable', 'The provider refused this token. Is this your site? Put in a new one: /setup on this agent says how.')
}

export function expired(): AppError {
  return new AppError('unavailable', 'The token has expired. Is this your site? Put in a new one: /setup on this agent says how.')
}

function unreadable(cause: UnreadableError): AppError {
  return new AppError(
    'unavailable',
    'The stored token cannot be opened. Is this your site? Put the ENCRYPTION_KEY back that it was stored with, or put in a new token.',
    { cause },
  )
}

import { type Account, isServable } from '../domain/account.ts'
import type { AccountStore } from '../domain/account-store.ts'
import type { AllowList } from '../domain/allow-list.ts'
import { AppError } from '../domain/errors.ts'
import type { RowCache } from '../domain/row-cache.ts'
import { accountPlace, UnreadableError, type Vault } from '../domain/vault.ts'
import { openDefault, openRow, sealDefault, sealRow } from './cached-row.ts'
import { createSnapshot, ownAllowList, type Snapshot, type TokenRow } from './snapshot.ts'

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
  readonly name: string
  readonly version: number
  readonly error: AppError
}

export type Found = FoundToken | FoundProblem

export interface TokenFinder {
  /**
   * Memcached, then the database; null = no such account. Throws where the database does not answer. The name null is
   * the account that `/token.js` serves.
   */
  find(name: string | null, known: Found | null): Promise<Found | null>
  judge(account: Account): Found
  /** Makes the other instances see the account as it is now; null = it is gone. */
  share(name: string, found: Found | null): Promise<void>
  /** Makes them ask anew which account `/token.js` serves. */
  shareDefault(): Promise<void>
}

/** Why an account's token cannot be served; for those who may read it. */
export class TokenProblem extends AppError {
  readonly allowList: AllowList | null
  constructor({ code, message, cause }: AppError, allowList: AllowList | null) {
    super(code, message, { cause })
    this.allowList = allowList
  }
}

export interface TokenFinderDeps {
  readonly store: Pick<AccountStore, 'find' | 'now' | 'nowMs'>
  readonly cache: RowCache | null
  readonly vault: Vault
  /** A short hash of a text, in characters that an entity tag and a cache key may have. */
  readonly digest: (text: string) => string
  readonly constantName: string
}

const CACHE_TTL_SECONDS = 60

export function createTokenFinder({ store, cache, vault, digest, constantName }: TokenFinderDeps): TokenFinder {
  const keyOf = (name: string): string => digest(`${vault.namespace} row ${name}`)
  const defaultKey = digest(`${vault.namespace} default`)

  function tokenFrom(row: TokenRow, source: FoundToken['source'], known: Found | null = null): FoundToken {
    const { name, version, accessToken } = row
    if (known?.kind === 'token' && isSame(known.row, row)) return { kind: 'token', version, row, snapshot: known.snapshot, source }
    const token = vault.open(accessToken ?? '', accountPlace(name, 'access_token'))
    return { kind: 'token', version, row, snapshot: createSnapshot(row, token, { constantName, digest }), source }
  }

  function fromCache(name: string, sealed: string, known: Found | null): FoundToken | null {
    const row = openRow(name, sealed, vault)
    if (row === null || row.version < (known?.version ?? 0) || hasExpired(row, store.nowMs())) return null
    try {
      return tokenFrom(row, 'memcached', known)
    } catch (error) {
      if (error instanceof UnreadableError) return null
      throw error
    }
  }

  function judge(account: Account, known: Found | null = null): Found {
    const { name, version, accessToken, expiresAt, allowedDomains, jsConstant } = account
    const problem = (error: AppError): FoundProblem => ({
      kind: 'problem',
      name,
      version,
      error: new TokenProblem(error, ownAllowList(allowedDomains)),
    })
    if (account.pausedAt !== null) return problem(paused())
    if (accessToken === null) return problem(noToken())
    if (hasExpired(account, store.nowMs())) return problem(expired())
    if (!isServable(account, store.now())) return problem(account.state === 'unverified' ? unchecked() : refused())
    try {
      return tokenFrom({ name, version, accessToken, expiresAt, allowedDomains, jsConstant }, 'store', known)
    } catch (error) {
      if (error instanceof UnreadableError) return problem(unreadable(error))
      throw error
    }
  }

  return {
    judge,
    async find(name, known) {
      const sealedName = cache === null || name !== null ? null : await cache.get(defaultKey)
      const target = name ?? (sealedName === null ? null : openDefault(sealedName, vault))
      const sealed = cache === null || target === null ? null : await cache.get(keyOf(target))
      // What is known of another account says nothing about the version of this one.
      const before = known !== null && nameOf(known) === target ? known : null
      const cached = target === null || sealed === null ? null : fromCache(target, sealed, before)
      if (cached !== null) return cached
      const account = await store.find(name)
      if (account === null) return null
      const found = judge(account, known)
      // `add` for a miss: a refresh may have written its newer row since this one was read. Bad news is not shared:
      // it must be gone the moment that the database says so.
      if (cache !== null && found.kind === 'token') {
        void cache[sealed === null ? 'add' : 'set'](keyOf(account.name), sealRow(found.row, vault), CACHE_TTL_SECONDS)
        if (name === null && account.name !== target) {
          void cache[sealedName === null ? 'add' : 'set'](defaultKey, sealDefault(account.name, vault), CACHE_TTL_SECONDS)
        }
      }
      return found
    },
    async share(name, found) {
      // An empty value opens nowhere, so that everybody asks the database.
      if (found?.kind !== 'token') await cache?.set(keyOf(name), '', 1)
      else await cache?.set(keyOf(name), sealRow(found.row, vault), CACHE_TTL_SECONDS)
    },
    async shareDefault() {
      await cache?.set(defaultKey, '', 1)
    },
  }
}

export function nameOf(found: Found): string {
  return found.kind === 'token' ? found.row.name : found.name
}

export function hasExpired({ expiresAt }: Pick<Account, 'expiresAt'>, nowMs: number): boolean {
  return expiresAt !== null && expiresAt.getTime() <= nowMs
}

function isSame(one: TokenRow, other: TokenRow): boolean {
  if (one.name !== other.name || one.version !== other.version || one.accessToken !== other.accessToken) return false
  if (one.jsConstant !== other.jsConstant) return false
  return one.allowedDomains === other.allowedDomains && one.expiresAt?.getTime() === other.expiresAt?.getTime()
}

export function noToken(): AppError {
  return new AppError('unavailable', 'There is no token yet. Is this your site? Open /setup on this agent: it says how to give it one.')
}

function paused(): AppError {
  return new AppError('unavailable', 'This account is paused. Is this your site? Switch it on again at /admin on this agent.')
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

import type { Account } from '../core/account.ts'
import { servesOf } from '../core/serves.ts'
import type { Stamp, Stamped } from './shared-cache.ts'
import { createSnapshot, ownAllowList, type ProblemSnapshot, type Snapshot, type SnapshotDeps, toProblem } from './snapshot.ts'
import { feedOnly, problemOf } from './token-problem.ts'
import { hasExpired, rowIn, type TokenRow, toRow } from './token-row.ts'

/** A state of an account in this process. */
export interface AccountEntry extends Stamp {
  readonly snapshot: Snapshot
  readonly source: 'memcached' | 'store'
  /** The row behind the snapshot, as shared with other instances; null if there is no token to serve. */
  readonly row: TokenRow | null
}

interface Deps extends SnapshotDeps {
  readonly nowMs: () => number
}

/** Makes entries of what the store or the cache holds. `known`: the entry until now, whose snapshot an equal row keeps. */
export function createAccountEntries(deps: Deps) {
  const isFeedOnly = (row: Pick<Account, 'serves' | 'provider'>): boolean =>
    servesOf(row, deps.feedMode ?? 'on', deps.providers.get(row.provider)?.media) === 'feed'

  function ofRow(row: TokenRow, stamp: Stamp, source: AccountEntry['source'], known: AccountEntry | null): AccountEntry {
    const isSame = known !== null && JSON.stringify(known.row) === JSON.stringify(row)
    const snapshot = isSame ? known.snapshot : createSnapshot(row, deps)
    return { ...stamp, snapshot, source, row: snapshot.problem === null ? row : null }
  }

  return {
    ofAccount(account: Account, atMs: number, known: AccountEntry | null): AccountEntry {
      const { version, revision, allowedDomains } = account
      const own = problemOf(account, new Date(deps.nowMs()))
      const feed = isFeedOnly(account) ? { provider: account.provider, problem: own } : null
      const problem = feed === null ? own : feedOnly()
      if (problem !== null) return ofProblem(toProblem(problem, ownAllowList(allowedDomains), feed), { version, revision, atMs })
      return ofRow(toRow(account), { version, revision, atMs }, 'store', known)
    },
    /** Null for a tombstone, an expired token, or a token that no key opens: then the database decides. */
    inCache(name: string, { value, ...stamp }: Stamped, known: AccountEntry | null): AccountEntry | null {
      if (value === null) return null
      const row = rowIn(name, value)
      // Another instance may run with another FEED_MODE.
      if (isFeedOnly(row) || hasExpired(row, deps.nowMs())) return null
      const entry = ofRow(row, stamp, 'memcached', known)
      return entry.snapshot.problem === null ? entry : null
    },
  }
}

export function ofProblem(snapshot: ProblemSnapshot, { version, revision, atMs }: Stamp): AccountEntry {
  return { version, revision, atMs, snapshot, source: 'store', row: null }
}

/** As other instances get it. */
export function stampedOf({ version, revision, atMs, row }: AccountEntry): Stamped {
  return { version, revision, atMs, value: row, readers: row === null ? undefined : readersOf(row) }
}

/** Two rows with the same text have the same readers. Other scopes may take the token from pages. */
export const readersOf = ({ allowedDomains, scopes, pageUseConfirmedAt }: TokenRow): string =>
  JSON.stringify([allowedDomains, scopes, pageUseConfirmedAt !== null])

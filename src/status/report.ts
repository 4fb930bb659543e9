import { withUnreadable } from '../accounts/unreadable.ts'
import { conditionOf } from '../accounts/view.ts'
import { type Account, awaitsProvider, hasGrant, isAtRisk, needsPerson } from '../core/account.ts'
import { accountPages } from '../core/account-pages.ts'
import type { AccountStore } from '../core/account-store.ts'
import type { Vault } from '../core/vault.ts'

/** One account as `status --json` prints it. Scripts rely on the names. */
export interface AccountStatus {
  readonly account: string
  readonly provider: string
  readonly username: string | null
  readonly state: Account['state']
  /** `waiting`: the token to serve has ended, and the agent asks its provider for the next one. */
  readonly condition: 'working' | 'paused' | 'empty' | 'checking' | 'waiting' | 'needs_person'
  /** False where the account only waits for its first token. */
  readonly needsPerson: boolean
  /** Failed refreshes since the last success. */
  readonly failureCount: number
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  /** From then on only the user's new approval helps. */
  readonly reconnectBy: Date | null
  readonly lastRefreshAt: Date | null
  readonly nextRefreshAt: Date | null
  readonly lastError: string | null
}

export interface StatusReport {
  readonly accounts: readonly AccountStatus[]
  /** Names of the accounts that need a person; one that waits for its first token is none. */
  readonly needPerson: readonly string[]
  /** Names of the accounts that a person should look at, as on the web. */
  readonly needAttention: readonly string[]
  /** Why an account is not refreshed, by name. */
  readonly idle: ReadonlyMap<string, string>
}

interface Deps {
  readonly store: AccountStore
  readonly vault: Vault
}

/** Reports on one account, or on all at once. */
export async function reportStatus(deps: Deps, name?: string): Promise<StatusReport> {
  const account = name === undefined ? null : await deps.store.find(name)
  return reportOn(deps, name === undefined ? await deps.store.list() : account === null ? [] : [account])
}

/** Reports on all accounts by name, a page at a time. */
export async function* statusPages(deps: Deps): AsyncGenerator<StatusReport> {
  for await (const accounts of accountPages(deps.store)) yield reportOn(deps, accounts)
}

function reportOn({ store, vault }: Deps, stored: readonly Account[]): StatusReport {
  const accounts = stored.map((account) => withUnreadable(account, vault))
  const now = store.now()
  const reported = accounts.map((account) => toStatus(account, now))
  const isLooked = (account: Account): boolean => needsPerson(account, now) || isAtRisk(account, now)
  return {
    accounts: reported,
    needPerson: reported.filter((one) => one.needsPerson).map(({ account }) => account),
    needAttention: accounts.filter(isLooked).map(({ name }) => name),
    idle: new Map(accounts.filter(isIdle).map(({ name, pausedAt }) => [name, pausedAt === null ? 'without a token' : 'paused'])),
  }
}

const isIdle = (account: Account): boolean => account.pausedAt !== null || !hasGrant(account)

function toStatus(account: Account, now: Date): AccountStatus {
  const { name, provider, username, state, expiresAt, refreshExpiresAt, reconnectBy, lastRefreshAt, failureCount, lastError } = account
  const nextRefreshAt = account.pausedAt === null ? account.nextRefreshAt : null
  const condition = conditionOf(account, now)
  return {
    account: name,
    provider,
    username,
    state,
    condition: condition === 'needs you' ? 'needs_person' : awaitsProvider(account, now) ? 'waiting' : condition,
    needsPerson: condition === 'needs you',
    failureCount,
    expiresAt,
    refreshExpiresAt,
    reconnectBy,
    lastRefreshAt,
    nextRefreshAt,
    lastError,
  }
}

import { type Account, needsPerson } from '../domain/account.ts'
import type { AccountStore } from '../domain/account-store.ts'

/** One account as `token-agent status --json` prints it: names and shape are relied on. */
export interface AccountStatus {
  readonly account: string
  readonly provider: string
  readonly username: string | null
  readonly state: Account['state']
  readonly expiresAt: Date | null
  readonly lastRefreshAt: Date | null
  readonly nextRefreshAt: Date | null
  readonly lastError: string | null
}

export interface StatusReport {
  readonly accounts: readonly AccountStatus[]
  /** Names of the accounts that stay broken until a person acts. */
  readonly needPerson: readonly string[]
}

export async function reportStatus(store: AccountStore): Promise<StatusReport> {
  const accounts = await store.list()
  const now = store.now()
  return {
    accounts: accounts.map(toStatus),
    needPerson: accounts.filter((account) => needsPerson(account, now)).map((account) => account.name),
  }
}

function toStatus({ name, provider, username, state, expiresAt, lastRefreshAt, nextRefreshAt, lastError }: Account): AccountStatus {
  return { account: name, provider, username, state, expiresAt, lastRefreshAt, nextRefreshAt, lastError }
}

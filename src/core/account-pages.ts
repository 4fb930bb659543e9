import type { Account } from './account.ts'
import type { AccountStore } from './account-store.ts'

/** Bounds one query and one page in memory. */
const PAGE_LENGTH = 500

/** All accounts by name, a page at a time. */
export async function* accountPages(store: Pick<AccountStore, 'list'>): AsyncGenerator<Account[]> {
  for (let after = ''; ; ) {
    const accounts = await store.list({ after, limit: PAGE_LENGTH })
    const last = accounts.at(-1)
    if (last === undefined) return
    yield accounts
    after = last.name
  }
}

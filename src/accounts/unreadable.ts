import type { Account } from '../core/account.ts'
import { accountContext, UnreadableError, type Vault } from '../core/vault.ts'

/** Marks the account as unreadable if its token does not open: a lost key shows at once, not at the next refresh. */
export function withUnreadable(account: Account, vault: Vault): Account {
  const problem = problemWith(account, vault)
  return problem === null ? account : { ...account, lastErrorCode: 'unreadable', lastError: problem.message }
}

export function isUnreadable(account: Account, vault: Vault): boolean {
  return account.lastErrorCode === 'unreadable' || problemWith(account, vault) !== null
}

export function opens(account: Account, vault: Vault): boolean {
  return problemWith(account, vault) === null
}

function problemWith(account: Account, vault: Vault): UnreadableError | null {
  const { accessToken, refreshToken } = account
  try {
    if (accessToken !== null) vault.open(accessToken, accountContext(account, 'access_token'))
    if (refreshToken !== null) vault.open(refreshToken, accountContext(account, 'refresh_token'))
    return null
  } catch (error) {
    if (error instanceof UnreadableError) return error
    throw error
  }
}

import type { Account } from '../core/account.ts'
import { accountPages } from '../core/account-pages.ts'
import type { AccountStore } from '../core/account-store.ts'
import { accountContext, UnreadableError, type Vault } from '../core/vault.ts'

export interface Rotation {
  readonly resealed: readonly string[]
  readonly current: readonly string[]
  /** Left exactly as they are: the key that opens them may still be found. */
  readonly unreadable: readonly string[]
}

/** Seals every stored token with the newest key. Safe while agents serve and refresh. */
export async function rotateKeys(store: AccountStore, vault: Vault): Promise<Rotation> {
  const rotation = { resealed: [] as string[], current: [] as string[], unreadable: [] as string[] }
  for await (const accounts of accountPages(store)) {
    for (const account of accounts)
      rotation[isCurrent(vault, account) ? 'current' : await rotate(store, vault, account.name)].push(account.name)
  }
  return rotation
}

function isCurrent(vault: Vault, { accessToken, refreshToken }: Account): boolean {
  return [accessToken, refreshToken].every((sealed) => sealed === null || vault.isCurrent(sealed))
}

async function rotate(store: AccountStore, vault: Vault, name: string): Promise<keyof Rotation> {
  // A refresh may come between reading and writing; it seals with the newest key itself, so one more look suffices.
  for (;;) {
    const account = await store.find(name)
    if (account === null) return 'current'
    try {
      const sealed = { accessToken: again(vault, account, 'access_token'), refreshToken: again(vault, account, 'refresh_token') }
      if (sealed.accessToken === account.accessToken && sealed.refreshToken === account.refreshToken) return 'current'
      if (await store.reseal(account, sealed)) return 'resealed'
    } catch (error) {
      if (error instanceof UnreadableError) return 'unreadable'
      throw error
    }
  }
}

function again(vault: Vault, account: Account, column: 'access_token' | 'refresh_token'): string | null {
  const sealed = column === 'access_token' ? account.accessToken : account.refreshToken
  const place = accountContext(account.name, column)
  if (sealed === null) return null
  const value = vault.open(sealed, place)
  return vault.isCurrent(sealed) ? sealed : vault.seal(value, place)
}

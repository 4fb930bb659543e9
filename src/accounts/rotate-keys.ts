import type { Account } from '../core/account.ts'
import { accountPages } from '../core/account-pages.ts'
import type { AccountStore } from '../core/account-store.ts'
import { accountContext, tryOpen, UnreadableError, type Vault } from '../core/vault.ts'
import { type LinkStore, linkContext } from './links.ts'

export interface Rotation {
  readonly resealed: readonly string[]
  readonly current: readonly string[]
  /** Left unchanged: the key that opens them may still be found. */
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

/** The same for grants that came by a client's link and wait for the owner's yes. By account. */
export async function rotateWaiting(links: Pick<LinkStore, 'waiting' | 'reseal'>, vault: Vault): Promise<Omit<Rotation, 'current'>> {
  const rotation = { resealed: [] as string[], unreadable: [] as string[] }
  for (const { id, account, sealed } of await links.waiting()) {
    if (sealed === null || vault.isCurrent(sealed)) continue
    const grant = tryOpen(vault, sealed, linkContext(id))
    if (grant === null) rotation.unreadable.push(account)
    // Else it has been decided on since it was read.
    else if (await links.reseal({ id, sealed }, vault.seal(grant, linkContext(id)))) rotation.resealed.push(account)
  }
  return rotation
}

function isCurrent(vault: Vault, { accessToken, refreshToken }: Account): boolean {
  return [accessToken, refreshToken].every((sealed) => sealed === null || vault.isCurrent(sealed))
}

async function rotate(store: AccountStore, vault: Vault, name: string): Promise<keyof Rotation> {
  // A refresh between read and write makes `reseal` fail. It seals with the newest key, so the next round ends the loop.
  for (;;) {
    const account = await store.find(name)
    if (account === null) return 'current'
    try {
      const sealed = { accessToken: reseal(vault, account, 'access_token'), refreshToken: reseal(vault, account, 'refresh_token') }
      if (sealed.accessToken === account.accessToken && sealed.refreshToken === account.refreshToken) return 'current'
      if (await store.reseal(account, sealed)) return 'resealed'
    } catch (error) {
      if (error instanceof UnreadableError) return 'unreadable'
      throw error
    }
  }
}

function reseal(vault: Vault, account: Account, column: 'access_token' | 'refresh_token'): string | null {
  const sealed = column === 'access_token' ? account.accessToken : account.refreshToken
  const context = accountContext(account, column)
  if (sealed === null) return null
  const value = vault.open(sealed, context)
  return vault.isCurrent(sealed) ? sealed : vault.seal(value, context)
}

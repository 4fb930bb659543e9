import type { AccountEvent, AccountStore } from '../core/account-store.ts'
import { digest, randomId } from '../core/digest.ts'
import type { Connect } from '../core/provider.ts'
import { isMarked, marked, type SealContext, type Vault } from '../core/vault.ts'
import type { NewGrant } from './save-grant.ts'

/** `waits`: its grant waits for the owner's yes. */
export type LinkState = 'open' | 'waits' | 'used' | 'revoked' | 'expired'

/** A link by which a client connects one account. The id is a hash of its secret. */
export interface ConnectLink {
  readonly id: string
  readonly account: string
  readonly provider: string
  /** The owner's words to the client. */
  readonly note: string | null
  /** The user whose grant needs no yes of the owner; null = each new user's does. */
  readonly expectedUsername: string | null
  readonly expiresAt: Date
  readonly state: LinkState
  /** The grant that waits, and its user's name; null = none waits, or the provider names nobody. */
  readonly sealed: string | null
  readonly username: string | null
}

/** A grant that has just come from the provider. */
export interface Arrival {
  /** The id of the authorization request. */
  readonly request: string
  /** The instant before the call to the provider. */
  readonly askedAt: Date
  /** Of its user, by `userCode`: a deletion call since then voids the grant. */
  readonly codes: readonly string[]
}

/** How a link is used, for which user. */
export interface LinkUse {
  readonly id: string
  /** Null = by the owner's yes to the grant that waits. */
  readonly by: Arrival | null
  readonly userId: string
}

export interface WaitingGrant extends LinkUse {
  readonly by: Arrival
  readonly appUserId: string | null
  readonly username: string | null
  readonly sealed: string
}

export interface LinkStore {
  /** Ends the account's earlier link. False where there is no such account. */
  make(link: Pick<ConnectLink, 'id' | 'account' | 'note' | 'expectedUsername'>, event: AccountEvent): Promise<boolean>
  find(id: string): Promise<ConnectLink | null>
  of(account: string): Promise<ConnectLink | null>
  /** Those whose grants wait for the owner. */
  waiting(): Promise<ConnectLink[]>
  /**
   * Uses the link up and runs `save` in one transaction. False where it is used, revoked or expired, where its account is
   * another one, or where the user's data were erased since the grant was asked for. A repetition after a lost answer changes nothing and is true.
   */
  take(use: LinkUse, save: (store: AccountStore) => Promise<void>): Promise<boolean>
  /** Uses the link up and keeps its grant for the owner's yes. Else as `take`. */
  keep(grant: WaitingGrant, event: AccountEvent): Promise<boolean>
  /** Replaces the seal of the grant that waits. False where the grant has changed since it was read. */
  reseal(link: Pick<ConnectLink, 'id' | 'sealed'>, sealed: string): Promise<boolean>
  /** Ends the link of this id and erases its grant. False where it had ended. */
  revoke(id: string, event: AccountEvent): Promise<boolean>
  /** The grants of this user that wait, by either id. */
  ofUser(provider: string, userId: string): Promise<{ readonly id: string; readonly grantedAt: Date }[]>
  forget(id: string): Promise<void>
  /** Waiting grants of which the owner has not heard. Given to one process until the lease lapses. */
  claimAlerts(leaseSeconds: number): Promise<ConnectLink[]>
  settleAlert(id: string, event: AccountEvent): Promise<void>
  /** Deletes what has expired, and links of accounts that are gone or have another user. */
  clear(): Promise<void>
}

interface Deps {
  readonly links: LinkStore
  readonly vault: Vault
}

const SECRET = 'connect link'

/** A secret with a MAC, so that a made-up one costs no look into the store. */
export const newSecret = ({ vault }: Pick<Deps, 'vault'>): string => marked(vault, SECRET, randomId())

export const isLinkSecret = ({ vault }: Pick<Deps, 'vault'>, secret: string): boolean => isMarked(vault, SECRET, secret)

export async function findLink(deps: Deps, secret: string): Promise<ConnectLink | null> {
  return isLinkSecret(deps, secret) ? deps.links.find(digest(secret)) : null
}

/** True where the owner can name the user that a link is for. */
export const namesUsers = (connect: Connect | undefined): boolean => connect?.hasFreeNames !== true

/** When a grant was asked for, and the codes of its user. */
export function arrivalOf(vault: Vault, provider: string, { profile, askedAt }: NewGrant): Pick<Arrival, 'askedAt' | 'codes'> {
  const ids = [profile.userId, profile.appUserId].filter((id) => id !== null && id !== '')
  return { askedAt, codes: ids.map((id) => userCode(vault, provider, `${id}`)) }
}

/** A user in the calls of the provider, without the user's id. */
export const userCode = (vault: Vault, provider: string, userId: string): string =>
  `user ${vault.mac('user of a call', `${provider}\0${userId}`)}`

export const linkContext = (id: string): SealContext => ({ table: 'connect_links', row: id, column: 'sealed' })

import type { Actor } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { Choice, Connect } from '../core/provider.ts'
import type { SignedRequests } from './deauthorize.ts'
import type { OAuthStateStore } from './oauth-states.ts'
import type { GrantDeps, NewGrant } from './save-grant.ts'

export interface ConnectDeps extends GrantDeps {
  readonly store: Pick<AccountStore, 'insert' | 'replace' | 'update' | 'find' | 'now'>
  readonly states: OAuthStateStore
  readonly signedRequests: Pick<SignedRequests, 'unlessErased'>
  /** The agent's own origin. */
  readonly appUrl: string
  /** Unset = the owner in the browser. */
  readonly actor?: Actor
  /** A first user of the account is asked about too, not only another one. */
  readonly asksFirst?: boolean
  /** What happens to the grant. Unset = it is saved, or the owner is asked in this browser. */
  readonly settle?: (request: { readonly id: string }, given: NewGrant) => Promise<Connected>
  /** Repeats what the store could not do, with a grant in hand. Unset = for some seconds. */
  readonly persist?: <T>(work: () => Promise<T>) => Promise<T>
}

export type Connected =
  | { readonly outcome: 'connected'; readonly account: string; readonly username: string | null }
  /** Nothing is changed yet: the account is another user's. `answer` identifies the question when the owner replies. */
  | {
      readonly outcome: 'other_user'
      readonly account: string
      readonly present: string | null
      readonly username: string | null
      readonly answer: string
    }
  /** Nothing is changed yet: the login leads to several accounts, and the owner chooses one of them. */
  | { readonly outcome: 'choice'; readonly account: string; readonly choices: readonly Choice[]; readonly answer: string }

export const redirectUriOf = (appUrl: string, provider: string): string => `${appUrl}/connect/${provider}/callback`

export function connectableOf({ providers }: ConnectDeps, name: string): { connect: Connect; title: string } {
  const provider = providers.get(name)
  if (provider?.connect === undefined) {
    throw new AppError('not_found', 'This agent cannot connect accounts of this provider: the credentials of an app are not set.')
  }
  return { connect: provider.connect, title: provider.title }
}

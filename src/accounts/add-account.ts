import { ACCOUNT_NAME_RULE, type Actor, DEFAULT_ACCOUNT, isAccountName } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import { acceptDomains, createAccount, type ManageDeps, setDomains } from './manage.ts'
import { refuseOtherProvider } from './save-grant.ts'

interface Known {
  readonly store: Pick<AccountStore, 'list' | 'find'>
  readonly providers: ReadonlyMap<string, Pick<Provider, 'seed'>>
}

/**
 * The account that a form without a name means: the only one where it is of this provider, else a new one of the provider's
 * own name. Null = the owner must name it.
 */
export async function accountMeant({ store, providers }: Known, provider: string): Promise<string | null> {
  const [only, second] = await store.list({ after: '', limit: 2 })
  if (second !== undefined) return null
  if (only?.provider === provider) return only.name
  return freeName({ store, providers }, provider)
}

/** The provider's own name for an account; null = it is taken. */
export async function freeName({ store, providers }: Known, provider: string): Promise<string | null> {
  const own = providers.get(provider)?.seed.account ?? DEFAULT_ACCOUNT
  return (await store.find(own)) === null ? own : null
}

interface Addition {
  readonly account: string
  readonly provider: string
  /** As typed; empty = the list stays. */
  readonly domains: string
  /** Refuses the name of an account that exists. */
  readonly isNew: boolean
}

/** Creates the account without a token, unless it exists, and sets its web sites. A wrong list changes nothing. */
export async function addAccount(deps: ManageDeps, addition: Addition, actor: Actor): Promise<void> {
  const { account, provider, domains, isNew } = addition
  if (!isAccountName(account)) throw new AppError('invalid', ACCOUNT_NAME_RULE)
  const isListed = domains.trim() !== ''
  if (isListed) acceptDomains(deps, domains)
  const existing = isNew ? null : await deps.store.find(account)
  refuseOtherProvider(existing, addition)
  if (existing === null) await createAccount(deps, account, provider, actor)
  if (isListed) await setDomains(deps, account, domains, actor)
}

import { acceptToken, refuseSecret } from '../core/accept-token.ts'
import { ACCOUNT_NAME_RULE, type Account, type Actor, DEFAULT_ACCOUNT, hasGrant, isAccountName } from '../core/account.ts'
import type { AccountChange, AccountStore } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { entriesOf, parseAllowList } from '../reading/allow-list.ts'
import { constantNameProblem } from '../reading/js-constant.ts'
import { isPublicSuffix } from '../reading/public-suffix.ts'
import { sharedHostWarnings } from '../reading/shared-hosts.ts'
import { type ManageDeps, providerFor } from './manage.ts'
import { publishChange } from './publish-change.ts'
import { freshGrant } from './seed.ts'

/** The columns of a list of accounts. `token` is read and never written. */
export const COLUMNS = ['name', 'provider', 'domains', 'constant', 'token'] as const
export type Column = (typeof COLUMNS)[number]

/** One account of a list. A column that the list does not have is undefined; an empty cell is an empty text. */
export type ListedAccount = Readonly<Partial<Record<Exclude<Column, 'token'>, string>>> & {
  readonly line: number
  readonly token?: Secret | undefined
}

interface Planned {
  readonly name: string
  readonly provider: string
  /** Null = a new account. */
  readonly existing: Account | null
  readonly settings: AccountChange
  /** Null = no token came with it. */
  readonly grant: AccountChange | null
}

interface Plan {
  readonly accounts: readonly Planned[]
  /** A sentence each, which repeats no cell. */
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** Why a line cannot be taken. */
class CellProblem extends Error {
  readonly column: Column
  constructor(column: Column, why: string) {
    super(why)
    this.column = column
  }
}

/** Checks a list as the pages check a form. Writes nothing. `replace`: the settings of accounts that exist may be changed. */
export async function planImport(deps: ManageDeps, list: readonly ListedAccount[], replace: boolean): Promise<Plan> {
  const seen: Seen = { names: new Set(), tokens: new Set() }
  const [problems, warnings, accounts]: [string[], string[], Planned[]] = [[], [], []]
  for (const one of list) {
    try {
      const { isShared, ...planned } = await plan(deps, one, seen, replace)
      accounts.push(planned)
      if (isShared)
        warnings.push(
          `Line ${one.line}, column domains: strangers can publish pages under one of these hosts; “accounts set-domains” names it.`,
        )
    } catch (error) {
      if (!(error instanceof CellProblem)) throw error
      problems.push(`Line ${one.line}, column ${error.column}: ${error.message}`)
    }
  }
  return { accounts, problems, warnings }
}

interface Seen {
  readonly names: Set<string>
  readonly tokens: Set<string>
}

async function plan(deps: ManageDeps, { name = '', token, ...cells }: ListedAccount, seen: Seen, replace: boolean) {
  if (!isAccountName(name) || isSecret(deps, name)) throw new CellProblem('name', `is not an account’s name. ${ACCOUNT_NAME_RULE}`)
  if (seen.names.has(name)) throw new CellProblem('name', 'stands on another line too.')
  seen.names.add(name)
  const existing = await deps.store.find(name)
  if (existing !== null && !replace)
    throw new CellProblem('name', 'there is an account of this name. To change its settings, add --replace.')
  const provider = deps.providers.get(cells.provider || (existing?.provider ?? providerFor(deps, name)))
  if (provider === undefined) throw new CellProblem('provider', `is none of ${[...deps.providers.keys()].join(', ')}.`)
  if (existing !== null && existing.provider !== provider.name)
    throw new CellProblem('provider', 'the account belongs to another one, and never changes it. Give the new account another name.')
  const { list, problems } = parseAllowList(cells.domains ?? '', isPublicSuffix)
  const allowedDomains = entriesOf(list).join(' ') || null
  if (
    problems.length > 0 ||
    (allowedDomains === null && cells.domains?.trim()) ||
    cells.domains?.split(/[\s,]+/).some((one) => isSecret(deps, one))
  )
    throw new CellProblem('domains', 'holds what is no web site, or one that no list may have; “accounts set-domains” says why.')
  const jsConstant = cells.constant?.trim() || null
  const wrong = jsConstant === null ? null : constantNameProblem(jsConstant)
  if (wrong !== null || isSecret(deps, jsConstant ?? ''))
    throw new CellProblem('constant', `${wrong ?? 'is a secret of the configuration'}.`)
  const settings: AccountChange = {
    ...(cells.domains === undefined ? {} : { allowedDomains }),
    ...(cells.constant === undefined ? {} : { jsConstant }),
  }
  const grant = token === undefined ? null : freshGrant(deps, seedOf(deps, { name, provider, existing, token }, seen), provider, existing)
  return { name, provider: provider.name, existing, settings, grant, isShared: sharedHostWarnings(list).length > 0 }
}

interface Given {
  readonly name: string
  readonly provider: Provider
  readonly existing: Account | null
  readonly token: Secret
}

function seedOf({ secrets, seedFingerprints }: ManageDeps, { name, provider, existing, token: given }: Given, { tokens }: Seen) {
  // Only the provider can say that another token is better, and an import asks it afterwards.
  if (existing !== null && hasGrant(existing)) throw new CellProblem('token', 'the account has a token. Give it another one with “seed”.')
  const token = accepted(secrets, provider, given)
  if (tokens.has(token.reveal())) throw new CellProblem('token', 'stands on another line too.')
  tokens.add(token.reveal())
  return { account: name, token, actor: 'cli', fingerprint: seedFingerprints.get(name) ?? null } as const
}

function accepted(secrets: ManageDeps['secrets'], provider: Provider, given: Secret): Secret {
  try {
    return acceptToken(secrets, provider, given)
  } catch (error) {
    throw error instanceof AppError ? new CellProblem('token', error.message) : error
  }
}

/** Writes a plan without problems: all of it, or nothing. */
export async function runImport(deps: ManageDeps, { accounts }: Plan, actor: Actor): Promise<void> {
  await deps.store.atomically(async (store) => {
    for (const one of accounts)
      if (!(await write(store, one, actor)))
        throw new AppError(
          'conflict',
          `The account “${one.name}” was changed by another request at the same moment. Nothing was imported; try again.`,
        )
  })
  for (const { name, existing } of accounts) if (existing !== null) await publishChange(deps, name, actor)
  if (accounts.some(({ name }) => name === DEFAULT_ACCOUNT)) await deps.publishDefault()
}

function write(store: AccountStore, { name, provider, existing, settings, grant }: Planned, actor: Actor): Promise<boolean> {
  const detail = `${grant === null ? 'Its settings came' : 'Its token and its settings came'} from a list.`
  const event = { account: name, actor, outcome: 'ok', detail } as const
  if (existing === null) {
    const waiting = { state: 'unverified', nextRefreshAt: null } as const
    const fresh = { ...waiting, ...settings, ...grant, name, provider, state: 'unverified' } as const
    return store.insert(fresh, { ...event, kind: grant === null ? 'created' : 'seeded' })
  }
  return grant === null
    ? store.update(name, settings, { ...event, kind: 'changed' })
    : store.replace(name, existing.version, { ...settings, ...grant }, { ...event, kind: 'seeded' })
}

function isSecret({ secrets }: ManageDeps, text: string): boolean {
  try {
    refuseSecret(secrets, text)
    return false
  } catch {
    return true
  }
}

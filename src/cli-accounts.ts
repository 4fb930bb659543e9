import { parseArgs } from 'node:util'
import { describeAccounts } from './application/describe-account.ts'
import * as manage from './application/manage-accounts.ts'
import type { OwnerDeps } from './application/owner-deps.ts'
import { ACCOUNT_NAME_RULE, isAccountName } from './domain/account.ts'
import { NO_ACCOUNT, print, UsageError, when } from './terminal.ts'

export const ACCOUNTS_HELP = `  accounts list [--json]            show every account's settings
  accounts add <name>               make an account; then: token-agent seed <name>
  accounts remove <name> [--revoke] erase its token and settings; --revoke: also ask the provider to take it back
  accounts set-domains <name> [web site…]   who may read its token; none given: the global list
  accounts set-constant <name> [constant]   its name in token.js; none given: the global one
  accounts set-default <name>       what /token.js serves
  accounts pause|resume <name>      a paused account is neither refreshed nor served
`

/** How many words may follow the account's name, and which options. */
const COMMANDS: Readonly<Record<string, { words: number; options?: string[]; named?: false }>> = {
  list: { words: 0, options: ['json'], named: false },
  add: { words: 0 },
  remove: { words: 0, options: ['revoke'] },
  'set-domains': { words: Number.POSITIVE_INFINITY },
  'set-constant': { words: 1 },
  'set-default': { words: 0 },
  pause: { words: 0 },
  resume: { words: 0 },
}

export type AccountsCommand = (deps: OwnerDeps) => Promise<number>

/** Throws a UsageError before anything is opened. */
export function accountsCommand(args: string[]): AccountsCommand {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { json: { type: 'boolean' }, revoke: { type: 'boolean' } },
  })
  const [command = '', ...rest] = positionals
  const form = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined
  if (form === undefined) throw new UsageError(`accounts takes one of ${Object.keys(COMMANDS).join(', ')}.`)
  const [name = '', ...words] = form.named === false ? ['', ...rest] : rest
  if (form.named !== false && !isAccountName(name)) {
    throw new UsageError(
      name === '' ? `accounts ${command} takes the account’s name.` : `“${name}” is not an account’s name. ${ACCOUNT_NAME_RULE}`,
    )
  }
  if (words.length > form.words) throw new UsageError(`accounts ${command} takes no “${words[form.words]}”.`)
  for (const given of Object.keys(values)) {
    if (form.options?.includes(given) !== true) throw new UsageError(`accounts ${command} takes no --${given}.`)
  }
  return (deps) => run(deps, command, name, words, values)
}

async function run(
  deps: OwnerDeps,
  command: string,
  name: string,
  words: string[],
  options: { json?: boolean; revoke?: boolean },
): Promise<number> {
  switch (command) {
    case 'list':
      return list(deps, options.json === true)
    case 'add':
      await manage.createAccount(deps, name, 'instagram', 'cli')
      return print(`There is an account “${name}” now. Give it a token: npx token-agent seed ${name}`)
    case 'remove': {
      const removal = await manage.removeAccount(deps, name, options.revoke === true, 'cli')
      if (removal === 'removed_not_revoked') {
        return print(
          `“${name}” was removed, but the provider did not take the permission back: remove the app in the account’s settings there.`,
          1,
        )
      }
      return print(`“${name}” was removed; its history stays.`)
    }
    case 'set-domains':
      return setDomains(deps, name, words)
    case 'set-constant':
      await manage.setConstant(deps, name, words[0] ?? null, 'cli')
      return print(
        words[0] === undefined ? `“${name}” has the global constant’s name.` : `The constant of “${name}” is called ${words[0]}.`,
      )
    case 'set-default':
      await manage.makeDefault(deps, name, 'cli')
      return print(`/token.js serves “${name}” from now on.`)
    default:
      await manage.setPaused(deps, name, command === 'pause', 'cli')
      return print(command === 'pause' ? `“${name}” is neither refreshed nor served from now on.` : `“${name}” is on again.`)
  }
}

async function setDomains(deps: OwnerDeps, name: string, words: string[]): Promise<number> {
  const { saved, warnings } = await manage.setDomains(deps, name, words.length === 0 ? null : words.join(' '), 'cli')
  for (const warning of warnings) process.stderr.write(`Careful: ${warning}.\n`)
  return print(saved === null ? `For “${name}” the global list holds.` : `The token of “${name}” may be read by ${saved}.`)
}

async function list(deps: OwnerDeps, json: boolean): Promise<number> {
  const accounts = await describeAccounts(deps)
  if (json) return print(JSON.stringify(accounts, null, 2))
  if (accounts.length === 0) print(NO_ACCOUNT)
  for (const one of accounts) {
    print(
      `${one.name}  ${one.provider}${one.username === null ? '' : ` @${one.username}`}${one.isDefault ? '  (what /token.js serves)' : ''}`,
    )
    print(`  condition   ${one.condition}`)
    print(`  token       ${one.token ?? 'none'}`)
    print(`  good until  ${when(one.expiresAt)}`)
    print(`  web sites   ${one.allowedDomains ?? 'the global list'}`)
    print(`  constant    ${one.jsConstant ?? 'the global one'}`)
  }
  return 0
}

import type { AgentCommand } from '../config/agent-command.ts'
import { ACCOUNT_NAME_RULE, isAccountName } from '../core/account.ts'
import { UsageError } from './terminal.ts'
import { isPlain, looksLikeSite, looksSecret, nearest } from './words.ts'

/** One command: what may follow it, and what its help says. */
interface Form {
  readonly words: string
  readonly says: string
  readonly more?: string
  /** `must` have an account's name, or `may`. */
  readonly name?: 'must' | 'may'
  readonly options?: readonly Option[]
  /** How many words may follow the name. */
  readonly rest?: number
}

type Option = 'force' | 'json' | 'revoke'

const FORMS = {
  serve: { words: '', says: 'run the agent: web server and timer' },
  migrate: { words: '', says: 'bring the database up to date' },
  seed: {
    words: '[account]',
    says: 'take over a long-lived token, read from standard input',
    more: 'The token is pasted, or piped in; it is never given as an argument. Without a name: the account “default”.',
    name: 'may',
  },
  refresh: {
    words: '[account] [--force]',
    says: 'refresh what is due; --force refreshes even what is not',
    name: 'may',
    options: ['force'],
  },
  import: {
    words: '[--force]',
    says: 'take over the token of the older Ruby agent, from its own database',
    more: '--force: also over a token that works, and where the old one has expired by the old agent’s clock.',
    options: ['force'],
  },
  status: { words: '[--json]', says: 'show every account', more: '--json: one JSON array, for scripts.', options: ['json'] },
  'rotate-keys': { words: '', says: 'seal every token again, with the newest key of ENCRYPTION_KEY' },
  'accounts list': { words: '[--json]', says: 'show every account’s settings', options: ['json'] },
  'accounts add': {
    words: '<name> [provider]',
    says: 'make an account; its token comes by “seed <name>”',
    name: 'must',
    rest: 1,
  },
  'accounts remove': {
    words: '<name> [--revoke]',
    says: 'erase its token and settings; --revoke: also ask the provider to take it back',
    name: 'must',
    options: ['revoke'],
  },
  'accounts set-domains': {
    words: '<name> [web site…]',
    says: 'who may read its token; none given: the global list',
    name: 'must',
    rest: Number.POSITIVE_INFINITY,
  },
  'accounts set-constant': {
    words: '<name> [constant]',
    says: 'its name in token.js; none given: the global one',
    name: 'must',
    rest: 1,
  },
  'accounts set-default': { words: '<name>', says: 'make it what /token.js serves', name: 'must' },
  'accounts pause': { words: '<name>', says: 'neither refresh nor serve it until “resume”', name: 'must' },
  'accounts resume': { words: '<name>', says: 'refresh and serve it again', name: 'must' },
} satisfies Record<string, Form>

export type CommandName = keyof typeof FORMS

export interface Command {
  readonly name: CommandName
  readonly account: string | null
  readonly rest: readonly string[]
  readonly options: ReadonlySet<Option>
}

export type Asked = Command | { readonly name: 'help'; readonly about: CommandName | null } | { readonly name: 'version' }

const COMMANDS = Object.keys(FORMS) as CommandName[]
const SUBCOMMANDS = COMMANDS.filter((name) => name.startsWith('accounts ')).map((name) => name.slice('accounts '.length))
const FIRST_WORDS = [...COMMANDS.filter((name) => !name.includes(' ')), 'accounts', 'help']
const OPTIONS: readonly string[] = ['force', 'json', 'revoke'] satisfies Option[]
const UNSAID = 'What was typed is not repeated here, because it may be a secret.'

/** What is asked for; null where there is no word at all. Throws a UsageError before anything is opened. */
export function readArguments(args: readonly string[], command: AgentCommand): Asked | null {
  const { words, options, wantsHelp, wantsVersion } = split(args)
  if (wantsVersion) return { name: 'version' }
  const [first, ...others] = words
  if (first === undefined) return wantsHelp ? { name: 'help', about: null } : null
  if (first === 'help') return { name: 'help', about: commandIn(others)?.name ?? null }
  const found = commandIn(words)
  if (wantsHelp || (first === 'accounts' && others[0] === 'help')) return { name: 'help', about: found?.name ?? null }
  if (found === null) throw unknownCommand(first, others, command)
  return readCommand(found, options, command)
}

export function help(command: AgentCommand, about: CommandName | null): string {
  const own = about === null ? '' : helpOn(about, command)
  const lines = COMMANDS.map((name) => `  ${`${name} ${FORMS[name].words}`.padEnd(42)} ${FORMS[name].says}`)
  return `${own}token-agent keeps social-media access tokens alive and serves them to your web sites.

Usage: ${command('<command>')}

${lines.join('\n')}

<command> --help says more of one. Settings come from environment variables; the README lists them.
Exit codes: 0 all is well, 1 something failed or an account needs a person, 2 the command was not understood.
`
}

function helpOn(name: CommandName, command: AgentCommand): string {
  const { words, says, more }: Form = FORMS[name]
  const rest = more === undefined ? '' : `\n${more}`
  return `Usage: ${command(`${name} ${words}`.trim())}\n\n${says.charAt(0).toUpperCase()}${says.slice(1)}.${rest}\n\n`
}

function split(args: readonly string[]) {
  const words: string[] = []
  const options = new Set<Option>()
  let [wantsHelp, wantsVersion, isOver] = [false, false, false]
  for (const arg of args) {
    const [, name, value] = /^--?([^=]+)(=.*)?$/s.exec(arg) ?? []
    if (isOver || name === undefined) words.push(arg)
    else if (arg === '--') isOver = true
    else if (value !== undefined && (OPTIONS.includes(name) || name === 'help')) throw new UsageError(`--${name} takes no value. ${UNSAID}`)
    else if (arg === '--help' || arg === '-h') wantsHelp = true
    else if (arg === '--version' || arg === '-v') wantsVersion = true
    else if (arg.startsWith('--') && isOption(name)) options.add(name)
    else throw new UsageError(isPlain(name) ? `Unknown option '--${name}'.` : `There is no such option. ${UNSAID}`)
  }
  return { words, options, wantsHelp, wantsVersion }
}

const isOption = (name: string): name is Option => OPTIONS.includes(name)

interface Found {
  readonly name: CommandName
  readonly form: Form
  readonly rest: readonly string[]
}

function commandIn([first = '', ...others]: readonly string[]): Found | null {
  const [second = '', ...rest] = others
  const name = COMMANDS.find((one) => one === (first === 'accounts' ? `accounts ${second}` : first))
  return name === undefined ? null : { name, form: FORMS[name], rest: first === 'accounts' ? rest : others }
}

function readCommand({ name, form, rest }: Found, options: ReadonlySet<Option>, command: AgentCommand): Command {
  for (const option of options) if (form.options?.includes(option) !== true) throw new UsageError(`${name} takes no --${option}.`)
  const account = form.name === undefined ? null : (rest[0] ?? null)
  const others = form.name === undefined ? rest : rest.slice(1)
  if (account === null && form.name === 'must') throw new UsageError(`${name} takes the account’s name.`)
  if (account !== null && !isAccountName(account)) {
    throw new UsageError(`That is not an account’s name. ${ACCOUNT_NAME_RULE} ${UNSAID}${tokenAdvice(command)}`)
  }
  if (account !== null && name === 'accounts add' && looksSecret(account)) {
    throw new UsageError(`That looks like a token or a key; an account’s name stands in public addresses. ${UNSAID}${tokenAdvice(command)}`)
  }
  const [tooMuch] = others.slice(form.rest ?? 0)
  if (tooMuch !== undefined)
    throw new UsageError(`${name} takes no ${isPlain(tooMuch) ? `“${tooMuch}”.` : `more words. ${UNSAID}${tokenAdvice(command)}`}`)
  if (name === 'accounts set-domains' && !others.flatMap((word) => word.split(',')).every((word) => word === '' || looksLikeSite(word))) {
    throw new UsageError(`A web site is written as www.example.com, *.example.com or http://localhost:8080, without a path. ${UNSAID}`)
  }
  if (name === 'accounts set-constant' && others.some(looksSecret)) {
    throw new UsageError(`That looks like a token or a key, and the constant’s name is public. ${UNSAID}${tokenAdvice(command)}`)
  }
  return { name, account, rest: others, options }
}

function unknownCommand(first: string, [second]: readonly string[], command: AgentCommand): UsageError {
  const isAccounts = first === 'accounts'
  const typed = isAccounts ? (second ?? '') : first
  const meant = nearest(typed, isAccounts ? SUBCOMMANDS : FIRST_WORDS)
  const hint = meant === null ? '' : ` Did you mean “${isAccounts ? `accounts ${meant}` : meant}”?`
  const unsaid = typed === '' || isPlain(typed) || meant !== null ? '' : ` ${UNSAID}${tokenAdvice(command)}`
  if (isAccounts) return new UsageError(`accounts takes one of ${SUBCOMMANDS.join(', ')}.${hint}${unsaid}`)
  return new UsageError(`There is no command ${isPlain(typed) ? `“${typed}”` : 'of this name'}.${hint}${unsaid}`)
}

const tokenAdvice = (command: AgentCommand): string => ` A token goes to standard input, after: ${command('seed')}`

import type { AgentCommand } from '../config/agent-command.ts'
import { ACCOUNT_NAME_RULE, isAccountName } from '../core/account.ts'
import { UsageError } from './terminal.ts'
import { isPlain, looksLikeSite, looksSecret, nearest } from './words.ts'

/** The arguments and the help of one command. */
interface Form {
  /** The arguments, as the help shows them. */
  readonly words: string
  readonly summary: string
  readonly details?: string
  /** An account's name `must` or `may` follow. */
  readonly name?: 'must' | 'may'
  readonly options?: readonly Option[]
  /** The highest number of words after the name. */
  readonly rest?: number
}

type Option = 'force' | 'json' | 'revoke' | 'provider'

const FORMS = {
  serve: { words: '', summary: 'run the agent: web server and timer' },
  migrate: { words: '', summary: 'bring the database up to date' },
  seed: {
    words: '[account]',
    summary: 'store a long-lived token, read from standard input',
    details: 'Paste the token or pipe it in; never give it as an argument. Without a name: the account “default”.',
    name: 'may',
  },
  refresh: {
    words: '[account] [--force]',
    summary: 'refresh the accounts that are due; --force: also the others',
    name: 'may',
    options: ['force'],
  },
  import: {
    words: '[--force]',
    summary: 'take over the token of the older Ruby agent from its database',
    details: '--force: also replace a token that works, and import one that has expired by the old agent’s clock.',
    options: ['force'],
  },
  status: { words: '[--json]', summary: 'show every account', details: '--json: one JSON array, for scripts.', options: ['json'] },
  'alert-test': {
    words: '',
    summary: 'send a test message to each place that alerts go to',
    details:
      'Exit code 0 if each one took it. ALERT_WEBHOOK_URL, or SMTP_URL and ALERT_EMAIL_TO, name the places; the last step of /setup leads to their values.',
  },
  'rotate-keys': { words: '', summary: 'seal every token again with the newest key of ENCRYPTION_KEY' },
  'accounts list': { words: '[--json]', summary: 'show every account’s settings', options: ['json'] },
  'accounts add': {
    words: '<name> [--provider <which>]',
    summary: 'create an account; then give it a token with “seed <name>”',
    details: 'Without --provider: the provider of the same name, else the first one. The provider may also follow the name alone.',
    name: 'must',
    options: ['provider'],
    rest: 1,
  },
  'accounts remove': {
    words: '<name> [--revoke]',
    summary: 'erase its token and settings; --revoke: also revoke it at the provider',
    name: 'must',
    options: ['revoke'],
  },
  'accounts set-domains': {
    words: '<name> [web site…]',
    summary: 'set the web sites that may read its token; none: the global list',
    name: 'must',
    rest: Number.POSITIVE_INFINITY,
  },
  'accounts set-constant': {
    words: '<name> [constant]',
    summary: 'set the constant’s name in its token.js; none: the global one',
    name: 'must',
    rest: 1,
  },
  'accounts set-pages': {
    words: '<name> allowed|servers-only',
    summary: 'say whether web pages may have a token that can do more than read',
    details:
      'allowed: each visitor of a page can copy the token, and post, answer or delete as the account until the token ends; this ends when its permissions change. servers-only: web pages get an error that says why. Tokens that can only read are for pages anyway.',
    name: 'must',
    rest: 1,
  },
  'accounts set-default': { words: '<name>', summary: 'let /token.js serve it', name: 'must' },
  'accounts pause': { words: '<name>', summary: 'neither refresh nor serve it until it is resumed', name: 'must' },
  'accounts resume': { words: '<name>', summary: 'refresh and serve it again', name: 'must' },
} satisfies Record<string, Form>

export type CommandName = keyof typeof FORMS

export interface Command {
  readonly name: CommandName
  readonly account: string | null
  readonly rest: readonly string[]
  /** A value only with `provider`. */
  readonly options: ReadonlyMap<Option, string>
}

export type Invocation = Command | { readonly name: 'help'; readonly about: CommandName | null } | { readonly name: 'version' }

const COMMANDS = Object.keys(FORMS) as CommandName[]
const SUBCOMMANDS = COMMANDS.filter((name) => name.startsWith('accounts ')).map((name) => name.slice('accounts '.length))
const FIRST_WORDS = [...COMMANDS.filter((name) => !name.includes(' ')), 'accounts', 'help']
const OPTIONS: readonly string[] = ['force', 'json', 'revoke', 'provider'] satisfies Option[]
const NOT_REPEATED = 'The argument is not repeated here, because it may be a secret.'

/** Null without arguments. Throws a UsageError where the arguments are not understood. */
export function readArguments(args: readonly string[], command: AgentCommand): Invocation | null {
  const { words, options, wantsHelp, wantsVersion } = split(args)
  if (wantsVersion) return { name: 'version' }
  const [first, ...others] = words
  if (first === undefined) return wantsHelp ? { name: 'help', about: null } : null
  if (first === 'help') return { name: 'help', about: commandIn(others)?.name ?? null }
  const match = commandIn(words)
  if (wantsHelp || (first === 'accounts' && others[0] === 'help')) return { name: 'help', about: match?.name ?? null }
  if (match === null) throw unknownCommand(first, others, command)
  return readCommand(match, options, command)
}

export function help(command: AgentCommand, about: CommandName | null): string {
  const own = about === null ? '' : helpOn(about, command)
  const lines = COMMANDS.map((name) => `  ${`${name} ${FORMS[name].words}`.padEnd(42)} ${FORMS[name].summary}`)
  return `${own}token-agent keeps social-media access tokens alive and serves them to your web sites.

Usage: ${command('<command>')}

${lines.join('\n')}

<command> --help explains one command. Settings come from environment variables; the README lists them.
Exit codes: 0 success, 1 something failed or an account needs a person, 2 the command was not understood.
`
}

function helpOn(name: CommandName, command: AgentCommand): string {
  const { words, summary, details }: Form = FORMS[name]
  const rest = details === undefined ? '' : `\n${details}`
  return `Usage: ${command(`${name} ${words}`.trim())}\n\n${summary.charAt(0).toUpperCase()}${summary.slice(1)}.${rest}\n\n`
}

function split(args: readonly string[]) {
  const words: string[] = []
  const options = new Map<Option, string>()
  let [wantsHelp, wantsVersion, isOver] = [false, false, false]
  /** Where the value of an option stands. */
  let valueAt = -1
  for (const [at, arg] of args.entries()) {
    if (at === valueAt) continue
    const [, name, value] = /^--?([^=]+)(=.*)?$/s.exec(arg) ?? []
    if (isOver || name === undefined) words.push(arg)
    else if (arg === '--') isOver = true
    else if (name === 'provider' && arg.startsWith('--')) {
      if (value === undefined) valueAt = at + 1
      options.set(name, value?.slice(1) ?? args[at + 1] ?? '')
    } else if (value !== undefined && (OPTIONS.includes(name) || name === 'help'))
      throw new UsageError(`--${name} takes no value. ${NOT_REPEATED}`)
    else if (arg === '--help' || arg === '-h') wantsHelp = true
    else if (arg === '--version' || arg === '-v') wantsVersion = true
    else if (arg.startsWith('--') && isOption(name)) options.set(name, '')
    else throw new UsageError(isPlain(name) ? `Unknown option '--${name}'.` : `There is no such option. ${NOT_REPEATED}`)
  }
  return { words, options, wantsHelp, wantsVersion }
}

const isOption = (name: string): name is Option => OPTIONS.includes(name)

interface Match {
  readonly name: CommandName
  readonly form: Form
  readonly rest: readonly string[]
}

function commandIn([first = '', ...others]: readonly string[]): Match | null {
  const [second = '', ...rest] = others
  const name = COMMANDS.find((one) => one === (first === 'accounts' ? `accounts ${second}` : first))
  return name === undefined ? null : { name, form: FORMS[name], rest: first === 'accounts' ? rest : others }
}

function readCommand({ name, form, rest }: Match, options: ReadonlyMap<Option, string>, command: AgentCommand): Command {
  for (const option of options.keys()) if (form.options?.includes(option) !== true) throw new UsageError(`${name} takes no --${option}.`)
  if (options.has('provider') && (rest.length > 1 || !isPlain(options.get('provider') ?? '')))
    throw new UsageError(`--provider takes the name of one provider. ${NOT_REPEATED}`)
  const account = form.name === undefined ? null : (rest[0] ?? null)
  const others = form.name === undefined ? rest : rest.slice(1)
  if (account === null && form.name === 'must') throw new UsageError(`${name} takes the account’s name.`)
  if (account !== null && !isAccountName(account)) {
    throw new UsageError(`That is not an account’s name. ${ACCOUNT_NAME_RULE} ${NOT_REPEATED}${tokenAdvice(command)}`)
  }
  if (account !== null && name === 'accounts add' && looksSecret(account)) {
    throw new UsageError(`That looks like a token or a key, and an account’s name is public. ${NOT_REPEATED}${tokenAdvice(command)}`)
  }
  const [extra] = others.slice(form.rest ?? 0)
  if (extra !== undefined)
    throw new UsageError(`${name} takes no ${isPlain(extra) ? `“${extra}”.` : `more words. ${NOT_REPEATED}${tokenAdvice(command)}`}`)
  if (name === 'accounts set-domains' && !others.flatMap((word) => word.split(',')).every((word) => word === '' || looksLikeSite(word))) {
    throw new UsageError(
      `A web site is written as www.example.com, *.example.com or http://localhost:8080, without a path. ${NOT_REPEATED}`,
    )
  }
  if (name === 'accounts set-pages' && others[0] !== 'allowed' && others[0] !== 'servers-only')
    throw new UsageError('accounts set-pages takes “allowed” or “servers-only” after the account’s name.')
  if (name === 'accounts set-constant' && others.some(looksSecret)) {
    throw new UsageError(`That looks like a token or a key, and the constant’s name is public. ${NOT_REPEATED}${tokenAdvice(command)}`)
  }
  return { name, account, rest: others, options }
}

function unknownCommand(first: string, [second]: readonly string[], command: AgentCommand): UsageError {
  const isAccounts = first === 'accounts'
  const typed = isAccounts ? (second ?? '') : first
  const suggestion = nearest(typed, isAccounts ? SUBCOMMANDS : FIRST_WORDS)
  const hint = suggestion === null ? '' : ` Did you mean “${isAccounts ? `accounts ${suggestion}` : suggestion}”?`
  const advice = typed === '' || isPlain(typed) || suggestion !== null ? '' : ` ${NOT_REPEATED}${tokenAdvice(command)}`
  if (isAccounts) return new UsageError(`accounts takes one of ${SUBCOMMANDS.join(', ')}.${hint}${advice}`)
  return new UsageError(`There is no command ${isPlain(typed) ? `“${typed}”` : 'of this name'}.${hint}${advice}`)
}

const tokenAdvice = (command: AgentCommand): string => ` A token goes to standard input; run: ${command('seed')}`

import type { AgentCommand } from '../config/agent-command.ts'
import { ACCOUNT_NAME_RULE, isAccountName } from '../core/account.ts'
import { COMMANDS, type CommandName, FORMS, type Form, GROUPS, OPTIONS, type Option, secondWords } from './commands.ts'
import { UsageError } from './terminal.ts'
import { isPlain, looksLikeSite, looksSecret, nearest } from './words.ts'

export interface Command {
  readonly name: CommandName
  readonly account: string | null
  readonly rest: readonly string[]
  /** Empty for an option without a value. */
  readonly options: ReadonlyMap<Option, string>
}

/** `about`: a command or the first word of several; null = all. */
export type Invocation = Command | { readonly name: 'help'; readonly about: string | null } | { readonly name: 'version' }

const FIRST_WORDS = [...COMMANDS.filter((name) => !name.includes(' ')), ...GROUPS, 'help']
const NOT_REPEATED = 'The argument is not repeated here, because it may be a secret.'

/** Null without arguments. Throws a UsageError where the arguments are not understood. */
export function readArguments(args: readonly string[], command: AgentCommand): Invocation | null {
  const { words, options, wantsHelp, wantsVersion } = split(args)
  if (wantsVersion) return { name: 'version' }
  const [first, ...others] = words
  if (first === undefined) return wantsHelp ? { name: 'help', about: null } : null
  if (first === 'help') return { name: 'help', about: topicOf(others) }
  if (wantsHelp || (GROUPS.includes(first) && others[0] === 'help')) return { name: 'help', about: topicOf(words) }
  const match = commandIn(words)
  if (match === null) throw unknownCommand(first, others, command)
  return readCommand(match, options, command)
}

function topicOf(words: readonly string[]): string | null {
  return commandIn(words)?.name ?? GROUPS.find((group) => group === words[0]) ?? null
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
    else if (isOption(name) && OPTIONS[name] !== null && arg.startsWith('--')) {
      if (value === undefined) valueAt = at + 1
      options.set(name, value?.slice(1) ?? args[at + 1] ?? '')
    } else if (value !== undefined && (isOption(name) || name === 'help')) throw new UsageError(`--${name} takes no value. ${NOT_REPEATED}`)
    else if (arg === '--help' || arg === '-h') wantsHelp = true
    else if (arg === '--version' || arg === '-v') wantsVersion = true
    else if (arg.startsWith('--') && isOption(name)) options.set(name, '')
    else throw new UsageError(isPlain(name) ? `Unknown option '--${name}'.` : `There is no such option. ${NOT_REPEATED}`)
  }
  return { words, options, wantsHelp, wantsVersion }
}

const isOption = (name: string): name is Option => Object.hasOwn(OPTIONS, name)

interface Match {
  readonly name: CommandName
  readonly form: Form
  readonly rest: readonly string[]
}

function commandIn([first = '', ...others]: readonly string[]): Match | null {
  const [second = '', ...rest] = others
  const long = COMMANDS.find((one) => one === `${first} ${second}`)
  const name = long ?? COMMANDS.find((one) => one === first)
  return name === undefined ? null : { name, form: FORMS[name], rest: long === undefined ? others : rest }
}

function readCommand({ name, form, rest }: Match, options: ReadonlyMap<Option, string>, command: AgentCommand): Command {
  for (const option of options.keys()) if (form.options?.[option] === undefined) throw new UsageError(`${name} takes no --${option}.`)
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
  const { choices } = form
  if (choices !== undefined && !(others[0] === undefined ? form.mayChoose === true : choices.includes(others[0]))) {
    const list = choices.map((one) => `“${one}”`).join(' or ')
    throw new UsageError(`${name} takes ${list}${form.mayChoose === true ? ' or nothing' : ''} after the account’s name.`)
  }
  if (name === 'accounts set-constant' && others.some(looksSecret)) {
    throw new UsageError(`That looks like a token or a key, and the constant’s name is public. ${NOT_REPEATED}${tokenAdvice(command)}`)
  }
  return { name, account, rest: others, options }
}

function unknownCommand(first: string, [second]: readonly string[], command: AgentCommand): UsageError {
  const isGroup = GROUPS.includes(first)
  const typed = isGroup ? (second ?? '') : first
  // “export” is meant as “accounts export”, although “import” looks like it.
  const group = isGroup ? first : GROUPS.find((one) => secondWords(one).includes(typed))
  const suggestion = nearest(typed, group === undefined ? FIRST_WORDS : secondWords(group))
  const hint = suggestion === null ? '' : ` Did you mean “${group === undefined ? '' : `${group} `}${suggestion}”?`
  const advice = typed === '' || isPlain(typed) || suggestion !== null ? '' : ` ${NOT_REPEATED}${tokenAdvice(command)}`
  if (isGroup) return new UsageError(`${first} takes one of ${secondWords(first).join(', ')}.${hint}${advice}`)
  return new UsageError(`There is no command ${isPlain(typed) ? `“${typed}”` : 'of this name'}.${hint}${advice}`)
}

const tokenAdvice = (command: AgentCommand): string => ` A token goes to standard input; run: ${command('seed')}`

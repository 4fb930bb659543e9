import { styleText } from 'node:util'
import { type AccountView, type AdvisedAccount, conditionWord, describeAccounts, type ViewDeps } from '../accounts/view.ts'
import type { Agent } from '../agent.ts'
import type { AgentCommand } from '../config/agent-command.ts'
import { words } from '../core/format-time.ts'
import { statusPages } from '../status/report.ts'
import type { Command } from './arguments.ts'
import { drained, isRead, print, printArray } from './terminal.ts'

type Asked = Pick<Command, 'options'>

const SHOWN_SITES = 3
/** This many lines decide the widths of the columns of all. */
const MEASURED = 500
const COLOURS: Readonly<Record<string, 'red' | 'yellow' | 'green' | 'gray'>> = {
  'needs you': 'red',
  'trying again': 'yellow',
  checking: 'yellow',
  empty: 'yellow',
  working: 'green',
  paused: 'gray',
}
const READERS: Readonly<Record<AccountView['pageUse'], string>> = {
  safe: 'web sites and servers',
  untold: 'web sites and servers',
  allowed: 'web sites too, though it can do more than read',
  servers: 'servers alone',
  ended: 'servers alone, since its permissions have changed',
}

/** The exit code is 1 if an account needs a person. */
export async function status(agent: Agent, command: AgentCommand, { options }: Asked): Promise<number> {
  let needPerson = 0
  if (options.has('json')) {
    await printArray(
      picked(statusPages(agent), (report) => {
        needPerson += report.needPerson.length
        return options.has('attention') ? report.accounts.filter(({ account }) => report.needAttention.includes(account)) : report.accounts
      }),
    )
    return needPerson > 0 ? 1 : 0
  }
  const { owner: deps } = agent
  await printRows(deps, command, options.has('attention'), (one) => {
    if (one.condition === 'needs you') needPerson++
    return statusRow(one, { now: deps.store.now(), command })
  })
  return needPerson > 0 ? 1 : 0
}

export async function listAccounts(deps: ViewDeps, command: AgentCommand, { options }: Asked): Promise<number> {
  if (options.has('json')) {
    await printArray(
      picked(describeAccounts(deps), (page) => {
        const wanted = options.has('attention') ? page.filter(({ needsAttention }) => needsAttention) : page
        // The advice is the web's: it names buttons.
        return wanted.map(({ next, remedy, error, needsAttention, ...view }) => view)
      }),
    )
    return 0
  }
  await printRows(deps, command, options.has('attention'), settingsRow)
  return 0
}

export function noAccount(command: AgentCommand): string {
  return `There is no account yet. Store a token with: ${command('seed')}`
}

async function* picked<Page, T>(pages: AsyncIterable<Page>, pick: (page: Page) => readonly T[]): AsyncGenerator<readonly T[]> {
  for await (const page of pages) yield pick(page)
}

interface Surroundings {
  readonly now: Date
  readonly command: AgentCommand
}

function statusRow(one: AdvisedAccount, around: Surroundings): string[] {
  return [conditionWord(one), one.name, one.provider, userOf(one), ...datesOf(one, around.now), whyOf(one, around)]
}

function datesOf(one: AdvisedAccount, now: Date): [until: string, next: string] {
  const { token, nextRefreshAt, failureCount, condition } = one
  if (token === null) return ['', '']
  const end = one.grantEnd ?? one.expiresAt
  const day = end === null ? '' : words.dayInUtc(end)
  const until =
    end === null ? (one.lastRefreshAt === null ? 'end not known yet' : 'no end') : `${end <= now ? 'ended' : 'good until'} ${day}`
  const title = failureCount > 0 || condition === 'needs you' ? 'next try' : 'next refresh'
  return [until, nextRefreshAt === null ? '' : `${title} ${words.dueInWords(nextRefreshAt, now)}`]
}

function whyOf({ name, condition, lastError }: AdvisedAccount, { command }: Surroundings): string {
  if (condition === 'empty') return `It waits for its first token: ${command(`seed ${name}`)}`
  return condition === 'paused' || lastError === null ? '' : words.plain(lastError)
}

function settingsRow(one: AdvisedAccount): string[] {
  const sites = one.allowedDomains?.split(' ') ?? ['the global list']
  const more = sites.length - SHOWN_SITES
  return [
    conditionWord(one),
    `${one.name}${one.isDefault ? '*' : ''}`,
    one.provider,
    userOf(one),
    more > 0 ? `${sites.slice(0, SHOWN_SITES).join(' ')} and ${more} more` : sites.join(' '),
    one.jsConstant ?? 'the global constant',
    READERS[one.pageUse],
  ]
}

const userOf = ({ username }: AccountView): string => (username === null ? '' : `@${username}`)

/** Prints a line for each account. */
async function printRows(
  deps: ViewDeps,
  command: AgentCommand,
  onlyNeedy: boolean,
  toRow: (one: AdvisedAccount) => string[],
): Promise<void> {
  let rows: string[][] = []
  let widths: readonly number[] | null = null
  let printed = 0
  const flush = async (): Promise<void> => {
    widths ??= (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
    for (const row of rows) printRow(row, widths)
    printed += rows.length
    rows = []
    await drained()
  }
  for await (const one of needyFirst(deps, onlyNeedy)) {
    rows.push(toRow(one))
    if (rows.length >= MEASURED) await flush()
    if (!isRead()) return
  }
  await flush()
  if (printed === 0)
    print(onlyNeedy && (await deps.store.list({ after: '', limit: 1 })).length > 0 ? 'No account needs you.' : noAccount(command))
}

function printRow([word = '', ...row]: readonly string[], [first = 0, ...widths]: readonly number[]): void {
  const line = row.flatMap((cell, at) => (widths[at] === 0 ? [] : [cell.padEnd(widths[at] ?? 0)])).join('  ')
  print(`${styleText(COLOURS[word] ?? 'reset', word)}${' '.repeat(first - word.length + 2)}${line.trimEnd()}`)
}

/**
 * The accounts that need attention, by urgency as on the web, then the others by name. Only the first ones are held in
 * memory; the others are read by pages.
 */
async function* needyFirst(deps: ViewDeps, onlyNeedy: boolean): AsyncGenerator<AdvisedAccount> {
  const needy = new Map<string, AdvisedAccount>()
  for await (const page of describeAccounts(deps)) for (const one of page) if (one.needsAttention) needy.set(one.name, one)
  const rank = ({ condition }: AdvisedAccount): number => (condition === 'needs you' ? 0 : condition === 'empty' ? 2 : 1)
  const endOf = (one: AdvisedAccount): number => (one.grantEnd ?? one.expiresAt)?.getTime() ?? Number.POSITIVE_INFINITY
  yield* [...needy.values()].sort((a, b) => rank(a) - rank(b) || compare(endOf(a), endOf(b)) || (a.name < b.name ? -1 : 1))
  if (onlyNeedy) return
  for await (const page of describeAccounts(deps)) yield* page.filter(({ name }) => !needy.has(name))
}

const compare = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1)

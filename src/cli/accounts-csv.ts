import Papa from 'papaparse'
import { COLUMNS, type Column, type ListedAccount, planImport, runImport } from '../accounts/import-accounts.ts'
import type { ManageDeps } from '../accounts/manage.ts'
import { accountPages } from '../core/account-pages.ts'
import { AppError } from '../core/errors.ts'
import { words } from '../core/format-time.ts'
import { Secret } from '../core/secret.ts'
import { refreshDue } from '../refreshing/refresh-due.ts'
import { count, drained, isRead, print, progress, say } from './terminal.ts'
import { looksLikeSite, looksSecret } from './words.ts'

const MAX_BYTES = 8_000_000
const MAX_ACCOUNTS = 10_000
const SHOWN_PROBLEMS = 20
const NO_SITE = 'holds what is no web site. Write www.example.com, *.example.com or http://localhost:8080, separated by blanks.'
const EXPORTED = COLUMNS.filter((column) => column !== 'token')
/** Spreadsheets run such a cell as a formula. One more apostrophe stands before it, so that reading can take it off again. */
const FORMULA = /^'*[=+\-@\t\r]/
const QUOTED = /^'+[=+\-@\t\r]/

/** One line of CSV, as a spreadsheet may open it. */
export const toLine = (cells: readonly string[]): string => Papa.unparse([[...cells]], { escapeFormulae: FORMULA })

export async function exportAccounts({ store }: Pick<ManageDeps, 'store'>): Promise<number> {
  print(toLine(EXPORTED))
  for await (const page of accountPages(store)) {
    for (const one of page) print(toLine([one.name, one.provider, one.allowedDomains ?? '', one.jsConstant ?? '']))
    await drained()
    if (!isRead()) break
  }
  return 0
}

/** Creates accounts from a list on standard input. No output repeats a cell but the name of an account that was taken. */
export async function importAccounts(deps: ManageDeps, replace: boolean, stopped: AbortSignal): Promise<number> {
  if (process.stdin.isTTY) say(`Paste the list and press Enter, then Ctrl-D. Its first line names the columns: ${COLUMNS.join(',')}`)
  const { accounts: listed, problems } = readList(await readInput())
  const plan = await planImport(deps, listed, replace)
  const wrong = [...problems, ...plan.problems].sort((a, b) => lineOf(a) - lineOf(b))
  if (wrong.length > 0) {
    const more = wrong.length - SHOWN_PROBLEMS
    const shown = more > 0 ? [...wrong.slice(0, SHOWN_PROBLEMS), `And ${more} more.`] : wrong
    throw new AppError('invalid', `${shown.join('\n')}\nNothing was imported.`)
  }
  for (const warning of plan.warnings) say(warning)
  await runImport(deps, plan, 'cli')
  const created = plan.accounts.filter(({ existing }) => existing === null).length
  print(`${count(created, 'account')} created, ${plan.accounts.length - created} changed.`)
  const seeded = plan.accounts.filter(({ grant }) => grant !== null).map(({ name }) => name)
  return seeded.length === 0 ? 0 : askAbout(deps, seeded, stopped)
}

/** Asks the providers about the new tokens. What is left after Ctrl-C, the agent asks. */
async function askAbout(deps: ManageDeps, names: readonly string[], stopped: AbortSignal): Promise<number> {
  let [works, asked] = [0, 0]
  for (const name of names) {
    if (stopped.aborted) break
    progress(`${++asked} of ${count(names.length, 'token')} …`)
    const { results } = await refreshDue(deps, { actor: 'cli', account: name, force: true })
    for (const { outcome, message } of results) {
      if (outcome === 'failed') print(`${name}: ${words.plain(message)}`)
      else works++
    }
  }
  return print(`${works} of ${count(names.length, 'token')} ${works === 1 ? 'works' : 'work'}.`, works < names.length ? 1 : 0)
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new AppError('invalid', `The list is longer than ${MAX_BYTES / 1e6} MB: divide it.`)
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    throw new AppError('invalid', 'The list is no text in UTF-8: in a spreadsheet, save it as “CSV UTF-8”.')
  }
}

interface List {
  readonly accounts: readonly ListedAccount[]
  /** A sentence each, which repeats no cell. */
  readonly problems: readonly string[]
}

/** Reads a list, and refuses what looks like a secret outside the column of tokens. */
export function readList(text: string): List {
  const head = text.split(/[\r\n]/, 1)[0] ?? ''
  // Spreadsheets of some countries write semicolons. Blanks or commas separate web sites, so the header decides.
  const delimiter = [';', '\t'].find((one) => head.includes(one)) ?? ','
  const { rows, errors } = readCells(text, delimiter)
  const [header] = rows
  if (errors.length > 0) return failed(`Line ${rows[errors[0]?.row ?? 0]?.line ?? 1}: a quotation mark is missing or in the wrong place.`)
  const columns = (header?.cells ?? []).map((cell) => COLUMNS.find((one) => one === cell.trim().toLowerCase()))
  const unknown = columns.findIndex((column, at) => column === undefined || columns.indexOf(column) !== at)
  if (unknown !== -1 || !columns.includes('name'))
    return failed(
      `Line 1${unknown === -1 ? '' : `, column ${unknown + 1}`}: the first line names the columns: name, and any of ${COLUMNS.slice(1).join(', ')}.`,
    )
  const filled = rows.slice(1).filter(({ cells }) => cells.some((cell) => cell.trim() !== ''))
  if (filled.length > MAX_ACCOUNTS) return failed(`The list has more than ${MAX_ACCOUNTS} accounts: divide it.`)
  if (filled.length === 0) return failed('The list has no account: one stands on each line after the first.')
  const problems: string[] = []
  const accounts = filled.flatMap(({ cells, line }): ListedAccount[] => {
    const longer = cells.slice(columns.length).some((cell) => cell !== '')
    const given = Object.fromEntries(columns.map((column, at) => [column, (cells[at] ?? '').trim()])) as Partial<Record<Column, string>>
    const secret = longer
      ? undefined
      : columns.find((column) => column !== undefined && column !== 'token' && isHidden(column, given[column] ?? ''))
    if (longer) problems.push(`Line ${line}: has more cells than the first line has columns.`)
    if (secret !== undefined)
      problems.push(
        `Line ${line}, column ${secret}: ${secret === 'domains' ? NO_SITE : 'looks like a token or a key. A token stands in the column token.'}`,
      )
    if (longer || secret !== undefined) return []
    const { token = '', ...others } = given
    return [{ ...others, line, token: token === '' ? undefined : new Secret(token) }]
  })
  return { accounts, problems }
}

const failed = (problem: string): List => ({ accounts: [], problems: [problem] })
const lineOf = (problem: string): number => Number(/\d+/.exec(problem)?.[0])
const plain = (cell: string): string => (QUOTED.test(cell) ? cell.slice(1) : cell)

/** The rows with the lines where they begin: a quoted cell may have several. */
export function readCells(text: string, delimiter: string) {
  const { data, errors } = Papa.parse<string[]>(text, { delimiter })
  let line = 1
  const rows = data.map((cells) => {
    const row = { cells: cells.map(plain), line }
    line += 1 + cells.reduce((breaks, cell) => breaks + (cell.match(/\r\n|\r|\n/g)?.length ?? 0), 0)
    return row
  })
  return { rows, errors }
}

function isHidden(column: Column, cell: string): boolean {
  if (column !== 'domains') return looksSecret(cell)
  return !cell.split(/[\s,]+/).every((site) => site === '' || looksLikeSite(site))
}

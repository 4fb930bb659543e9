import type { Agent } from '../agent.ts'
import type { AgentCommand } from '../config/agent-command.ts'
import { AppError } from '../core/errors.ts'
import { words } from '../core/format-time.ts'
import type { RefreshResult } from '../refreshing/refresh-account.ts'
import { type AccountStatus, reportStatus, type StatusReport, statusPages } from '../status/report.ts'
import type { Command } from './arguments.ts'
import { noAccount } from './lists.ts'
import { count, drained, print, printArray, progress } from './terminal.ts'
import { isPlain } from './words.ts'

/** One account as `refresh --json` prints it. Scripts rely on the names. */
interface Line {
  readonly account: string
  /** `due`: a refresh would be tried now. `busy`: another process refreshes it at the moment. */
  readonly outcome: RefreshResult['outcome'] | 'due' | 'not_due' | 'idle' | 'busy'
  readonly message: string
  readonly nextRefreshAt: Date | null
  readonly needsPerson: boolean
}

/** The exit code is 1 if a refresh failed or an account needs a person. */
export async function refresh(
  agent: Agent,
  command: AgentCommand,
  { account, options }: Pick<Command, 'account' | 'options'>,
): Promise<number> {
  if (account !== null && (await agent.store.find(account)) === null) {
    throw new AppError('not_found', isPlain(account) ? `There is no account “${account}”.` : 'There is no account of this name.')
  }
  const [isDry, force, json] = [options.has('dry-run'), options.has('force'), options.has('json')]
  const results = new Map<string, RefreshResult>()
  const onResult = (result: RefreshResult): void => {
    results.set(result.account, result)
    if (!json) printLine(result)
    progress(`${count(results.size, 'account')} so far …`)
  }
  const sweep = { actor: 'cli', force, onResult, ...(account === null ? {} : { account }) } as const
  const { failed } = isDry ? { failed: 0 } : await agent.work.sweep(sweep)
  let [needPerson, accounts] = [0, 0]
  async function* pages(): AsyncGenerator<Line[]> {
    for await (const report of account === null ? statusPages(agent) : [await reportStatus(agent, account)]) {
      needPerson += report.needPerson.length
      accounts += report.accounts.length
      yield report.accounts.map((one) => lineOf(one, report, { result: results.get(one.account), now: agent.store.now(), isDry, force }))
    }
  }
  if (json) await printArray(pages())
  else {
    for await (const page of pages()) {
      for (const line of page) if (!results.has(line.account)) printLine(line)
      await drained()
    }
    if (accounts === 0) print(noAccount(command))
  }
  return failed > 0 || needPerson > 0 ? 1 : 0
}

function printLine({ account, outcome, message }: Pick<Line, 'account' | 'outcome' | 'message'>): void {
  const isPlainState = outcome === 'due' || outcome === 'not_due' || outcome === 'idle' || outcome === 'busy'
  print(`${account}: ${isPlainState ? '' : `${outcome}. `}${words.plain(message)}`)
}

interface Facts {
  readonly result: RefreshResult | undefined
  readonly now: Date
  readonly isDry: boolean
  readonly force: boolean
}

function lineOf(one: AccountStatus, { idle }: StatusReport, { result, now, isDry, force }: Facts): Line {
  const { account, nextRefreshAt, needsPerson } = one
  const line = (outcome: Line['outcome'], message: string): Line => ({ account, outcome, message, nextRefreshAt, needsPerson })
  if (result !== undefined) return line(result.outcome, result.message)
  const why = idle.get(account)
  if (why !== undefined) return line('idle', `${why}, so there is nothing to refresh.`)
  const isDue = force || (nextRefreshAt !== null && nextRefreshAt <= now)
  if (isDue) return isDry ? line('due', 'would be refreshed now.') : line('busy', 'another process is refreshing it at the moment.')
  return line('not_due', nextRefreshAt === null ? 'it waits for a person.' : `not due until ${words.inUtc(nextRefreshAt)}.`)
}

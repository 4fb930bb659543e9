import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { staleSentence } from '../accounts/publish-change.ts'
import { type Agent, createAgent } from '../agent.ts'
import { agentCommand } from '../config/agent-command.ts'
import { type Config, readConfig } from '../config/config.ts'
import { createLogger } from '../logger.ts'
import type { StaleUntil } from '../reading/token-reader.ts'
import { accountsCommand } from './accounts.ts'
import { type Command, type CommandName, help, readArguments } from './arguments.ts'
import { endOutput, flushed, print, UsageError, watchOutput } from './terminal.ts'
import { importRuby, refresh, rotate, seed, status } from './tokens.ts'
import { startWaitNotice } from './wait-notice.ts'

/** A change is looked at in Memcached once more after a second. */
const LAST_ANSWERS_MS = 2_000
/** These ask for many rows, and nothing is held up meanwhile: a database that is slow to give them is not down. */
const LISTS: readonly CommandName[] = ['status', 'accounts list', 'rotate-keys']
const LIST_TIMEOUT_MS = 120_000
/** These ask a provider for a token that may be the only one that lives. */
const ASKS_PROVIDER: readonly CommandName[] = ['seed', 'refresh', 'import']
const MAY_BE_LOST = 'A token that the provider has just given may wait to be saved: ended now, it may be lost.'

export interface MainOptions {
  /** How long a command waits in silence. */
  readonly sayEveryMs?: number
}

/** Runs one command. Never throws; the exit code says how it ended, and all output is written by then. */
export async function main(args = process.argv.slice(2), env = process.env, { sayEveryMs }: MainOptions = {}): Promise<void> {
  watchOutput()
  const command = agentCommand(env)
  try {
    const asked = readArguments(args, command)
    if (asked === null || asked.name === 'help') {
      process.stdout.write(help(command, asked === null ? null : asked.about))
      process.exitCode = await endOutput(asked === null ? 2 : 0)
    } else if (asked.name === 'version') {
      print(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
      process.exitCode = await endOutput(0)
    } else if (asked.name === 'serve') {
      const { serve } = await import('../server.ts')
      await serve(env)
    } else {
      await endProcess(await endOutput(await runCommand(asked, env, sayEveryMs)))
    }
  } catch (error) {
    const usage = error instanceof UsageError
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage ? `\nSee: ${command('--help')}\n` : ''}`)
    await endOutput(0)
    await endProcess(usage ? 2 : 1)
  }
}

async function runCommand(asked: Command, env: NodeJS.ProcessEnv, everyMs: number | undefined): Promise<number> {
  const config = readConfig(env)
  // A command prints its own answer; what the parts log is for the server's log.
  const queryTimeoutMs = LISTS.includes(asked.name) ? LIST_TIMEOUT_MS : undefined
  const agent = await createAgent(config, createLogger('silent'), { queryTimeoutMs })
  const notice = startWaitNotice(agent.storeState, {
    say,
    ...(ASKS_PROVIDER.includes(asked.name) ? { advice: MAY_BE_LOST } : {}),
    ...(everyMs === undefined ? {} : { everyMs }),
  })
  try {
    const applied = await notice.during(
      'Waiting until the database is up to date, which another process may be bringing about',
      agent.migrate('command'),
    )
    return await run(asked, applied, config, agent)
  } finally {
    notice.stop()
    // A database that hangs does not say goodbye.
    await Promise.race([agent.close(), sleep(LAST_ANSWERS_MS, undefined, { ref: false })]).catch(() => undefined)
  }
}

async function run(asked: Command, applied: readonly string[], config: Config, agent: Agent): Promise<number> {
  const { name, account, options } = asked
  const { owner } = agent
  switch (name) {
    case 'migrate':
      return print(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}. The database is up to date.`)
    case 'seed':
      return seed(owner, account, (work) => guarded(agent, work))
    case 'refresh':
      return guarded(agent, () => refresh(agent, config.command, account, options.has('force')))
    case 'import':
      return guarded(agent, () => importRuby(agent, options.has('force')))
    case 'status':
      return status(agent, config.command, options.has('json'))
    case 'rotate-keys':
      return rotate(agent)
    default:
      return sayingWhen(owner, (told) => accountsCommand(told, config.command, asked))
  }
}

/** Of a change that other instances do not see at once, the terminal learns when they do. */
async function sayingWhen(owner: Agent['owner'], work: (owner: Agent['owner']) => Promise<number>): Promise<number> {
  const staleUntils = new Map<string, StaleUntil>()
  const publish: Agent['owner']['publish'] = async (name, unsaved) => {
    const staleUntil = await owner.publish(name, unsaved)
    staleUntils.set(name, staleUntil)
    return staleUntil
  }
  const code = await work({ ...owner, publish })
  for (const until of staleUntils.values()) if (until !== null) say(staleSentence(until))
  return code
}

/**
 * The first Ctrl-C begins nothing new and lets what is under way be saved; the second one ends the process as it would
 * have without this.
 */
async function guarded(agent: Agent, work: () => Promise<number>): Promise<number> {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  let caught = null as (typeof signals)[number] | null
  const onSignal = (signal: NodeJS.Signals): void => {
    caught = signals.find((one) => one === signal) ?? 'SIGTERM'
    for (const one of signals) process.off(one, onSignal)
    agent.stopClaiming()
    say(`Ending as soon as what is under way is saved; once more ends it at once. ${MAY_BE_LOST}`)
  }
  for (const one of signals) process.on(one, onSignal)
  try {
    return await work()
  } finally {
    for (const one of signals) process.off(one, onSignal)
    // A shell that runs a script sees that the command was ended, and ends the script.
    if (caught !== null) process.kill(process.pid, caught)
  }
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`)
}

/** Sockets of a part that hangs would keep the process. */
async function endProcess(code: number): Promise<void> {
  process.exitCode = code
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit()
}

if (import.meta.main) await main()

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { staleSentence } from '../accounts/publish-change.ts'
import { type Agent, createAgent } from '../agent.ts'
import { agentCommand } from '../config/agent-command.ts'
import { type Config, readConfig } from '../config/config.ts'
import { placeOf } from '../config/platform.ts'
import { accountPages } from '../core/account-pages.ts'
import { AppError } from '../core/errors.ts'
import { createLogger } from '../logger.ts'
import type { StaleUntil } from '../reading/token-reader.ts'
import { accountsCommand } from './accounts.ts'
import { type Command, readArguments } from './arguments.ts'
import { auth, CREATED } from './auth.ts'
import type { AuthTimes } from './auth-wait.ts'
import type { CommandName } from './commands.ts'
import { feed } from './feed.ts'
import { help } from './help.ts'
import { interruptible, MAY_BE_LOST } from './interruptible.ts'
import { status } from './lists.ts'
import { listProviders } from './providers.ts'
import { refresh } from './refresh.ts'
import { type Surroundings, surroundingsIn } from './surroundings.ts'
import { endOutput, flushed, print, progress, say, UsageError, watchOutput } from './terminal.ts'
import { token } from './token.ts'
import { importRuby, rotate, seed } from './tokens.ts'
import { startWaitNotice } from './wait-notice.ts'
import { nearest } from './words.ts'

/** A change is checked in Memcached once more after a second. */
const CLOSE_TIMEOUT_MS = 2_000
/** These read many rows, so a slow answer does not mean that the database is down. */
const LISTS: readonly CommandName[] = ['status', 'accounts list', 'accounts export', 'rotate-keys', 'backup', 'restore']
const LIST_TIMEOUT_MS = 120_000
/** A person has so long to unlock the keychain. */
const UNLOCK_MS = 60_000
/** These may get a new token from a provider that voids the old one. */
const CALLS_PROVIDER: readonly CommandName[] = ['seed', 'refresh', 'auth refresh', 'token', 'auth', 'import', 'accounts import']
/** A typing mistake in the store's path must not look like an agent without accounts, so all others make no store. */
const MAKES_STORE: readonly CommandName[] = [
  'migrate',
  'seed',
  'import',
  'alert-test',
  'accounts add',
  'accounts import',
  'restore',
  'auth providers',
  'auth',
]
/** A suggestion looks no further than this. */
const SUGGESTED_NAMES = 5_000

export interface MainOptions {
  /** The interval of the notices of a command that waits. */
  readonly noticeEveryMs?: number
  readonly authTimes?: Partial<AuthTimes>
  /** Whether this is a container; unset = it is looked up. */
  readonly isContainer?: boolean
}

/** Runs one command and sets the exit code. Never throws; all output is written before it resolves. */
export async function main(args = process.argv.slice(2), env = process.env, options: MainOptions = {}): Promise<void> {
  watchOutput()
  const command = agentCommand(env)
  try {
    const invocation = readArguments(args, command)
    if (invocation === null || invocation.name === 'help') {
      process.stdout.write(help(command, invocation === null ? null : invocation.about))
      process.exitCode = await endOutput(invocation === null ? 2 : 0)
    } else if (invocation.name === 'version') {
      print(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
      process.exitCode = await endOutput(0)
    } else if (invocation.name === 'serve') {
      const { serve } = await import('../server.ts')
      await serve(env)
    } else {
      await endProcess(await endOutput(await runCommand(invocation, env, options)))
    }
  } catch (error) {
    const usage = error instanceof UsageError
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage ? `\nSee: ${command('--help')}\n` : ''}`)
    await endOutput(0)
    await endProcess(usage ? 2 : 1)
  }
}

async function runCommand(
  invocation: Command,
  env: NodeJS.ProcessEnv,
  { noticeEveryMs: everyMs, authTimes: times, isContainer }: MainOptions,
): Promise<number> {
  if (invocation.name === 'token' && process.stdout.isTTY && !invocation.options.has('show'))
    throw new UsageError('token prints the token, and this is a terminal, which keeps what it shows. Let a program read it, or add --show.')
  const config = readConfig(env)
  const { place, exists } = placeOf(config.database)
  if (!exists && !MAKES_STORE.includes(invocation.name)) throw new AppError('not_found', noStore(place, config.command))
  const keychainMs = process.stdin.isTTY ? UNLOCK_MS : undefined
  if (invocation.name.startsWith('keychain ')) {
    const { keychainCommand } = await import('./keychain.ts')
    return keychainCommand(config, invocation.name, keychainMs)
  }
  // A command prints its own result, so the log is silent.
  const queryTimeoutMs = LISTS.includes(invocation.name) ? LIST_TIMEOUT_MS : undefined
  const agent = await createAgent(config, createLogger('silent'), { queryTimeoutMs, keychainMs, needsKey: invocation.name === 'restore' })
  const notice = startWaitNotice(agent.storeState, {
    say,
    ...(CALLS_PROVIDER.includes(invocation.name) ? { advice: MAY_BE_LOST } : {}),
    ...(everyMs === undefined ? {} : { everyMs }),
  })
  try {
    const applied = await notice.during(
      'Waiting for the migration of the database, which another process may be running',
      agent.migrate('command'),
    )
    if (invocation.name === 'seed') say(`Store: ${place}${exists ? '' : CREATED}`)
    return await run(invocation, agent, {
      applied,
      config,
      env,
      place: exists ? place : `${place}${CREATED}`,
      times,
      around: surroundingsIn(env, isContainer),
    })
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') throw await withSuggestion(error, invocation, agent)
    throw error
  } finally {
    progress(null)
    notice.stop()
    // A database that hangs never closes its connections.
    await Promise.race([agent.close(), sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false })]).catch(() => undefined)
  }
}

function noStore(place: string, command: Config['command']): string {
  return `There is no store at ${place}. Run the command in the agent’s folder with its variables, or name the store in DATABASE_URL. The first token makes a new one: ${command('seed')}`
}

/** Another account's name is public. The one that was typed may be a secret, so it is not repeated. */
async function withSuggestion(error: AppError, { account }: Command, { store }: Agent): Promise<AppError> {
  const names: string[] = []
  for await (const page of accountPages(store)) if (names.push(...page.map(({ name }) => name)) >= SUGGESTED_NAMES) break
  if (account === null || names.includes(account)) return error
  const near = nearest(account, names)
  return new AppError(error.code, `${error.message} ${near === null ? '“accounts list” shows all.' : `Did you mean “${near}”?`}`)
}

interface Opened {
  readonly applied: readonly string[]
  readonly config: Config
  readonly env: NodeJS.ProcessEnv
  readonly place: string
  readonly times: Partial<AuthTimes> | undefined
  readonly around: Surroundings
}

async function run(invocation: Command, agent: Agent, { applied, config, env, place, times, around }: Opened): Promise<number> {
  const { name, account, options } = invocation
  const { owner } = agent
  switch (name) {
    case 'migrate':
      return print(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}. The database is up to date.`)
    case 'seed':
      return seed(owner, invocation, config, (work) => interruptible(agent, work))
    case 'refresh':
    case 'auth refresh':
      return interruptible(agent, () => refresh(agent, config.command, invocation))
    case 'auth':
      return interruptible(agent, (stopped) => auth(agent, invocation, { config, around, place, times }, stopped), '')
    case 'token':
      return interruptible(agent, () => token(agent, config.command, { account, asHeader: options.has('header'), env }))
    case 'auth providers':
      return listProviders(config, owner.providers, options.has('json'))
    case 'import':
      return interruptible(agent, () => importRuby(agent, options.has('force')))
    case 'status':
      return status(agent, config.command, invocation)
    case 'feed':
      return interruptible(agent, () => reportingStale(owner, (reporting) => feed(reporting, invocation, config.command)), '')
    case 'alert-test':
      return testAlerts(agent)
    case 'rotate-keys':
      return rotate(agent)
    case 'backup':
      return interruptible(agent, async (stopped) => (await import('./backup.ts')).backup(agent, invocation, config, stopped), '')
    case 'restore':
      return (await import('./backup.ts')).restore(agent, invocation, place)
    case 'accounts export':
      return (await import('./accounts-csv.ts')).exportAccounts(owner)
    case 'accounts import': {
      const { importAccounts } = await import('./accounts-csv.ts')
      const replace = options.has('replace')
      return interruptible(agent, (stopped) => reportingStale(owner, (reporting) => importAccounts(reporting, replace, stopped)))
    }
    default:
      return reportingStale(owner, (reporting) => accountsCommand(reporting, config.command, invocation))
  }
}

/** Prints when other instances will see a change, where they do not see it at once. */
async function reportingStale(owner: Agent['owner'], work: (owner: Agent['owner']) => Promise<number>): Promise<number> {
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

/** The exit code says whether each channel took the test message. */
async function testAlerts({ alerts, site }: Agent): Promise<number> {
  const results = await alerts.test()
  const setup = `The last step of ${site.settings.appUrl}/setup says`
  if (results.length === 0)
    say(`No alert goes anywhere: set ALERT_WEBHOOK_URL, or SMTP_URL and ALERT_EMAIL_TO, or all three. ${setup} how.`)
  for (const { title, error } of results) {
    if (error === null) print(`${title}: the test message arrived.`)
    else say(`${title}: ${error}`)
  }
  if (results.some(({ error }) => error !== null)) say(`${setup} what to do.`)
  return results.length > 0 && results.every(({ error }) => error === null) ? 0 : 1
}

/** Exits by force, because the sockets of a part that hangs would keep the process alive. */
async function endProcess(code: number): Promise<void> {
  process.exitCode = code
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit()
}

if (import.meta.main) await main()

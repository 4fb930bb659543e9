import { setTimeout as sleep } from 'node:timers/promises'
import { startConnect } from '../accounts/connect.ts'
import type { ConnectDeps } from '../accounts/connected.ts'
import { openTrips, TERMINAL_SESSION } from '../accounts/terminal-trip.ts'
import type { Agent } from '../agent.ts'
import type { Config } from '../config/config.ts'
import { AppError } from '../core/errors.ts'
import type { Command } from './arguments.ts'
import { type Ask, type ConnectedAccount, connectWith, sentenceOf } from './auth-answer.ts'
import { printConnected } from './auth-result.ts'
import { type AuthSettings, readSettings } from './auth-settings.ts'
import { type AuthTimes, type Flow, isSame, waitForAnswer } from './auth-wait.ts'
import { readLines } from './lines.ts'
import { readPastedAnswer } from './pasted-answer.ts'
import type { Surroundings } from './surroundings.ts'
import { print, say } from './terminal.ts'

interface Opened {
  readonly config: Config
  readonly around: Surroundings
  /** The store, for the person. */
  readonly place: string
  readonly times?: Partial<AuthTimes> | undefined
}

/** The end of a store's place. */
export const CREATED = ' (created)'
const TIMES: AuthTimes = { limitMs: 10 * 60_000, silenceMs: 60_000, retryMs: 2_000 }

/** Connects an account from a terminal. `stopped`: Ctrl-C. */
export async function auth(
  agent: Agent,
  command: Command,
  { config, around, place, times }: Opened,
  stopped: AbortSignal,
): Promise<number> {
  const settings = readSettings(command, agent, { config, around })
  const { provider, account, mode, json } = settings
  const lines = around.isInteractive || mode === 'code' ? readLines(process.stdin) : null
  const ask: Ask = async (question) => {
    if (lines === null || !around.isInteractive) return null
    lines.forget()
    process.stderr.write(question)
    return lines.next(stopped)
  }
  const existing = await agent.store.find(account)
  const onDesktop = around.browser === null ? '' : `; to move it into the system’s keychain: ${config.command('keychain enable')}`
  const key = place.endsWith(CREATED) && config.encryptionKeys === null ? `\nKey         in a file beside the store${onDesktop}` : ''
  say(`Store       ${place}${key}\nAccount     ${account} (${existing === null ? 'new' : (existing.username ?? existing.provider)})`)
  const run = { ...TIMES, ...times }
  const deps: ConnectDeps = {
    ...agent.owner,
    actor: 'cli',
    asksFirst: around.isInteractive,
    persist: persistUntil(provider.title, run.retryMs, stopped),
  }
  try {
    if (mode === 'start') return await start(deps, settings)
    const flow = { deps, settings, ask, stopped, lines, around, times: run, secretIn: agent.owner.secrets.nameIn }
    const connected = mode === 'code' ? await finishStarted(flow) : await waitForAnswer(flow)
    await printConnected(agent, connected.account, {
      config,
      json,
      isNew: existing?.providerUserId == null,
      isInteractive: around.isInteractive,
    })
    return 0
  } catch (error) {
    say(sentenceOf(error))
    return 1
  } finally {
    lines?.close()
  }
}

/** Keeps a grant that the store does not take. It may be the only copy. */
function persistUntil(title: string, retryMs: number, stopped: AbortSignal): NonNullable<ConnectDeps['persist']> {
  return async (work) => {
    for (let isSaid = false; ; isSaid = true) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof AppError && error.code === 'unavailable') || stopped.aborted) throw error
        if (!isSaid)
          say(`${title} has given a token that could not be saved: ${error.message} It is kept in this process; trying again until Ctrl-C.`)
        await sleep(retryMs, undefined, { signal: stopped }).catch(() => {})
      }
    }
  }
}

/** Prints the address to open and ends. */
async function start(deps: ConnectDeps, { provider, account, redirectUris, json }: AuthSettings): Promise<number> {
  const [redirectUri = ''] = redirectUris
  const url = await startConnect(deps, { provider: provider.name, account, sessionId: TERMINAL_SESSION, redirectUri })
  say(`Callback    ${redirectUri}\n\nOpen this address anywhere and allow the access. Within ten minutes give the address where the browser ended to the same
command with --code -`)
  return print(json ? JSON.stringify({ account, authorizeUrl: url.href, redirectUri, expiresInSeconds: 600 }, null, 2) : url.href)
}

/** Finishes what --start began, in another process. */
async function finishStarted({ deps, settings, ask, lines, around, stopped, secretIn }: Flow): Promise<ConnectedAccount> {
  const { provider, account } = settings
  const trips = await openTrips(deps, { provider: provider.name, account })
  const [first] = trips
  if (first === undefined || lines === null)
    throw new AppError(
      'not_found',
      `No request for “${account}” is open: run the command with --start first, and finish within ten minutes.`,
    )
  if (around.isInteractive) process.stderr.write('Paste the address where the browser ended, or the code:\n> ')
  const text = (await lines.next(stopped)) ?? ''
  const problems: string[] = []
  for (const trip of trips) {
    const read = readPastedAnswer(text, { redirectUri: trip.redirectUri, authorizePage: null, secretIn })
    if (read.problem !== null) problems.push(read.problem)
    else if (read.answer.state === undefined && !(around.isInteractive && trips.length === 1))
      problems.push('A code alone does not say which request it belongs to: give the whole address where the browser ended.')
    else if (read.answer.state === undefined || isSame(read.answer.state, trip.state))
      return connectWith(deps, read.answer, { settings, trip, ask })
    else problems.push('This address belongs to another attempt.')
  }
  throw new AppError('invalid', problems[0] ?? 'Nothing was pasted.')
}

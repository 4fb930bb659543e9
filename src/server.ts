import { createHook } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { type Agent, createAgent } from './agent.ts'
import { type Config, readConfig } from './config/config.ts'
import { explainListen } from './config/network.ts'
import { AppError } from './core/errors.ts'
import type { Log } from './core/log.ts'
import { createApp } from './http/app.ts'
import { createLogger } from './logger.ts'
import type { RateLimits } from './refreshing/rate-limit.ts'
import { type Schedule, startSchedule } from './timer.ts'

/** Long enough for a load balancer to notice; closing at once loses the requests that are on their way. */
const DRAIN_MS = 4_000
/** Heroku kills 30 s after SIGTERM: https://devcenter.heroku.com/articles/dynos#graceful-shutdown-with-sigterm */
const EXIT_BY_MS = 28_000
const REFRESH_WAIT_MS = 20_000
const LAST_ANSWERS_MS = 1_000
const START_TIMEOUT_MS = 2_000
/** Connections that wait to be taken; the system keeps fewer where it is set so. One more than fits tries again after a second. */
const BACKLOG = 4_096

/** Runs the agent until it is told to stop. Binds its port before the database answers, and waits for it. */
export async function serve(env: NodeJS.ProcessEnv, rateLimits?: RateLimits): Promise<void> {
  const config = readConfig(env)
  const log = createLogger(config.logLevel)
  for (const { text } of config.warnings) log.warn({}, text)
  keepTickShape()
  const stopped = new AbortController()
  // Set once there is something to stop: a signal may come at any moment of the start.
  let stop = null as ((signal: string | undefined) => Promise<void>) | null
  const grace = closeWithGrace({ delay: EXIT_BY_MS, logger: log }, async ({ signal, err }) => {
    if (err !== undefined) log.error({ err }, 'stopping after an error that nothing caught')
    log.info({ signal }, 'stopping')
    stopped.abort()
    await stop?.(signal)
    log.info('stopped')
  })
  try {
    const agent = await createAgent(config, log, { rateLimits })
    await start({ config, agent, log, stopped: stopped.signal }, (how) => {
      stop = how
    })
  } catch (error) {
    // It is being stopped: what it was about to do fails for that reason.
    if (stopped.signal.aborted) return
    grace.uninstall()
    throw error
  }
}

const ticks: object[] = []

/**
 * Keeps an object of process.nextTick's alive, and with it their hidden class. Where a collection at the start finds none,
 * the class goes, V8 takes the next for a second one, and writes the five fields of each by calls into its runtime for as
 * long as the process lives: on one core a fifth of each read. Seen with Node 24.21; `npm run bench` shows it.
 */
function keepTickShape(): void {
  const keep = createHook({ init: (_id, type, _trigger, resource) => void (type === 'TickObject' && ticks.push(resource)) }).enable()
  process.nextTick(() => {})
  keep.disable()
}

interface Start {
  readonly config: Config
  readonly agent: Agent
  readonly log: Logger
  readonly stopped: AbortSignal
}

async function start({ config, agent, log, stopped }: Start, onStop: (stop: (signal?: string) => Promise<void>) => void): Promise<void> {
  const metering = await agent.openMetrics()
  const app = await createApp({ ...agent, metering, meter: metering?.meter ?? null }, log, config.trustProxy)

  let schedule = null as Schedule | null
  onStop(async (signal) => {
    schedule?.stop()
    agent.status.drain()
    // Clients with a connection kept alive move over to the next instance with their next request.
    app.server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'))
    const refreshing = agent.stopRefreshing(REFRESH_WAIT_MS)
    // Ctrl-C is a person at a terminal, with nobody to hand over to.
    if (signal === 'SIGTERM') await sleep(DRAIN_MS)
    const closing = app.close()
    await refreshing
    // From its close on, Node no longer looks after slow clients: one that never ends its request would hold up the exit.
    await Promise.race([closing, sleep(LAST_ANSWERS_MS, undefined, { ref: false })])
    app.server.closeAllConnections()
    await closing
    // A database that hangs does not say goodbye either; all that was to be saved is saved.
    await Promise.race([agent.close(), sleep(LAST_ANSWERS_MS, undefined, { ref: false })])
  })

  try {
    const started = prepareStore(agent, log, stopped).then(async () => {
      if (stopped.aborted) return
      schedule = startSchedule(agent.work, log)
      await schedule.booted
    })
    // A store that is there is prepared, and a new starting token checked, before the first visitor can ask. One that
    // is too new, or cannot be written, ends the start; one that does not answer is waited for behind an open port.
    await Promise.race([started, sleep(START_TIMEOUT_MS, undefined, { ref: false })])
    if (stopped.aborted) return
    const address = await app.listen({ host: config.host, port: config.port, backlog: BACKLOG }).catch((error: unknown) => {
      throw explainListen(error, config)
    })
    // Not before the agent can be reached: another program may have the port.
    agent.announcePassword()
    const advice = config.allowedDomains === null ? '; ALLOWED_DOMAINS is not set, so only the agent’s own pages may read the token' : ''
    const chosen = config.port === 0 ? { address } : {}
    log.info({ url: config.appUrl, ...chosen, store: config.database.kind }, `serving${advice}`)
    // A person has typed the command: the log alone does not say where to go.
    if (process.stdout.isTTY && !config.hideHelpPages)
      process.stdout.write(`\n  Open ${config.appUrl}/setup in your browser. Ctrl+C ends the agent.\n\n`)
    await started
  } catch (error) {
    if (!stopped.aborted) {
      schedule?.stop()
      await app.close()
      await agent.close()
    }
    throw error
  }
}

const RETRY_MS = 500

async function prepareStore(agent: Agent, log: Log, signal: AbortSignal): Promise<void> {
  for (let last = ''; !signal.aborted; ) {
    try {
      const applied = await agent.migrate('server')
      if (applied.length > 0) log.info({ applied }, 'the store was brought up to date')
      return
    } catch (err) {
      if (!(err instanceof AppError && err.code === 'unavailable')) throw err
      // Once for each thing that is wrong, not twice a second.
      if (err.message !== last) log.warn({ err }, 'the database does not answer yet; trying again')
      last = err.message
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined)
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { type Agent, createAgent } from './agent.ts'
import { type Config, readConfig } from './config/config.ts'
import { explainListen } from './config/network.ts'
import { placeOf } from './config/platform.ts'
import { AppError, KeychainError } from './core/errors.ts'
import type { Log } from './core/log.ts'
import { createApp } from './http/app.ts'
import { answerNotReady } from './http/not-ready.ts'
import { keepTickShape } from './http/v8-workaround.ts'
import { createLogger } from './logger.ts'
import type { RateLimits } from './refreshing/rate-limit.ts'
import { type Schedule, startSchedule } from './timer.ts'

/** Time for a load balancer to take this instance out; closing at once would lose requests on their way. */
const DRAIN_MS = 4_000
/** Heroku kills 30 s after SIGTERM: https://devcenter.heroku.com/articles/dynos#graceful-shutdown-with-sigterm */
const EXIT_BY_MS = 28_000
const REFRESH_WAIT_MS = 20_000
const LAST_ANSWERS_MS = 1_000
const START_TIMEOUT_MS = 2_000
const KEY_RETRY_MS = 5_000
/** Connections waiting to be accepted; the kernel's somaxconn may allow fewer. A connection beyond it retries after a second. */
const BACKLOG = 4_096

/** Runs the agent until a signal stops it. Listens before the database answers, and waits for the database. */
export async function serve(env: NodeJS.ProcessEnv, rateLimits?: RateLimits): Promise<void> {
  const config = readConfig(env)
  const log = createLogger(config.logLevel)
  for (const { text } of config.warnings) log.warn({}, text)
  keepTickShape()
  const stopped = new AbortController()
  // Null until there is something to stop: a signal may arrive at any moment of the start.
  let stop = null as ((signal: string | undefined) => Promise<void>) | null
  const grace = closeWithGrace({ delay: EXIT_BY_MS, logger: log }, async ({ signal, err }) => {
    if (err !== undefined) log.error({ err }, 'stopping after an error that nothing caught')
    log.info({ signal }, 'stopping')
    stopped.abort()
    await stop?.(signal)
    log.info('stopped')
  })
  try {
    const { place, exists } = placeOf(config.database)
    const agent = await openWithKey(() => createAgent(config, log, { rateLimits }), { config, log, stopped: stopped.signal })
    if (agent === null) return
    log.info({ place }, exists ? 'the store was opened' : 'the store was created')
    await start({ config, agent, log, stopped: stopped.signal }, (how) => {
      stop = how
    })
  } catch (error) {
    // A stop during the start makes the start fail.
    if (stopped.signal.aborted) return
    grace.uninstall()
    throw error
  }
}

/**
 * Opens the agent. While the system's keychain does not give the key, as before a person has signed in, it answers that it is
 * not ready and tries again. Null = it was stopped meanwhile.
 */
async function openWithKey(open: () => Promise<Agent>, { config, log, stopped }: Omit<Start, 'agent'>): Promise<Agent | null> {
  const since = new Date()
  let close = null as (() => Promise<void>) | null
  try {
    while (!stopped.aborted) {
      try {
        return await open()
      } catch (err) {
        if (!(err instanceof KeychainError)) throw err
        if (close === null) {
          log.warn({ err }, 'the system’s keychain does not give the key yet; trying again')
          close = await answerNotReady(config, { since, message: err.message }).catch((error: unknown) => {
            throw explainListen(error, config)
          })
        }
        await sleep(KEY_RETRY_MS, undefined, { signal: stopped }).catch(() => undefined)
      }
    }
    return null
  } finally {
    await close?.()
  }
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
    // Keep-alive clients connect to another instance with their next request.
    app.server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'))
    const refreshing = agent.stopRefreshing(REFRESH_WAIT_MS)
    // Ctrl-C comes from a terminal: no load balancer needs time to notice.
    if (signal === 'SIGTERM') await sleep(DRAIN_MS)
    const closing = app.close()
    await refreshing
    // Node's request timeouts end with close(): a client that never finishes its request would delay the exit.
    await Promise.race([closing, sleep(LAST_ANSWERS_MS, undefined, { ref: false })])
    app.server.closeAllConnections()
    await closing
    // A hanging database would delay the exit too. Everything is saved by now.
    await Promise.race([agent.close(), sleep(LAST_ANSWERS_MS, undefined, { ref: false })])
  })

  try {
    const started = prepareStore(agent, log, stopped).then(async () => {
      if (stopped.aborted) return
      schedule = startSchedule(agent.work, log)
      await schedule.booted
    })
    // If the store answers, it is migrated and a new starting token is checked before the first request. A store that is
    // too new or read-only ends the start. If the store does not answer, the agent listens and waits for it.
    await Promise.race([started, sleep(START_TIMEOUT_MS, undefined, { ref: false })])
    if (stopped.aborted) return
    const address = await app.listen({ host: config.host, port: config.port, backlog: BACKLOG }).catch((error: unknown) => {
      throw explainListen(error, config)
    })
    // Only after listen() succeeds: another program may hold the port.
    const password = agent.announcePassword()
    const advice = config.allowedDomains === null ? '; ALLOWED_DOMAINS is not set, so only the agent’s own pages may read the token' : ''
    const chosen = config.port === 0 ? { address } : {}
    log.info({ url: config.appUrl, ...chosen, store: config.database.kind }, `serving${advice}`)
    // On a terminal a person started the agent; the log alone does not name the page to open.
    if (process.stdout.isTTY && !config.hideHelpPages) {
      const signIn = password === null ? '' : `\n  To sign in once, use this password: ${password}`
      process.stdout.write(`\n  Open ${config.appUrl}/setup in your browser. Ctrl+C ends the agent.${signIn}\n\n`)
    }
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
      // Logged once for each different error, not at every retry.
      if (err.message !== last) log.warn({ err }, 'the database does not answer yet; trying again')
      last = err.message
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined)
    }
  }
}

import { createHook } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { createServices, type Services, VIEWS_FOLDER } from './agent.ts'
import { type Config, readConfig } from './config/config.ts'
import { explainListen } from './config/network.ts'
import { AppError } from './core/errors.ts'
import { isOneOf } from './core/keys.ts'
import type { Log } from './core/log.ts'
import { createApp } from './http/app.ts'
import type { HttpDeps, Settings } from './http/deps.ts'
import { createLogger } from './logger.ts'
import { entriesOf } from './reading/allow-list.ts'
import { createReadMeter } from './reading/read-meter.ts'
import type { PaceLimits } from './refreshing/rate-limit.ts'
import { createHealthWatch } from './status/health.ts'
import { type Schedule, startSchedule } from './timer.ts'

/** Long enough for a load balancer to notice; closing at once loses the requests that are on their way. */
const DRAIN_MS = 4_000
/** Heroku kills 30 s after SIGTERM: https://devcenter.heroku.com/articles/dynos#graceful-shutdown-with-sigterm */
const EXIT_BY_MS = 28_000
const REFRESH_WAIT_MS = 20_000
const LAST_ANSWERS_MS = 1_000
const START_PATIENCE_MS = 2_000
/** Connections that wait to be taken; the system keeps fewer where it is set so. One more than fits tries again after a second. */
const BACKLOG = 4_096

/** Runs the agent until it is told to stop. Binds its port before the database answers, and waits for it. */
export async function serve(env: NodeJS.ProcessEnv, paceLimits?: PaceLimits): Promise<void> {
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
    const services = await createServices(config, log, paceLimits)
    await start(config, services, log, stopped.signal, (how) => {
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

async function start(
  config: Config,
  services: Services,
  log: Logger,
  stopped: AbortSignal,
  onStop: (stop: (signal?: string) => Promise<void>) => void,
): Promise<void> {
  const health = createHealthWatch(services)
  const metering = await createMetering(config, services)
  const app = await createApp({ ...httpDeps(config, services, () => health.check(), log), metering }, config.trustProxy)

  let schedule = null as Schedule | null
  onStop(async (signal) => {
    schedule?.stop()
    health.drain()
    // Clients with a connection kept alive move over to the next instance with their next request.
    app.server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'))
    const refreshing = services.stopRefreshing(REFRESH_WAIT_MS)
    // Ctrl-C is a person at a terminal, with nobody to hand over to.
    if (signal === 'SIGTERM') await sleep(DRAIN_MS)
    const closing = app.close()
    await refreshing
    // From its close on, Node no longer looks after slow clients: one that never ends its request would hold up the exit.
    await Promise.race([closing, sleep(LAST_ANSWERS_MS, undefined, { ref: false })])
    app.server.closeAllConnections()
    await closing
    // A database that hangs does not say goodbye either; all that was to be saved is saved.
    await Promise.race([services.close(), sleep(LAST_ANSWERS_MS, undefined, { ref: false })])
  })

  try {
    const started = prepareStore(services, log, stopped).then(async () => {
      if (stopped.aborted) return
      // Also looked at while nobody asks: since when a part is as it is, is known to the minute.
      const upkeep = async () => void (await Promise.all([services.upkeep(), health.check()]))
      schedule = startSchedule({ ...services, upkeep }, log)
      await schedule.booted
    })
    // A store that is there is prepared, and a new starting token checked, before the first visitor can ask. One that
    // is too new, or cannot be written, ends the start; one that does not answer is waited for behind an open port.
    await Promise.race([started, sleep(START_PATIENCE_MS, undefined, { ref: false })])
    if (stopped.aborted) return
    const address = await app.listen({ host: config.host, port: config.port, backlog: BACKLOG }).catch((error: unknown) => {
      throw explainListen(error, config)
    })
    // Not before the agent can be reached: another program may have the port.
    services.announcePassword()
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
      await services.close()
    }
    throw error
  }
}

const RETRY_MS = 500

async function prepareStore(services: Services, log: Log, signal: AbortSignal): Promise<void> {
  for (let last = ''; !signal.aborted; ) {
    try {
      const applied = await services.migrate('server')
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

// Nobody may ask for what is counted without a key: then nothing is counted, and no library loaded for it.
async function createMetering({ metricsKey }: Config, services: Services): Promise<HttpDeps['metering']> {
  if (metricsKey === null) return null
  const { createMetrics } = await import('./status/metrics.ts')
  const reads = createReadMeter()
  return { isKey: isOneOf([metricsKey]), reads, ...createMetrics(services, reads) }
}

function httpDeps(config: Config, services: Services, health: HttpDeps['health'], log: Logger): Omit<HttpDeps, 'metering'> {
  const settings: Settings = {
    appUrl: config.appUrl,
    appUrlIsGuess: config.appUrlIsGuess,
    platform: config.platform,
    command: config.command,
    jsConstantName: config.jsConstantName,
    hideHelpPages: config.hideHelpPages,
    allowedDomains: config.allowedDomains === null ? null : entriesOf(config.allowList).join(' '),
    warnings: config.warnings,
    hasWebhookSecret: config.webhookSecret !== null,
    hasServerKeys: config.serverKeys.length > 0,
    store: config.database.kind,
    hasMemcached: config.memcached !== null,
    refreshFrequency: config.refreshFrequency,
    refreshMode: config.refreshMode,
  }
  return {
    settings,
    log,
    allowList: config.allowList,
    isServerKey: isOneOf(config.serverKeys),
    isWebhookSecret: config.webhookSecret === null ? null : isOneOf([config.webhookSecret]),
    readToken: (account) => services.reader.read(account),
    lookAtToken: (account) => services.reader.look(account),
    now: () => services.store.now(),
    nowMs: () => services.store.nowMs(),
    refreshDue: (reqId) => services.sweep({ actor: 'webhook', reqId }),
    stock: services.stock,
    recount: services.recount,
    storeProblem: () => services.storeState().problem,
    health,
    lastHour: () => services.readHistory.lastHour(),
    owner: services.owner,
    signIn: services.signIn,
    viewsFolder: VIEWS_FOLDER,
  }
}

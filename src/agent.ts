import { createHash, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { ReadRubyToken } from './accounts/import-ruby.ts'
import type { Overview } from './accounts/overview.ts'
import type { OwnerDeps } from './accounts/owner-deps.ts'
import { createPictures } from './accounts/pictures.ts'
import { recheckKeys } from './accounts/recheck-keys.ts'
import { type ConfiguredSeed, seedAtStart } from './accounts/seed.ts'
import type { SendAlert } from './alerts/alert.ts'
import type { Memcached, MemcachedState } from './cache/memcached.ts'
import type { Config } from './config/config.ts'
import { createKnownSecrets } from './config/known-secrets.ts'
import type { AccountStore } from './core/account-store.ts'
import { AppError } from './core/errors.ts'
import type { Log } from './core/log.ts'
import type { Provider } from './core/provider.ts'
import type { Secret } from './core/secret.ts'
import type { Vault } from './core/vault.ts'
import { createReadHistory, type ReadHistory } from './reading/read-counts.ts'
import { createSharedCache } from './reading/shared-cache.ts'
import { createTokenReader, type TokenReader } from './reading/token-reader.ts'
import { createLookTally, createTokenChecks, type LookTally } from './refreshing/check-tokens.ts'
import { createPace, PACE_LIMITS, type PaceLimits } from './refreshing/rate-limit.ts'
import { createTally, type RefreshDeps } from './refreshing/refresh-account.ts'
import { type RefreshRequest, type RefreshSummary, refreshDue } from './refreshing/refresh-due.ts'
import { createPendingAnswers } from './refreshing/unsaved-grant.ts'
import { choosePassword } from './sign-in/password.ts'
import { createSignIn, type SignIn } from './sign-in/sign-in.ts'
import { createUpkeep } from './status/maintenance.ts'
import { createStock, type Stock } from './status/summary.ts'
import { createOverview } from './storage/account-queries.ts'
import { createAccountStore } from './storage/account-store.ts'
import { createAlertStore } from './storage/alert-store.ts'
import { type StoreState, watchDatabase } from './storage/availability.ts'
import { createInstallationStore, prepareInstallation } from './storage/installation.ts'
import { migrate, tablesOf } from './storage/migrate.ts'
import { createOAuthStateStore } from './storage/oauth-states.ts'
import { encryptionKeys, openDatabase } from './storage/open.ts'
import { readRubyToken } from './storage/ruby-token.ts'
import { createSessionStore } from './storage/session-store.ts'
import { createSignInAttempts, createWrongPasswords } from './storage/sign-in-attempts.ts'
import { createSignedRequests } from './storage/signed-requests.ts'
import { createTimetable } from './storage/timetable.ts'
import { createVault } from './storage/vault.ts'

const ROOT = join(import.meta.dirname, '..')
export const VIEWS_FOLDER = join(ROOT, 'views')
const MIGRATIONS_FOLDER = join(ROOT, 'migrations')

const PREPARING = 'The agent has just started, and is bringing its tables up to date.'
const WAITING = 'Another instance of the agent is bringing the tables up to date; this one waits until it is done.'

/** The wired parts, as the server, the timer and the command line use them. */
export interface Services {
  readonly store: AccountStore
  readonly signIn: SignIn
  /** With no password set, the log of an agent with a store of its own gets one that works once. */
  readonly announcePassword: () => void
  readonly owner: OwnerDeps
  readonly overview: Overview
  readonly stock: Stock['take']
  readonly recount: Stock['recount']
  readonly vault: Vault
  readonly reader: TokenReader
  readonly readHistory: ReadHistory
  readonly refreshDeps: RefreshDeps
  /** One sweep at a time in this process: who comes while one runs gets its result. */
  readonly sweep: (request: RefreshRequest) => Promise<RefreshSummary>
  /** Takes configured tokens over where they are new; false = the provider did not answer, so ask again later. */
  readonly seedFromEnvironment: () => Promise<boolean>
  /** Makes due what the keys of this start no longer open, or open again. */
  readonly recheckKeys: () => Promise<void>
  /** Null where the store is not a Postgres: the Ruby agent knew no other. */
  readonly readRubyToken: ReadRubyToken | null
  readonly migrate: (as: 'server' | 'command') => Promise<readonly string[]>
  /** The daily look at each token, where it is due; the first run also plans what a changed policy moves. */
  readonly checkTokens: () => Promise<void>
  readonly looks: LookTally
  /** What each tick does beside refreshing: alerts, and a history of bounded length. */
  readonly upkeep: () => Promise<void>
  readonly storeState: () => StoreState
  /** Asks it first whether it is there, so that its state is not the one of the last read. Never rejects. */
  readonly checkStore: () => Promise<void>
  /** Asks it first, so that its state is not the one of the last read. */
  readonly memcachedState: (() => Promise<MemcachedState>) | null
  /** From now on no account is claimed; what is under way goes on to its end. */
  readonly stopClaiming: () => void
  /** Ends the sweep and the seeding under way, waiting for their answers to be saved, at most so long. */
  readonly stopRefreshing: (timeoutMs: number) => Promise<void>
  readonly close: () => Promise<void>
}

/**
 * Opens nothing that the configuration does not name: drivers are loaded when they are needed. `queryTimeoutMs`: how long
 * one answer of a Postgres may take.
 */
export async function createServices(
  config: Config,
  log: Logger,
  paceLimits: PaceLimits = PACE_LIMITS,
  queryTimeoutMs?: number,
): Promise<Services> {
  const db = watchDatabase(await openDatabase(config.database, log, queryTimeoutMs))
  db.isNotReady(PREPARING)
  const store = createAccountStore(db)
  const keys = await encryptionKeys(config.encryptionKeys, config.database)
  const others = config.otherKeySpellings.map((key) => key.reveal())
  const vault = createVault(keys, others)
  const secrets = createKnownSecrets(config)
  for (const key of keys) secrets.add(config.encryptionKeys === null ? 'the key file' : 'ENCRYPTION_KEY', key)
  const memcached = await openMemcached(config, log)
  const shared = memcached === null ? null : createSharedCache({ cache: memcached, vault, clock: store })
  const installation = createInstallationStore(db)
  const reader = createTokenReader({
    store,
    shared,
    vault,
    constantName: config.jsConstantName,
    log,
  })
  const providers = await loadProviders(config)
  const refreshDeps: RefreshDeps = {
    store,
    vault,
    providers,
    policy: { mode: config.refreshMode, frequency: config.refreshFrequency, random: Math.random },
    owner: `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`,
    publish: (name, unsaved) => reader.publish(name, unsaved),
    pending: createPendingAnswers({
      cache: memcached,
      isUp: () => memcached?.state().up !== false,
      vault,
      cacheId: async () => (await installation.read())?.cacheId ?? null,
    }),
    pace: createPace(paceLimits),
    tally: createTally(),
    secrets,
    log,
  }

  const stopping = new AbortController()
  let running: Promise<RefreshSummary> | null = null
  const overview = createOverview(db, vault.marks)
  const stock = createStock({ store, overview, vault })
  const send = await openWebhook(config)
  const wrongPasswords = createWrongPasswords(db)
  const looks = createLookTally()
  const checkTokens = createTokenChecks({ ...refreshDeps, timetable: createTimetable(db), events: store, looks, send }, stopping.signal)
  const readHistory = createReadHistory(reader.counters)
  const oauthStates = createOAuthStateStore(db)
  const signedRequests = createSignedRequests(db)
  const keepUp = createUpkeep(
    { alerts: createAlertStore(db), send, wrongPasswords, overview, shortLived: [oauthStates, signedRequests], log },
    stopping.signal,
  )
  const upkeep = (): Promise<void> => {
    readHistory.sample()
    // Here, and not while a page waits for it. A store that does not answer keeps no alert from being sent.
    void stock.recount().catch(() => {})
    return keepUp()
  }
  // Whatever calls a provider looks first whether a restore has taken the place of the agent's tables.
  const sweep = (request: RefreshRequest): Promise<RefreshSummary> => {
    if (running !== null) log.info({ reqId: request.reqId }, 'a refresh is under way already; its result is waited for')
    running ??= db
      .check()
      .then(() => refreshDue(refreshDeps, request, stopping.signal))
      .finally(() => {
        running = null
      })
    return running
  }

  const seeds: ConfiguredSeed[] = config.seeds.map((seed) => ({ ...seed, fingerprint: fingerprintOf(seed.token) }))
  const { check, password } = choosePassword(config.adminPassword, config.database.kind === 'sqlite')
  if (password !== null) secrets.add('the one-time password', password)
  // No matter of verbosity: without the password nobody gets in.
  const loudLog = log.child({}, { level: 'warn' })
  const signIn = createSignIn({
    sessions: createSessionStore(db),
    attempts: createSignInAttempts(db),
    wrongPasswords,
    installation,
    store,
    vault,
    password: check,
    log: loudLog,
  })
  const announcePassword = (): void => {
    if (password !== null)
      loudLog.warn({}, `ADMIN_PASSWORD is not set. To sign in once at ${config.appUrl}/admin use this password: ${password}`)
  }
  const owner: OwnerDeps = {
    ...refreshDeps,
    states: oauthStates,
    signedRequests,
    overview,
    pictures: createPictures(refreshDeps),
    appUrl: config.appUrl,
    seedFingerprints: new Map(seeds.map(({ account, fingerprint }) => [account, fingerprint])),
    publishDefault: () => reader.publishDefault(),
  }
  let seeding: Promise<boolean> | null = null
  const seedFromEnvironment = (): Promise<boolean> => {
    seeding = db
      .check()
      .then(() => Promise.all(seeds.map((seed) => seedAtStart(refreshDeps, seed))))
      .then((done) => done.every(Boolean))
    return seeding
  }

  return {
    store,
    signIn,
    announcePassword,
    owner,
    overview,
    stock: stock.take,
    recount: stock.recount,
    vault,
    reader,
    readHistory,
    refreshDeps,
    sweep,
    checkTokens: () => db.check().then(checkTokens),
    looks,
    upkeep,
    storeState: () => db.state(),
    checkStore: () => db.check(),
    seedFromEnvironment,
    recheckKeys: () => recheckKeys({ overview, vault, log }),
    readRubyToken: config.database.kind === 'postgres' ? () => readRubyToken(db) : null,
    migrate: async (as) => {
      try {
        const applied = await migrate(db, MIGRATIONS_FOLDER, () => db.isNotReady(WAITING))
        await prepareInstallation(db, as === 'server' ? (config.appUrlIsGuess ? '' : config.appUrl) : null)
        await db.isReady([...(await tablesOf(MIGRATIONS_FOLDER)), 'schema_migrations'])
        return applied
      } catch (error) {
        if (error instanceof AppError) db.isNotReady(error.message)
        throw error
      }
    },
    memcachedState: memcached === null ? null : () => memcached.get('token-agent').then(() => memcached.state()),
    stopClaiming: () => stopping.abort(),
    stopRefreshing: async (timeoutMs) => {
      stopping.abort()
      // An alert that has just arrived is noted, or the next start would send it again.
      await Promise.race([Promise.allSettled([running, seeding, checkTokens(), upkeep()]), sleep(timeoutMs, undefined, { ref: false })])
    },
    close: async () => {
      await shared?.close()
      memcached?.close()
      await db.close()
    },
  }
}

/** A driver is loaded where the configuration names it. */
async function openMemcached({ memcached }: Config, log: Log): Promise<Memcached | null> {
  if (memcached === null) return null
  const { servers, username, password } = memcached
  const { createMemcached } = await import('./cache/memcached.ts')
  return createMemcached({ servers, username: username ?? undefined, password: password?.reveal(), log })
}

async function openWebhook({ alertWebhookUrl: url, appUrl }: Config): Promise<SendAlert | null> {
  if (url === null) return null
  const { createWebhook } = await import('./webhook/webhook.ts')
  return createWebhook({ url, appUrl })
}

async function loadProviders({ providers }: Config): Promise<Map<string, Provider>> {
  const open = async ({ module, config }: Config['providers'][number]): Promise<[string, Provider]> => {
    const create = await module.load()
    return [module.name, create(config, { fetch: globalThis.fetch, now: Date.now })]
  }
  return new Map(await Promise.all(providers.map(open)))
}

function fingerprintOf(token: Secret): string {
  return createHash('sha256').update(`seed\0${token.reveal()}`).digest('hex').slice(0, 32)
}

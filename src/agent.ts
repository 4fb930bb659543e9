import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { createConfiguredSeeds, withFingerprint } from './accounts/configured-seed.ts'
import { createPictures } from './accounts/pictures.ts'
import { recheckKeys } from './accounts/recheck-keys.ts'
import { type Channel, createAlertChannels } from './alerts/channel.ts'
import type { Memcached } from './cache/memcached.ts'
import type { Config } from './config/config.ts'
import { createKnownSecrets } from './config/known-secrets.ts'
import { pageSettings } from './config/page-settings.ts'
import type { Account } from './core/account.ts'
import { AppError } from './core/errors.ts'
import { isOneOf } from './core/keys.ts'
import type { Log } from './core/log.ts'
import { createLazyFeeds } from './feeds/lazy-feeds.ts'
import { loadProviders } from './providers/load.ts'
import { createReadHistory } from './reading/read-counts.ts'
import { createReadMeter } from './reading/read-meter.ts'
import { createSharedCache } from './reading/shared-cache.ts'
import { createTokenReader } from './reading/token-reader.ts'
import { createLookCounters, createTokenChecks } from './refreshing/check-tokens.ts'
import { createRateLimit, RATE_LIMITS, type RateLimits } from './refreshing/rate-limit.ts'
import { createRefreshCounters, leaseSeconds } from './refreshing/refresh-account.ts'
import { createSweeps } from './refreshing/refresh-due.ts'
import { createUnsavedGrants } from './refreshing/unsaved-grant.ts'
import { announceOneTime, choosePassword } from './sign-in/password.ts'
import { createReturnPages } from './sign-in/return-page.ts'
import { createSignIn } from './sign-in/sign-in.ts'
import { createMaintenance } from './status/maintenance.ts'
import { createStatus } from './status/status.ts'
import { createSummary } from './status/summary.ts'
import { createKey, encryptionKeys, openStore, prepareStore } from './storage/open.ts'
import { readRubyToken } from './storage/ruby-token.ts'
import { createStores } from './storage/stores.ts'
import { createVault } from './storage/vault.ts'

const ROOT = join(import.meta.dirname, '..')
const VIEWS_FOLDER = join(ROOT, 'views')
const MIGRATIONS_FOLDER = join(ROOT, 'migrations')

/** For the command line. */
export { openKeyPlace } from './storage/open.ts'

const NO_KEY =
  'There is no key here yet. A backup opens with the key of the agent that made it: put that into ENCRYPTION_KEY, or its file encryption.key beside the embedded store. Nothing was changed.'

export type Agent = Awaited<ReturnType<typeof createAgent>>

interface Options {
  readonly rateLimits?: RateLimits | undefined
  readonly queryTimeoutMs?: number | undefined
  /** How long a person may take to unlock the system's keychain. */
  readonly keychainMs?: number | undefined
  /** A store without a key gets none: what it is to hold was sealed by another agent's. */
  readonly needsKey?: boolean | undefined
}

/** Wires all parts. Opens only what the configuration names. `queryTimeoutMs` bounds one query to Postgres. */
export async function createAgent(
  config: Config,
  log: Logger,
  { rateLimits = RATE_LIMITS, queryTimeoutMs, keychainMs, needsKey }: Options = {},
) {
  // A locked keychain throws, so it comes before anything is opened.
  const kept = await encryptionKeys(config, keychainMs)
  if (kept === null && needsKey === true) throw new AppError('invalid', NO_KEY)
  const db = await openStore(config.database, log, queryTimeoutMs)
  const stores = createStores(db)
  const { accounts: store, installation, feedSummaries, links, oauthStates, signedRequests, wrongPasswords } = stores
  const keys = kept ?? (await createKey(db, config.database))
  const others = config.otherKeySpellings.map((key) => key.reveal())
  const vault = createVault(keys, others)
  const secrets = createKnownSecrets(config)
  for (const key of keys) secrets.add(config.encryptionKeys === null ? 'the key file' : 'ENCRYPTION_KEY', key)
  const memcached = await openMemcached(config, log)
  const shared = memcached === null ? null : createSharedCache({ cache: memcached, vault, clock: store })
  const providers = await loadProviders(config.providers)
  const { constantNames, feeds: feedSettings, appUrl } = config
  const reader = createTokenReader({ store, shared, vault, constantNames, providers, feedMode: feedSettings.mode, log })
  const rateLimit = createRateLimit(rateLimits)
  const waiting = { grants: 0 }
  const stopping = new AbortController()
  const mayKeep = (): boolean => waiting.grants === 0 && db.state().up
  const feedLimits = { settings: feedSettings, refreshes: rateLimit, mayKeep, signal: stopping.signal }
  const feeds = createLazyFeeds(stores, { vault, providers, shared, clock: store, appUrl, ...feedLimits, log })
  const refreshDeps = {
    store,
    vault,
    providers,
    policy: { mode: config.refreshMode, frequency: config.refreshFrequency, random: Math.random },
    leaseOwner: `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`,
    async publish(name: string, unsaved?: Account) {
      const until = await reader.publish(name, unsaved)
      feeds.loaded()?.reader.forget(name)
      return until
    },
    waiting,
    unsaved: createUnsavedGrants({
      cache: memcached,
      isUp: () => memcached?.state().up !== false,
      vault,
      cacheId: async () => (await installation.read())?.cacheId ?? null,
    }),
    copiedAt: async () => (await installation.read())?.copiedAt ?? null,
    rateLimit,
    counters: createRefreshCounters(),
    secrets,
    log,
  }

  const overview = stores.createOverview(vault.keyPrefixes)
  const summary = createSummary({ store, overview, vault })
  const channels = createAlertChannels({ channels: await openChannels(config), store: stores.channels, log })
  const send = channels.kinds.length === 0 ? null : channels.send
  const looks = createLookCounters()
  const checkTokens = createTokenChecks({ ...refreshDeps, timetable: stores.timetable, events: store, looks, send }, stopping.signal)
  const readHistory = createReadHistory(reader)
  const shortLived = [oauthStates, signedRequests, links]
  const maintain = createMaintenance(
    { alerts: stores.alerts, channels, wrongPasswords, links, overview, summary, readHistory, shortLived, log },
    stopping.signal,
  )
  // Every call to a provider starts with a check that no restore has replaced the agent's tables.
  const sweeps = createSweeps(refreshDeps, { before: () => db.check(), signal: stopping.signal })

  const seeds = config.seeds.map(withFingerprint)
  const configuredSeeds = createConfiguredSeeds(refreshDeps, seeds, {
    before: () => db.check(),
    mayForget: config.database.kind === 'sqlite' && config.database.mayBeWiped === true,
  })
  const { check, password } = choosePassword(config.adminPassword, config.database.kind === 'sqlite')
  if (password !== null) secrets.add('the one-time password', password)
  // LOG_LEVEL must not hide the one-time password: the owner cannot sign in without it.
  const loudLog = log.child({}, { level: 'warn' })
  const signInStores = { sessions: stores.sessions, attempts: stores.attempts, wrongPasswords, installation, store }
  const signIn = createSignIn({ ...signInStores, vault, password: check, log: loudLog })
  const owner = {
    ...refreshDeps,
    states: oauthStates,
    links,
    signedRequests,
    overview,
    pictures: createPictures(refreshDeps),
    feeds,
    feedSummaries,
    feedMode: feedSettings.mode,
    hasIdled: readHistory.hasIdled,
    appUrl: config.appUrl,
    seedNotes: configuredSeeds.notes,
    seedFingerprints: new Map(seeds.map(({ account, fingerprint }) => [account, fingerprint])),
    publishDefault: () => reader.publishDefault(),
  }
  const memcachedState = memcached === null ? null : () => memcached.get('token-agent').then(() => memcached.state())
  const storeParts = { storeState: () => db.state(), checkStore: () => db.check(), memcachedState, channelStates: channels.states }
  const { readDeliveries } = channels
  const status = createStatus({ ...storeParts, summary, lastHour: () => readHistory.lastHour(), readDeliveries })

  return {
    store,
    vault,
    refreshDeps,
    owner,
    alerts: channels,
    signIn,
    status,
    feeds,
    announcePassword: () => announceOneTime(loudLog, config.appUrl, password),
    reading: {
      allowList: config.allowList,
      isServerKey: isOneOf(config.serverKeys),
      read: (account: string | null) => reader.read(account),
      peek: (account: string | null) => reader.peek(account),
      defaultName: () => reader.defaultName(),
      nowMs: () => store.nowMs(),
    },
    hook: {
      isSecret: config.webhookSecret === null ? null : isOneOf([config.webhookSecret]),
      refresh: (reqId: string) => sweeps.run({ actor: 'webhook', reqId }),
    },
    site: { settings: pageSettings(config), viewsFolder: VIEWS_FOLDER, returnPages: createReturnPages(vault), now: () => store.now() },
    /** Null without METRICS_KEY: metrics are off, and prom-client is not loaded. */
    async openMetrics() {
      if (config.metricsKey === null) return null
      const { createMetrics } = await import('./status/metrics.ts')
      const meter = createReadMeter()
      const metrics = createMetrics(
        { ...storeParts, summary: summary.take, overview, store, reader, refreshDeps, looks, feeds, feedSummaries },
        meter,
      )
      return { meter, isKey: isOneOf([config.metricsKey]), ...metrics }
    },
    /** What each tick does. */
    work: {
      /** Stores the configured tokens that are new. False = a provider did not answer; the next tick tries again. */
      seedFromEnvironment: configuredSeeds.run,
      /** Makes accounts due whose tokens this start's keys no longer open, or open again. */
      recheckKeys: () => recheckKeys({ overview, vault, providers, log }),
      sweep: sweeps.run,
      /** The daily look at each token that is due. The first run also applies a changed refresh policy to planned refreshes. */
      checkTokens: () => db.check().then(checkTokens),
      fetchFeeds: () => db.check().then(feeds.fetchDue),
      /** By this time after the start, every lease of a crashed process has ended. */
      leasesOverMs: (leaseSeconds(providers.values()) + 2) * 1000,
      /** Also checks the health of each part, so that `since` in /readyz is right to the minute without requests. */
      maintain: async () => void (await Promise.all([maintain(), status.health()])),
    },
    storeState: storeParts.storeState,
    async openBackups() {
      const { createBackupStore } = await import('./storage/backup-store.ts')
      return { backups: createBackupStore(db, MIGRATIONS_FOLDER), vault }
    },
    /** Null unless the store is Postgres, the only store of the Ruby agent. */
    readRubyToken: config.database.kind === 'postgres' ? () => readRubyToken(db) : null,
    migrate: (as: 'server' | 'command') =>
      prepareStore(db, MIGRATIONS_FOLDER, as === 'server' ? (config.appUrlIsGuess ? '' : config.appUrl) : null),
    /** Claims no further account; refreshes under way finish. */
    stopClaiming: () => stopping.abort(),
    /** Stops claiming and waits up to `timeoutMs` until running sweeps and seedings have saved their answers. */
    async stopRefreshing(timeoutMs: number): Promise<void> {
      stopping.abort()
      // An alert that was just delivered must be recorded, or the next start sends it again.
      const work = [sweeps.running(), configuredSeeds.running(), checkTokens(), maintain(), feeds.loaded()?.fetching.settled()]
      await Promise.race([Promise.allSettled(work), sleep(timeoutMs, undefined, { ref: false })])
    },
    async close(): Promise<void> {
      await shared?.close()
      memcached?.close()
      await db.close()
    },
  }
}

/** Loads the driver only if the configuration names a server. */
async function openMemcached({ memcached }: Config, log: Log): Promise<Memcached | null> {
  if (memcached === null) return null
  const { servers, username, password } = memcached
  const { createMemcached } = await import('./cache/memcached.ts')
  return createMemcached({ servers, username: username ?? undefined, password: password?.reveal(), log })
}

async function openChannels({ alertWebhookUrl: url, mail, appUrl }: Config): Promise<Channel[]> {
  const webhook = url === null ? [] : [(await import('./webhook/webhook.ts')).createWebhook({ url, appUrl })]
  return mail === null ? webhook : [...webhook, (await import('./mail/mail.ts')).createMail({ ...mail, appUrl })]
}

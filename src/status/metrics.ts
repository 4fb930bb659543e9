import { setTimeout as sleep } from 'node:timers/promises'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Overview } from '../accounts/overview.ts'
import type { Account } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import type { FeedSummaries } from '../feeds/feed.ts'
import type { LazyFeeds } from '../feeds/lazy-feeds.ts'
import { READ_BUCKETS, type ReadMeter } from '../reading/read-meter.ts'
import type { TokenReader } from '../reading/token-reader.ts'
import type { LookCounters } from '../refreshing/check-tokens.ts'
import type { AttemptDeps } from '../refreshing/refresh-account.ts'
import type { WatchedParts } from './health.ts'

export interface Metrics {
  readonly contentType: string
  /** The text of a scrape. Answers within two seconds, even while the store does not. */
  render(): Promise<string>
}

interface MeasuredParts extends Omit<WatchedParts, 'memcachedState'> {
  readonly overview: Pick<Overview, 'mostUrgent'>
  readonly store: Pick<AccountStore, 'nowMs'>
  readonly reader: Pick<TokenReader, 'counters'>
  readonly refreshDeps: Pick<AttemptDeps, 'counters'>
  readonly looks: LookCounters
  readonly feeds: Pick<LazyFeeds, 'loaded'>
  readonly feedSummaries: Pick<FeedSummaries, 'totals'>
  readonly memcachedState: (() => Promise<{ readonly servers: readonly { readonly server: string; readonly up: boolean }[] }>) | null
}

/** The most urgent accounts have their own lines; the totals count all. */
const MAX_ACCOUNTS = 1_000
const TIMEOUT_MS = 1_500

/** Reads all values at a scrape, so nothing is computed between two scrapes. */
export function createMetrics(services: MeasuredParts, reads: ReadMeter): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const perAccount = (name: string, help: string, label?: string): Gauge =>
    new Gauge({
      name: `token_agent_${name}`,
      help,
      labelNames: ['account', 'provider', ...(label === undefined ? [] : [label])],
      registers,
    })
  const expiry = perAccount('token_expiry_seconds', 'Seconds until the token expires; negative once it has.')
  const success = perAccount('last_success_timestamp_seconds', 'When the token was last refreshed, as Unix time.')
  const next = perAccount('next_refresh_timestamp_seconds', 'When the token is refreshed next, as Unix time.')
  const state = perAccount('account_state', 'Always 1; the label says in which state the account is.', 'state')
  const failures = perAccount('refresh_failures', 'Failed refreshes since the last success.')
  const accounts = new Gauge({ name: 'token_agent_accounts', help: 'Accounts, by state.', labelNames: ['state'], registers })
  const total = (name: string, help: string): Gauge => new Gauge({ name: `token_agent_${name}`, help, registers })
  const needPerson = total('accounts_needing_person', 'Accounts that stay broken until a person acts.')
  const unreadable = total('accounts_unreadable', 'Accounts whose token opens with no key in ENCRYPTION_KEY.')
  const paused = total('accounts_paused', 'Accounts that their owner has paused.')
  const storeUp = total('store_up', '1 while the database answers.')
  const memcachedUp = new Gauge({
    name: 'token_agent_memcached_up',
    help: '1 while the server answers and its breaker is closed.',
    labelNames: ['server'],
    registers,
  })

  const counted = (name: string, help: string, label: string, read: () => Readonly<Record<string, number>>): Counter =>
    new Counter({
      name: `token_agent_${name}_total`,
      help,
      labelNames: [label],
      registers,
      collect() {
        this.reset()
        for (const [value, count] of Object.entries(read())) this.inc({ [label]: value }, count)
      },
    })
  counted('refreshes', 'Refresh attempts of this process, by outcome.', 'outcome', () => services.refreshDeps.counters)
  counted('looks', 'Daily looks of this process at tokens, by outcome.', 'outcome', () => services.looks)
  counted('reads', 'Requests for a token, by outcome.', 'outcome', () => reads.outcomes())
  counted('lookups', 'Tokens found for a request, by where they came from.', 'source', () => services.reader.counters)
  counted(
    'feed_reads',
    'Feeds found for a request, by where they came from.',
    'source',
    () => services.feeds.loaded()?.reader.counters ?? {},
  )
  counted('feed_fetches', 'Fetches of posts by this process, by outcome.', 'outcome', () => services.feeds.loaded()?.counters ?? {})
  const feeds = total('feeds', 'Feeds that are kept.')
  const feedsFailing = total('feeds_failing', 'Feeds without a good answer for six hours.')
  const feedPosts = total('feed_posts', 'Posts in all feeds.')
  const feedBytes = total('feed_picture_bytes', 'Bytes of the pictures of all feeds in the database.')
  registry.registerMetric(new ReadDurations(reads))
  const perChannel = (name: string, help: string): Gauge =>
    new Gauge({ name: `token_agent_alert_channel_${name}`, help, labelNames: ['channel'], registers })
  const channelUp = perChannel('up', '1 where the last message of this channel arrived.')
  const channelSuccess = perChannel('last_success_timestamp_seconds', 'When a message of this channel last arrived, as Unix time.')

  function showAccount(account: Account, now: number): void {
    const labels = { account: account.name, provider: account.provider }
    if (account.expiresAt !== null) expiry.set(labels, (account.expiresAt.getTime() - now) / 1000)
    if (account.lastRefreshAt !== null) success.set(labels, account.lastRefreshAt.getTime() / 1000)
    if (account.nextRefreshAt !== null) next.set(labels, account.nextRefreshAt.getTime() / 1000)
    state.set({ ...labels, state: account.pausedAt === null ? account.state : 'paused' }, 1)
    failures.set(labels, account.failureCount)
  }
  // While the store is down, the last known accounts are shown; token_agent_store_up is 0.
  let lastAccounts: readonly Account[] = []
  async function readAccounts(): Promise<void> {
    const [urgent, summary, kept] = await Promise.all([
      services.overview.mostUrgent(MAX_ACCOUNTS),
      services.summary(),
      services.feedSummaries.totals(),
      services.checkStore(),
    ])
    lastAccounts = urgent
    for (const [name, count] of Object.entries(summary.byState)) accounts.set({ state: name }, count)
    needPerson.set(summary.needPerson)
    unreadable.set(summary.unreadable)
    paused.set(summary.paused)
    feeds.set(kept.feeds)
    feedsFailing.set(kept.failing)
    feedPosts.set(kept.posts)
    feedBytes.set(kept.bytes)
  }
  let reading: Promise<void> | null = null

  return {
    contentType: registry.contentType,
    async render() {
      reading ??= readAccounts()
        .catch(() => {})
        .finally(() => {
          reading = null
        })
      await Promise.race([reading, sleep(TIMEOUT_MS, undefined, { ref: false })])
      for (const gauge of [expiry, success, next, state, failures]) gauge.reset()
      for (const account of lastAccounts) showAccount(account, services.store.nowMs())
      const { up, waitingSince } = services.storeState()
      storeUp.set(up && (waitingSince === null || Date.now() - waitingSince.getTime() < TIMEOUT_MS - 100) ? 1 : 0)
      const memcached = await services.memcachedState?.()
      for (const { server, up: isUp } of memcached?.servers ?? []) memcachedUp.set({ server }, isUp ? 1 : 0)
      for (const { kind: channel, isUp, lastOkAt } of services.channelStates()) {
        if (isUp !== null) channelUp.set({ channel }, isUp ? 1 : 0)
        if (lastOkAt !== null) channelSuccess.set({ channel }, lastOkAt.getTime() / 1000)
      }
      return registry.metrics()
    },
  }
}

const DURATION = 'token_agent_read_duration_seconds'
const DURATION_HELP = 'How long requests for a token took.'

/** A histogram over the buckets of the ReadMeter. */
class ReadDurations extends Histogram {
  readonly #reads: ReadMeter
  constructor(reads: ReadMeter) {
    super({ name: DURATION, help: DURATION_HELP, buckets: [...READ_BUCKETS], registers: [] })
    this.#reads = reads
  }
  getForPromString(): Promise<object> {
    const { counts, sumSeconds } = this.#reads
    let count = 0
    const buckets = counts.map((own, at) => {
      count += own
      return { metricName: `${DURATION}_bucket`, labels: { le: READ_BUCKETS[at] ?? '+Inf' }, value: count }
    })
    const values = [
      ...buckets,
      { metricName: `${DURATION}_sum`, labels: {}, value: sumSeconds() },
      { metricName: `${DURATION}_count`, labels: {}, value: count },
    ]
    return Promise.resolve({ name: DURATION, help: DURATION_HELP, type: 'histogram', values })
  }
}

import type { Log } from '../core/log.ts'
import type { Provider } from '../core/provider.ts'
import { type FeedMode, servesOf } from '../core/serves.ts'
import type { Vault } from '../core/vault.ts'
import type { SharedCache } from '../reading/shared-cache.ts'
import { createRateLimit, type RateLimit } from '../refreshing/rate-limit.ts'
import type { FeedStore, FeedStoreOptions } from './feed.ts'
import { createFeedReader } from './feed-reader.ts'
import { createFetching } from './fetch-due.ts'
import { createFetchCounters } from './fetch-feed.ts'
import { createPictureCache } from './picture-cache.ts'
import { createResizer } from './resize.ts'

// The parts of feeds, loaded with the first of them: an agent whose feeds nobody reads holds none of this.

export interface FeedSettings {
  readonly mode: FeedMode
  readonly intervalMs: number
  /** Posts a feed. */
  readonly posts: number
  /** For the pictures of all feeds together. */
  readonly storeBytes: number
}

export interface FeedsParts {
  readonly openStore: (options: FeedStoreOptions) => FeedStore
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly shared: SharedCache | null
  /** The database's clock. */
  readonly clock: { nowMs(): number }
  readonly settings: FeedSettings
  readonly appUrl: string
  /** Of the refreshes. */
  readonly refreshes: RateLimit
  /** False while a token cannot be saved: pictures must not take the store's last room. */
  readonly mayKeep: () => boolean
  readonly signal: AbortSignal
  readonly log: Log
  /** A monotonic clock. */
  readonly clockMs?: () => number
}

export type Feeds = ReturnType<typeof openFeeds>

/** Four fetches at once, each of one or two calls: feeds may never take what refreshes need. */
const RATE_LIMIT = { concurrency: 4, perSecond: 5, burst: 50 }
/** Enough for the calls about posts; each picture that is kept prolongs it. */
const LEASE_SECONDS = 120

export function openFeeds(parts: FeedsParts) {
  const { openStore, vault, providers, shared, clock, settings, appUrl, refreshes, mayKeep, signal, log } = parts
  const { clockMs = () => performance.now() } = parts
  const named = (is: (provider: Provider) => boolean): string[] => [...providers.values()].filter(is).map(({ name }) => name)
  const undecided = { serves: null }
  const store = openStore({
    providers: {
      all: named(({ media }) => media !== undefined),
      byDefault: named(({ media }) => media !== undefined && servesOf(undecided, settings.mode, media) !== 'token'),
      private: named(({ media }) => media?.mayBePrivate === true),
    },
    leaseSeconds: LEASE_SECONDS,
    maxBytes: settings.storeBytes,
  })
  const reader = createFeedReader({ ...settings, store, clock, shared, providers, appUrl, log, clockMs })
  const counters = createFetchCounters()
  const fetching = createFetching(
    {
      store,
      vault,
      providers,
      resizer: createResizer({ log, clockMs }),
      mayKeep,
      rateLimit: createRateLimit(RATE_LIMIT, clockMs),
      refreshes,
      policy: { intervalMs: settings.intervalMs, random: Math.random },
      limit: settings.posts,
      publish: (account) => reader.publish(account),
      counters,
      clockMs,
      log,
    },
    signal,
  )
  return { store, reader, fetching, counters, pictures: createPictureCache(store) }
}

import type { FeedStore, FeedStoreOptions } from './feed.ts'
import type { Feeds, FeedsParts } from './open-feeds.ts'

export interface LazyFeeds {
  /** Null before the first feed. */
  loaded(): Feeds | null
  load(): Promise<Feeds>
}

/** The code of feeds, once one was asked for. */
export function createLazyFeeds(
  loadStore: () => Promise<(options: FeedStoreOptions) => FeedStore>,
  parts: Omit<FeedsParts, 'openStore'>,
): LazyFeeds {
  let loading: Promise<Feeds> | null = null
  let feeds: Feeds | null = null
  async function open(): Promise<Feeds> {
    const [openStore, { openFeeds }] = await Promise.all([loadStore(), import('./open-feeds.ts')])
    feeds = openFeeds({ ...parts, openStore })
    return feeds
  }
  return {
    loaded: () => feeds,
    load() {
      loading ??= open()
      return loading
    },
  }
}

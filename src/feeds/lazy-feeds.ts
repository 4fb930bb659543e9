import type { FeedStore, FeedStoreOptions, FeedSummaries } from './feed.ts'
import type { Feeds, FeedsParts } from './open-feeds.ts'

export interface LazyFeeds {
  /** Null before the first feed. */
  loaded(): Feeds | null
  load(): Promise<Feeds>
  /** Fetches the posts that are due, and throws old ones away. Loads no code before there are some. */
  fetchDue(): Promise<void>
}

interface Stores {
  readonly loadFeeds: () => Promise<(options: FeedStoreOptions) => FeedStore>
  readonly feedSummaries: Pick<FeedSummaries, 'hasWork'>
}

/** The code of feeds, once one was asked for. */
export function createLazyFeeds({ loadFeeds, feedSummaries }: Stores, parts: Omit<FeedsParts, 'openStore'>): LazyFeeds {
  let loading: Promise<Feeds> | null = null
  let feeds: Feeds | null = null
  async function open(): Promise<Feeds> {
    const [openStore, { openFeeds }] = await Promise.all([loadFeeds(), import('./open-feeds.ts')])
    feeds = openFeeds({ ...parts, openStore })
    return feeds
  }
  function load(): Promise<Feeds> {
    loading ??= open()
    return loading
  }
  return {
    loaded: () => feeds,
    load,
    async fetchDue() {
      if (feeds !== null || (await feedSummaries.hasWork())) await (await load()).fetching.run()
    },
  }
}

import type { FeedReader } from '../../feeds/feed-reader.ts'
import type { Fetching } from '../../feeds/fetch-due.ts'
import type { PictureCache } from '../../feeds/picture-cache.ts'

/** The parts of feeds that routes use. */
export interface FeedParts {
  readonly reader: Pick<FeedReader, 'read'>
  readonly fetching: Pick<Fetching, 'first' | 'noteRead'>
  readonly pictures: PictureCache
}

export interface FeedAccess {
  /** Null before the first feed: the code is loaded with it. */
  loaded(): FeedParts | null
  load(): Promise<FeedParts>
}

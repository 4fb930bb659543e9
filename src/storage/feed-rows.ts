import { AppError } from '../core/errors.ts'
import type { Feed, FeedPost, FeedStore } from '../feeds/feed.ts'
import type { Database } from './database.ts'
import type { Clocked, DatabaseClock } from './database-clock.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount, toDate } from './rows.ts'

type Instant = Date | string

export interface FeedRow {
  readonly user_id: string
  readonly public_word_at: Instant | null
  readonly posts: string | null
  readonly etag: string | null
  readonly post_count: number
  readonly version: number
  readonly bytes: number
  readonly changed_at: Instant | null
  readonly fetched_at: Instant | null
  readonly read_at: Instant
  readonly next_fetch_at: Instant
  readonly failures: number
  readonly empty_since: Instant | null
  readonly short_fields: number
  readonly last_error: string | null
}

type LookRow = Omit<AccountRow, 'name' | 'version'> &
  Omit<FeedRow, 'user_id' | 'version' | 'last_error'> &
  Clocked & {
    readonly name: string | null
    readonly account_version: number
    readonly removed_at: Instant | null
    readonly cache_id: string | null
    readonly user_id: string | null
    readonly version: number
    readonly feed_error: string | null
  }

export const FEED_COLUMNS = [
  'user_id',
  'public_word_at',
  'posts',
  'etag',
  'post_count',
  'version',
  'bytes',
  'changed_at',
  'fetched_at',
  'read_at',
  'next_fetch_at',
  'failures',
  'empty_since',
  'short_fields',
  'last_error',
].join(', ')

/** An account with its feed, in one statement. */
export function createFeedLook(db: Database, clock: DatabaseClock): FeedStore['look'] {
  const { now } = db.dialect
  return async (name, known = null) => {
    // A column of the account and one of the feed may have the same name.
    const account = ACCOUNT_COLUMNS.replace(/\w+/g, 'accounts.$&').replace('accounts.version', 'accounts.version as account_version')
    const feed = FEED_COLUMNS.replace(/\w+/g, 'feeds.$&')
      .replace('feeds.posts', 'case when feeds.etag = $2 then null else feeds.posts end as posts')
      .replace('feeds.last_error', 'feeds.last_error as feed_error')
    const [row] = await clock.ask<LookRow>(
      db,
      `select ${account}, accounts.removed_at, ${feed}, cache_id, ${now} as clock
        from installation left join accounts on accounts.name = $1
          left join feeds on feeds.account = accounts.name and feeds.user_id = accounts.provider_user_id and accounts.removed_at is null
        where installation.id = 1`,
      [name, known],
    )
    if (row === undefined) throw new AppError('unavailable', 'The store is not prepared yet: its table “installation” is empty.')
    const { name: found, user_id: userId } = row
    return {
      at: new Date(row.clock),
      cacheId: row.cache_id,
      account: found === null ? null : toAccount({ ...row, name: found, version: row.account_version }),
      isRemoved: row.removed_at !== null,
      feed: userId === null ? null : toFeed({ ...row, user_id: userId, last_error: row.feed_error }),
    }
  }
}

export function toFeed(row: FeedRow): Feed {
  return {
    userId: row.user_id,
    publicWordAt: toDate(row.public_word_at),
    posts: row.posts === null ? null : (JSON.parse(row.posts) as FeedPost[]),
    etag: row.etag,
    postCount: row.post_count,
    version: row.version,
    bytes: row.bytes,
    changedAt: toDate(row.changed_at),
    fetchedAt: toDate(row.fetched_at),
    readAt: new Date(row.read_at),
    nextFetchAt: new Date(row.next_fetch_at),
    failures: row.failures,
    emptySince: toDate(row.empty_since),
    isShort: row.short_fields === 1,
    lastError: row.last_error,
  }
}

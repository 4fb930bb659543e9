import type { FeedSummaries } from '../feeds/feed.ts'
import type { Database } from './database.ts'
import { type FeedRow, toFeed } from './feed-rows.ts'
import { IS_FOREIGN, isDue, isFailing, isOutdated } from './feed-rules.ts'

interface SummaryRow extends Omit<FeedRow, 'posts' | 'etag'> {
  readonly account: string
  readonly is_failing: number
}

interface TotalsRow {
  readonly feeds: number
  readonly failing: number | null
  readonly posts: number | null
  readonly bytes: number | string | null
}

const COLUMNS = `account, user_id, public_word_at, post_count, version, bytes, changed_at, fetched_at, read_at, next_fetch_at, failures,
  empty_since, short_fields, last_error`

/** One statement each, so that an agent without feeds loads nothing more for them. */
export function createFeedSummaries(db: Database): FeedSummaries {
  const failing = `case when ${isFailing(db.dialect)} then 1 else 0 end`
  return {
    async hasWork() {
      const work = `${isDue(db.dialect)} or ${isOutdated(db.dialect)} or ${IS_FOREIGN}`
      return (await db.query(`select account from feeds where ${work} limit 1`)).length > 0
    },

    async totals() {
      const [row] = await db.query<TotalsRow>(
        `select cast(count(*) as integer) as feeds, cast(sum(post_count) as integer) as posts, sum(bytes) as bytes,
          cast(sum(${failing}) as integer) as failing from feeds`,
      )
      return { feeds: row?.feeds ?? 0, failing: row?.failing ?? 0, posts: row?.posts ?? 0, bytes: Number(row?.bytes ?? 0) }
    },

    async of(accounts) {
      if (accounts.length === 0) return new Map()
      const list = accounts.map((_, at) => `$${at + 1}`).join(', ')
      const rows = await db.query<SummaryRow>(
        `select ${COLUMNS}, ${failing} as is_failing from feeds where account in (${list}) and not (${IS_FOREIGN})`,
        accounts,
      )
      return new Map(
        rows.map(({ account, is_failing, ...row }) => {
          const { posts, etag, ...feed } = toFeed({ ...row, posts: null, etag: null })
          return [account, { ...feed, account, isFailing: is_failing === 1 }]
        }),
      )
    },
  }
}

import type { FeedStore } from '../feeds/feed.ts'
import type { Database, Param } from './database.ts'
import { IS_FOREIGN, isOutdated } from './feed-rules.ts'

type Upkeep = Pick<FeedStore, 'touch' | 'clear' | 'makeRoom' | 'sweep'>

const EMPTIED = `posts = null, post_count = 0, etag = null, version = version + 1, bytes = 0, changed_at = null, fetched_at = null,
  failures = 0, empty_since = null, short_fields = 0, last_error = null, lease_until = null, attempt_id = null`

/** What happens to feeds beside fetching and reading. */
export function createFeedUpkeep(db: Database): Upkeep {
  const { now, nowPlus } = db.dialect

  /** Empties the feeds that match, and returns their accounts. A fetch under way becomes void. */
  function empty(condition: string, params: readonly Param[] = []): Promise<string[]> {
    return db.transaction(async (tx) => {
      const sql = `update feeds set ${EMPTIED}, next_fetch_at = ${now} where ${condition} returning account`
      const names = (await tx.query<{ account: string }>(sql, params)).map(({ account }) => account)
      for (const name of names) await tx.query('delete from pictures where account = $1', [name])
      return names
    })
  }

  return {
    async clear(name) {
      return (await empty('account = $1', [name])).length > 0
    },

    makeRoom: () => empty(`read_at < ${nowPlus('-604800')} and bytes > 0`),

    // A feed that is read again after a day without readers is behind: it is due at once.
    async touch(names) {
      if (names.length === 0) return
      const list = names.map((_, at) => `$${at + 1}`).join(', ')
      await db.query(
        `update feeds set read_at = ${now},
          next_fetch_at = case when read_at < ${nowPlus('-86400')} and failures = 0 then ${now} else next_fetch_at end
        where account in (${list})`,
        names,
      )
    },

    async sweep() {
      const old = await empty(isOutdated(db.dialect))
      // The release before removes accounts, and gives them other users, without a thought of feeds.
      await db.query(`delete from feeds where ${IS_FOREIGN}`)
      await db.query('delete from pictures where not exists (select 1 from feeds where feeds.account = pictures.account)')
      return old
    },
  }
}

import type { Dialect, Queryable } from './database.ts'

// Posts and pictures go in the transaction of what ends the right to them. The row in feeds goes first: a fetch under way
// holds it while it inserts a picture, and finds it gone afterwards.

/** True for a feed of an account that is gone or has another user. */
export const IS_FOREIGN =
  'not exists (select 1 from accounts where name = feeds.account and removed_at is null and provider_user_id = feeds.user_id)'

/** True for a feed to fetch now. One that was not read for a week waits for a reader. */
export const isDue = ({ now, nowPlus }: Dialect): string =>
  `(next_fetch_at <= ${now} and (posts is null or read_at > ${nowPlus('-604800')}))`

/** True for a feed without a good answer for two weeks: nothing tells that its posts may still be shown. */
export const isOutdated = ({ nowPlus }: Dialect): string => `(posts is not null and fetched_at < ${nowPlus('-1209600')})`

/**
 * True for a feed without a good answer for six hours, which the agent still asks for: one that is switched off or not read
 * has had its next fetch long ago. One that never had posts is asked eight times in six hours.
 */
export const isFailing = ({ nowPlus }: Dialect): string =>
  `(feeds.failures > 0 and feeds.next_fetch_at > ${nowPlus('-3600')}
    and (feeds.fetched_at < ${nowPlus('-21600')} or (feeds.fetched_at is null and feeds.failures >= 8)))`

/** Raises the account's revision where there was a feed, so that no cached one outlasts it. */
export async function dropFeed(tx: Queryable, account: string, condition = 'true'): Promise<void> {
  const rows = await tx.query(`delete from feeds where account = $1 and ${condition} returning account`, [account])
  if (rows.length === 0) return
  await tx.query('delete from pictures where account = $1', [account])
  await tx.query('update accounts set revision = revision + 1 where name = $1', [account])
}

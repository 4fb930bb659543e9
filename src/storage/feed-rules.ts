import type { Dialect, Queryable } from './database.ts'

// Posts and pictures go in the transaction of what ends the right to them. The row in feeds goes first: a fetch under way
// holds it while it inserts a picture, and finds it gone afterwards.

/** True for a feed of an account that is gone or has another user. */
export const IS_FOREIGN =
  'not exists (select 1 from accounts where name = feeds.account and removed_at is null and provider_user_id = feeds.user_id)'

/** True for a feed without a good answer for six hours. One that never had posts is asked eight times in that time. */
export const isFailing = ({ nowPlus }: Dialect): string =>
  `(feeds.failures > 0 and (feeds.fetched_at < ${nowPlus('-21600')} or (feeds.fetched_at is null and feeds.failures >= 8)))`

/** Raises the account's revision where there was a feed, so that no cached one outlasts it. */
export async function dropFeed(tx: Queryable, account: string, condition = 'true'): Promise<void> {
  const rows = await tx.query(`delete from feeds where account = $1 and ${condition} returning account`, [account])
  if (rows.length === 0) return
  await tx.query('delete from pictures where account = $1', [account])
  await tx.query('update accounts set revision = revision + 1 where name = $1', [account])
}

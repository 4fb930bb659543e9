import type { Database, Queryable } from './database.ts'

// Posts and pictures go in the transaction of what ends the right to them. The row in feeds goes first: a fetch under way
// holds it while it inserts a picture, and finds it gone afterwards.

/** True for a feed of an account that is gone or has another user. */
export const IS_FOREIGN =
  'not exists (select 1 from accounts where name = feeds.account and removed_at is null and provider_user_id = feeds.user_id)'

/** Raises the account's revision where there was a feed, so that no cached one outlasts it. */
export async function dropFeed(tx: Queryable, account: string, condition = 'true'): Promise<void> {
  const rows = await tx.query(`delete from feeds where account = $1 and ${condition} returning account`, [account])
  if (rows.length === 0) return
  await tx.query('delete from pictures where account = $1', [account])
  await tx.query('update accounts set revision = revision + 1 where name = $1', [account])
}

/** True where a feed may be due. One statement, so that an agent without feeds loads nothing more for them. */
export async function hasDueFeed(db: Database): Promise<boolean> {
  const { now, nowPlus } = db.dialect
  const due = `next_fetch_at <= ${now} and (posts is null or read_at > ${nowPlus('-604800')})`
  return (await db.query(`select account from feeds where ${due} limit 1`)).length > 0
}

import type { Queryable } from './database.ts'

/** True for a link of an account that is gone, or that has another user than when the link was made. */
export const IS_ORPHAN = `not exists (select 1 from accounts where name = connect_links.account and removed_at is null
    and provider = connect_links.provider and (connect_links.for_user is null or provider_user_id = connect_links.for_user))`

/** The link and its waiting grant go in the transaction of what ends the right to them. */
export async function dropLink(tx: Queryable, account: string, condition = 'true'): Promise<void> {
  await tx.query(`delete from connect_links where account = $1 and ${condition}`, [account])
}

import type { Arrival } from '../accounts/links.ts'
import type { Queryable } from './database.ts'

// Users whom a call of their provider named lately, by code, in the table of these calls. A grant that was asked for before
// the call, and is saved after it, is void.

/** Inside the call's transaction. */
export async function noteUser(tx: Queryable, code: string, at: Date): Promise<void> {
  await tx.query(
    `insert into signed_requests (digest, answer, at) values ($1, '', $2)
    on conflict (digest) do update set at = excluded.at where signed_requests.at < excluded.at`,
    [code, at],
  )
}

/** A call about the user that comes at this moment waits for the transaction, and then finds the grant. */
export async function isErased(tx: Queryable, { codes, askedAt }: Pick<Arrival, 'codes' | 'askedAt'>): Promise<boolean> {
  const sql = `insert into signed_requests (digest, answer, at) values ($1, '', $2)
    on conflict (digest) do update set answer = signed_requests.answer returning at`
  for (const code of codes) {
    const [row] = await tx.query<{ at: Date | string }>(sql, [code, new Date(askedAt.getTime() - 1)])
    if (row !== undefined && new Date(row.at) >= askedAt) return true
  }
  return false
}

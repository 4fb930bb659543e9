import type { AccountEvent } from '../domain/account-store.ts'
import type { Dialect, Queryable } from './database.ts'
import { createEventId } from './event-id.ts'

export const EVENT_COLUMNS = 'id, account, kind, actor, outcome, detail, at'

/** Gives the event's id. */
export async function insertEvent(on: Queryable, { now }: Dialect, event: AccountEvent, nowMs: number): Promise<string> {
  const { account, kind, actor, outcome, detail } = event
  const id = createEventId(nowMs)
  const sql = `insert into events (${EVENT_COLUMNS}) values ($1, $2, $3, $4, $5, $6, ${now})`
  await on.query(sql, [id, account, kind, actor, outcome, detail])
  return id
}

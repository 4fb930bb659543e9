import { randomBytes } from 'node:crypto'
import type { AccountEvent, RecordedEvent } from '../core/account-store.ts'
import type { Dialect, Queryable } from './database.ts'

export type EventRow = Omit<RecordedEvent, 'at'> & { readonly at: Date | string }

export const EVENT_COLUMNS = 'id, account, kind, actor, outcome, detail, at'

export function toEvent({ at, ...event }: EventRow): RecordedEvent {
  return { ...event, at: new Date(at) }
}

/** Returns the event's id. */
export async function insertEvent(on: Queryable, { now }: Dialect, event: AccountEvent, nowMs: number): Promise<string> {
  const { account, kind, actor, outcome, detail } = event
  const id = createEventId(nowMs)
  const sql = `insert into events (${EVENT_COLUMNS}) values ($1, $2, $3, $4, $5, $6, ${now})`
  await on.query(sql, [id, account, kind, actor, outcome, detail])
  return id
}

let last = 0n

/** Grows with time, also within one millisecond of this process, so events of one instant keep their order. */
function createEventId(nowMs: number): string {
  const candidate = BigInt(Math.floor(nowMs)) << 12n
  last = candidate > last ? candidate : last + 1n
  return `${last.toString(16).padStart(14, '0')}-${randomBytes(8).toString('hex')}`
}

import type { ChannelStore } from '../alerts/channel.ts'
import type { Database } from './database.ts'
import { toDate } from './rows.ts'

interface ChannelRow {
  readonly channel: string
  readonly target: string
  readonly last_ok_at: Date | string | null
  readonly last_failed_at: Date | string | null
  readonly last_error: string | null
}

export function createChannelStore(db: Database): ChannelStore {
  const { now, nowPlus } = db.dialect
  return {
    async claimFirst({ kind, target }, leaseSeconds) {
      const rows = await db.query(
        `insert into alert_channels (channel, target, lease_until) values ($1, $2, ${nowPlus('$3')})
        on conflict (channel, target) do update set lease_until = excluded.lease_until
        where alert_channels.last_ok_at is null and alert_channels.last_failed_at is null and alert_channels.lease_until <= ${now}
        returning channel`,
        [kind, target, leaseSeconds],
      )
      return rows.length > 0
    },

    async saveDelivery({ kind, target }, error) {
      const column = error === null ? 'last_ok_at' : 'last_failed_at'
      await db.query(
        `insert into alert_channels (channel, target, ${column}, last_error) values ($1, $2, ${now}, $3)
        on conflict (channel, target) do update set ${column} = excluded.${column}, last_error = excluded.last_error`,
        [kind, target, error],
      )
    },

    async records() {
      const rows = await db.query<ChannelRow>('select channel, target, last_ok_at, last_failed_at, last_error from alert_channels')
      return rows.map((row) => ({
        kind: row.channel,
        target: row.target,
        lastOkAt: toDate(row.last_ok_at),
        lastFailedAt: toDate(row.last_failed_at),
        lastError: row.last_error,
      }))
    },
  }
}

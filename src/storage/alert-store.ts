import { type AlertClaim, type Alerted, type AlertStore, nextAlertAt } from '../alerts/alert.ts'
import type { Database } from './database.ts'
import { insertEvent } from './event-row.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount, toDate } from './rows.ts'

interface AlertedRow extends AccountRow {
  readonly alert_told: string | null
  readonly alert_told_at: Date | string | null
  readonly clock: Date | string
}

export function createAlertStore(db: Database): AlertStore {
  const { now, nowPlus, skipLocked } = db.dialect
  const columns = `${ACCOUNT_COLUMNS}, alert_told, alert_told_at, ${now} as clock`

  return {
    // One statement, as for refreshes: each row goes to one process, which holds no transaction open while the webhook
    // answers. `alert_at` is set to the end of the lease, so a claim lost in a crash comes back.
    async claimAlerts(limit, leaseSeconds) {
      const rows = await db.query<AlertedRow>(
        `with due as materialized (
          select name from accounts where alert_at <= ${now} and removed_at is null order by alert_at limit $1 ${skipLocked}
        )
        update accounts set alert_at = ${nowPlus('$2')}, alert_lease_until = ${nowPlus('$2')}
        where name in (select name from due) and alert_at <= ${now}
        returning ${columns}`,
        [limit, leaseSeconds],
      )
      return rows.map(toClaim)
    },

    settleAlert: ({ account: { name } }, alerted, event) =>
      db.transaction(async (tx) => {
        const text = alerted.length === 0 ? null : alerted.join(' ')
        // A refresh may have ended meanwhile, so `alert_at` is computed from the row as it is now.
        const alertedAt = event === null ? '' : `, alert_told_at = ${now}`
        const [row] = await tx.query<AlertedRow>(
          `update accounts set alert_told = $2, alert_lease_until = null${alertedAt} where name = $1 and removed_at is null
          returning ${columns}`,
          [name, text],
        )
        if (row === undefined) return
        const clock = new Date(row.clock)
        await tx.query('update accounts set alert_at = $2 where name = $1', [name, nextAlertAt(toAccount(row), alertedOf(row), clock)])
        if (event !== null) await insertEvent(tx, db.dialect, event, clock.getTime())
      }),
  }
}

function toClaim(row: AlertedRow): AlertClaim {
  return { account: toAccount(row), alerted: alertedOf(row), claimedAt: new Date(row.clock) }
}

function alertedOf({ alert_told: conditions, alert_told_at: at }: AlertedRow): Alerted {
  return { conditions: conditions === null ? [] : conditions.split(' '), at: toDate(at) }
}

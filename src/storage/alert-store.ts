import { type AlertClaim, type AlertStore, nextLookAt, type Told } from '../alerts/alert.ts'
import type { Database } from './database.ts'
import { insertEvent } from './event-row.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount, toDate } from './rows.ts'

interface ToldRow extends AccountRow {
  readonly alert_told: string | null
  readonly alert_told_at: Date | string | null
  readonly clock: Date | string
}

export function createAlertStore(db: Database): AlertStore {
  const { now, nowPlus, skipLocked } = db.dialect
  const columns = `${ACCOUNT_COLUMNS}, alert_told, alert_told_at, ${now} as clock`

  return {
    // One statement, like the claim of what is due: each row goes to one process, which holds no transaction open
    // while the webhook answers. The lease's end is also the next look, so that a claim lost in a crash comes back.
    async claimAlerts(limit, leaseSeconds) {
      const rows = await db.query<ToldRow>(
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

    settleAlert: ({ account: { name } }, told, event) =>
      db.transaction(async (tx) => {
        const text = told.length === 0 ? null : told.join(' ')
        // A refresh may have ended meanwhile: when to look again is judged by the row as it is now.
        const toldAt = event === null ? '' : `, alert_told_at = ${now}`
        const [row] = await tx.query<ToldRow>(
          `update accounts set alert_told = $2, alert_lease_until = null${toldAt} where name = $1 and removed_at is null
          returning ${columns}`,
          [name, text],
        )
        if (row === undefined) return
        const clock = new Date(row.clock)
        await tx.query('update accounts set alert_at = $2 where name = $1', [name, nextLookAt(toAccount(row), toldOf(row), clock)])
        if (event !== null) await insertEvent(tx, db.dialect, event, clock.getTime())
      }),
  }
}

function toClaim(row: ToldRow): AlertClaim {
  return { account: toAccount(row), told: toldOf(row), claimedAt: new Date(row.clock) }
}

function toldOf({ alert_told: told, alert_told_at: at }: ToldRow): Told {
  return { conditions: told === null ? [] : told.split(' '), at: toDate(at) }
}

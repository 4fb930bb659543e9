import type { AlertClaim, Alerted, AlertStore, FeedState } from '../alerts/alert.ts'
import { nextAlertAt } from '../alerts/decide-alert.ts'
import type { Database, Queryable } from './database.ts'
import { insertEvent } from './event-row.ts'
import { isFailing } from './feed-rules.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount, toDate } from './rows.ts'

type Instant = Date | string

interface AlertedRow extends AccountRow {
  readonly alert_told: string | null
  readonly alert_told_at: Instant | null
  readonly alert_told_also: string | null
  readonly alert_told_also_at: Instant | null
  readonly clock: Instant
}

interface BacklogRow {
  readonly account: string
  readonly channel: string
  readonly told: string | null
  readonly told_at: Instant | null
}

/** The conditions that 1.0.0 keeps in alert_told. It works beside this release, so all others stand in a column of their own. */
const FIRST_CONDITIONS = ['expired', 'unreadable', 'reconnect', 'misconfigured', 'tenth', 'quarter', 'failing']

export function createAlertStore(db: Database): AlertStore {
  const { now, nowPlus, skipLocked } = db.dialect
  const columns = `${ACCOUNT_COLUMNS}, alert_told, alert_told_at, alert_told_also, alert_told_also_at, ${now} as clock`
  const numbers = (from: number, list: readonly string[]): string => list.map((_, at) => `$${from + at}`).join(', ')

  async function feedStates(tx: Queryable, names: readonly string[]): Promise<(name: string) => FeedState> {
    const rows = await tx.query<{ account: string; state: 'good' | 'failing'; last_error: string | null }>(
      `select account, last_error, case when ${isFailing(db.dialect)} then 'failing' else 'good' end as state from feeds
      where account in (${numbers(1, names)}) and (${isFailing(db.dialect)} or (failures = 0 and fetched_at is not null))`,
      names,
    )
    const states = new Map<string, FeedState>(
      rows.map(({ account, state, last_error: why }) => [account, state === 'good' ? { is: 'good' } : { is: 'failing', why: why ?? '' }]),
    )
    return (name) => states.get(name) ?? { is: 'idle' }
  }

  return {
    async requeue(kinds, open, limit) {
      // A channel that is no longer configured, an account that was removed.
      await db.query(
        `delete from alert_backlog where channel not in (${numbers(1, kinds)})
          or exists (select 1 from accounts where name = alert_backlog.account and removed_at is not null)`,
        kinds,
      )
      // Rows that another instance holds are passed over: two that wait for each other's would be a deadlock.
      await db.query(
        `with late as materialized (
          select name from accounts where (alert_at is null or alert_at > ${now})
            and (alert_lease_until is null or alert_lease_until <= ${now}) and name in (
              select account from alert_backlog where retry_at <= ${now} and channel in (${numbers(2, open)}) order by retry_at limit $1
            ) ${skipLocked}
        )
        update accounts set alert_at = ${now} where name in (select name from late)`,
        [limit, ...open],
      )
    },

    // One statement, as for refreshes: each row goes to one process, which holds no transaction open while the receivers
    // answer. `alert_at` is set to the end of the lease, so a claim lost in a crash comes back.
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
      if (rows.length === 0) return []
      const names = rows.map(({ name }) => name)
      const backlog = await db.query<BacklogRow>(
        `select account, channel, told, told_at from alert_backlog where account in (${numbers(1, names)})`,
        names,
      )
      const feedOf = await feedStates(db, names)
      return rows.map((row) => ({ ...toClaim(row, backlog), feed: feedOf(row.name) }))
    },

    settleAlert: ({ account: { name } }, { alerted, event, behind }) =>
      db.transaction(async (tx) => {
        const known = alerted.filter((condition) => FIRST_CONDITIONS.includes(condition))
        const also = alerted.filter((condition) => !known.includes(condition))
        // A refresh may have ended meanwhile, so `alert_at` is computed from the row as it is now.
        const alertedAt = event === null ? '' : `, alert_told_at = ${now}, alert_told_also_at = ${now}`
        const [row] = await tx.query<AlertedRow>(
          `update accounts set alert_told = $2, alert_told_also = $3, alert_lease_until = null${alertedAt}
          where name = $1 and removed_at is null returning ${columns}`,
          [name, textOf(known), textOf(also)],
        )
        await tx.query('delete from alert_backlog where account = $1', [name])
        if (row === undefined) return
        for (const [channel, { had, retrySeconds }] of behind)
          await tx.query(
            `insert into alert_backlog (account, channel, told, told_at, retry_at) values ($1, $2, $3, $4, ${nowPlus('$5')})`,
            [name, channel, textOf(had.conditions), had.at, retrySeconds],
          )
        const clock = new Date(row.clock)
        const next = nextAlertAt(toAccount(row), alertedOf(row), clock, (await feedStates(tx, [name]))(name))
        await tx.query('update accounts set alert_at = $2 where name = $1', [name, next])
        if (event !== null) await insertEvent(tx, db.dialect, event, clock.getTime())
      }),
  }
}

function toClaim(row: AlertedRow, backlog: readonly BacklogRow[]): Omit<AlertClaim, 'feed'> {
  const own = backlog.filter(({ account }) => account === row.name)
  const behind = new Map(own.map(({ channel, told, told_at }) => [channel, { conditions: conditionsIn(told), at: toDate(told_at) }]))
  return { account: toAccount(row), alerted: alertedOf(row), behind, claimedAt: new Date(row.clock) }
}

function alertedOf(row: AlertedRow): Alerted {
  const [at, alsoAt] = [toDate(row.alert_told_at), toDate(row.alert_told_also_at)]
  // 1.0.0 has said since that all is well again, and knows of one column alone.
  const isOver = row.alert_told === null && at !== null && alsoAt !== null && at > alsoAt
  return { conditions: [...conditionsIn(row.alert_told), ...(isOver ? [] : conditionsIn(row.alert_told_also))], at }
}

const conditionsIn = (text: string | null): string[] => text?.split(' ') ?? []
const textOf = (conditions: readonly string[]): string | null => (conditions.length === 0 ? null : conditions.join(' '))

import { PERIOD_MS } from '../refreshing/next-refresh.ts'
import type { CheckRequest, Moment, Timetable } from '../refreshing/timetable.ts'
import type { Database, Param } from './database.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount } from './rows.ts'

type Instant = Date | string

interface PlannedRow {
  readonly name: string
  readonly provider: string
  readonly issued_at: Instant
  readonly expires_at: Instant
  readonly next_refresh_at: Instant
  readonly clock: Instant
}

const CHECK_AGAIN_SECONDS = 3600
/** A smaller difference is no other plan; longer than the random spread of a plan. */
const TOLERANCE_SECONDS = 1800
const DAY_SECONDS = 86_400

export function createTimetable(db: Database): Timetable {
  const { now, nowPlus, toSeconds, skipLocked } = db.dialect
  const idle = `(lease_until is null or lease_until <= ${now})`
  const kept = `removed_at is null and paused_at is null and access_token is not null and state = 'active'`
  // A refresh in the same minute also tests the token.
  const checkIsDue = `${kept} and ${idle} and next_check_at <= ${now} and (next_refresh_at is null or next_refresh_at > ${nowPlus('60')})`

  /** Sets an instant of many rows. A list of names, not a join: without statistics a planner reads all rows for each. */
  async function move(column: string, moments: readonly Moment[], condition: string): Promise<void> {
    if (moments.length === 0) return
    const params: Param[] = []
    const rows = moments.map(({ name, inSeconds }) => ({
      name: `$${params.push(name)}`,
      seconds: `$${params.push(Math.round(inSeconds))}`,
    }))
    const seconds = rows.map((row) => `when ${row.name} then cast(${row.seconds} as integer)`).join(' ')
    await db.query(
      `update accounts set ${column} = ${nowPlus(`(case name ${seconds} end)`)}
      where name in (${rows.map(({ name }) => name).join(', ')}) and ${condition}`,
      params,
    )
  }

  return {
    // One statement, as for refreshes. The lease has no attempt id, so a refresh may take the account over.
    async claimChecks({ leaseOwner, leaseSeconds, provider, limit }: CheckRequest) {
      const rows = await db.query<AccountRow & { clock: Instant }>(
        `with due as materialized (
          select name from accounts where provider = $4 and ${checkIsDue} order by next_check_at limit $3 ${skipLocked}
        )
        update accounts set lease_owner = $1, lease_until = ${nowPlus('$2')}, next_check_at = ${nowPlus(`${CHECK_AGAIN_SECONDS}`)}
        where name in (select name from due) and ${checkIsDue}
        returning ${ACCOUNT_COLUMNS}, ${now} as clock`,
        [leaseOwner, leaseSeconds, limit, provider],
      )
      return rows.map((row) => ({ account: toAccount(row), leaseOwner, claimedAt: new Date(row.clock) }))
    },

    async settleCheck({ account, leaseOwner }, { nextCheckAt, checkedAt, refused = false }) {
      const params: Param[] = [account.name, leaseOwner, account.version, nextCheckAt]
      const sets = ['next_check_at = $4', 'lease_owner = null', 'lease_until = null']
      if (checkedAt !== undefined) sets.push(`checked_at = $${params.push(checkedAt)}`)
      if (refused) sets.push(`next_refresh_at = case when next_refresh_at <= ${now} then next_refresh_at else ${now} end`)
      const rows = await db.query(
        `update accounts set ${sets.join(', ')}
        where name = $1 and lease_owner = $2 and version = $3 and attempt_id is null returning name`,
        params,
      )
      return rows.length > 0
    },

    async unplanned(after, limit) {
      const rows = await db.query<{ name: string }>(
        'select name from accounts where next_check_at is null and removed_at is null and name > $1 order by name limit $2',
        [after, limit],
      )
      return rows.map(({ name }) => name)
    },

    planChecks: (moments) => move('next_check_at', moments, 'next_check_at is null'),

    async misplanned({ mode, frequency }, after, limit) {
      const [issued, expires, next] = ['issued_at', 'expires_at', 'next_refresh_at'].map(toSeconds)
      const quarterLeft = `(${expires} - (${expires} - ${issued}) / 4)`
      const period = `(${issued} + ${PERIOD_MS[frequency] / 1000})`
      const planned = mode === 'scheduled' ? quarterLeft : `(case when ${period} < ${quarterLeft} then ${period} else ${quarterLeft} end)`
      const tooLate = `${next} > ${planned} + ${TOLERANCE_SECONDS} and ${next} > ${toSeconds(now)} + ${DAY_SECONDS + TOLERANCE_SECONDS}`
      // A token whose expiry did not come from the provider is refreshed as soon as possible, whatever the policy.
      const isFromProvider = '(last_refresh_at = issued_at or connected_at = issued_at)'
      const tooEarly = `${isFromProvider} and ${next} < ${planned} - ${TOLERANCE_SECONDS}`
      const rows = await db.query<PlannedRow>(
        `select name, provider, issued_at, expires_at, next_refresh_at, ${now} as clock from accounts
        where ${kept} and ${idle} and failure_count = 0 and next_refresh_at > ${now} and issued_at < expires_at
          and ((${tooLate}) or (${tooEarly})) and name > $1 order by name limit $2`,
        [after, limit],
      )
      return rows.map((row) => ({
        name: row.name,
        provider: row.provider,
        issuedAt: new Date(row.issued_at),
        expiresAt: new Date(row.expires_at),
        nextRefreshAt: new Date(row.next_refresh_at),
        readAt: new Date(row.clock),
      }))
    },

    planRefreshes: (moments) => move('next_refresh_at', moments, `${kept} and ${idle} and failure_count = 0 and next_refresh_at > ${now}`),
  }
}

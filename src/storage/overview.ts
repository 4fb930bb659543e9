import type { AccountState } from '../domain/account.ts'
import type { Overview } from '../domain/overview.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount } from './account-row.ts'
import type { Database } from './database.ts'

interface StateRow {
  readonly state: AccountState
  readonly accounts: number
  readonly paused: number
  readonly need_person: number
  readonly unreadable: number
}

/** `sealMarks`: how the values begin that this process can open. */
export function createOverview(db: Database, sealMarks: readonly string[]): Overview {
  const { now, nowPlus } = db.dialect
  const marked = sealMarks.map((mark, at) => `substr(access_token, 1, ${mark.length}) = $${at + 1}`).join(' or ')
  const unreadable = `coalesce(last_error_code, '') = 'unreadable' or (access_token is not null and not (${marked}))`
  // The same rule as `needsPerson` in domain/account.ts.
  const needsPerson = `paused_at is null and (state = 'reconnect' or coalesce(last_error_code, '') in ('misconfigured', 'unreadable')
    or access_token is null or expires_at <= ${now})`
  const count = (wanted: string): string => `cast(sum(case when ${wanted} then 1 else 0 end) as integer)`

  return {
    async summarize() {
      const rows = await db.query<StateRow>(
        `select state, cast(count(*) as integer) as accounts, ${count('paused_at is not null')} as paused,
          ${count(needsPerson)} as need_person, ${count(unreadable)} as unreadable
        from accounts where removed_at is null group by state`,
        sealMarks,
      )
      const sum = (column: 'paused' | 'need_person' | 'unreadable'): number => rows.reduce((total, row) => total + row[column], 0)
      return {
        byState: { unverified: 0, active: 0, reconnect: 0, ...Object.fromEntries(rows.map(({ state, accounts }) => [state, accounts])) },
        paused: sum('paused'),
        needPerson: sum('need_person'),
        unreadable: sum('unreadable'),
      }
    },

    // Two searches of an index each: one of both together would have to sort every account there is.
    async mostUrgent(limit) {
      const select = `select ${ACCOUNT_COLUMNS} from accounts where removed_at is null and`
      const failing = await db.query<AccountRow>(`${select} failure_count > 0 order by expires_at limit $1`, [limit])
      const others = await db.query<AccountRow>(`${select} failure_count = 0 order by next_refresh_at limit $1`, [limit - failing.length])
      return [...failing, ...others].map(toAccount)
    },

    async trimEvents(olderThanDays, limit) {
      const rows = await db.query(
        `delete from events where id in (select id from events where at < ${nowPlus('$1')} order by at limit $2) returning id`,
        [-olderThanDays * 86_400, limit],
      )
      return rows.length
    },
  }
}

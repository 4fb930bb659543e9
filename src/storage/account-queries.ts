import type { KeptInPages, Overview } from '../accounts/overview.ts'
import type { AccountState } from '../core/account.ts'
import type { RecordedEvent } from '../core/account-store.ts'
import { UNKNOWN_PROVIDER } from '../refreshing/refresh-account.ts'
import type { Database, Param } from './database.ts'
import { EVENT_COLUMNS, type EventRow, toEvent } from './event-row.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount } from './rows.ts'

interface StateRow {
  readonly state: AccountState
  readonly accounts: number
  readonly paused: number
  readonly need_person: number
  readonly near_end: number
  readonly unreadable: number
  readonly need_attention: number
}

const ATTEMPT_KINDS = `('refreshed', 'verified', 'refresh_failed', 'reconnect_needed')`

/** `keyPrefixes`: the prefixes of the sealed values that this process can open. */
export function createOverview(db: Database, keyPrefixes: readonly string[]): Overview {
  const { now, nowPlus, toSeconds } = db.dialect
  // The same rule as `hasGrant` in core/account.ts. An account may wait for its first access token with a refresh token.
  const sealed = 'coalesce(access_token, refresh_token)'
  const hasGrant = `${sealed} is not null`
  const isReadable = keyPrefixes.map((prefix, at) => `substr(${sealed}, 1, ${prefix.length}) = $${at + 1}`).join(' or ')
  const unreadable = `coalesce(last_error_code, '') = 'unreadable' or (${hasGrant} and not (${isReadable}))`
  // The same rule as `grantEnd` in core/account.ts.
  const endsBefore = (moment: string): string =>
    `(reconnect_by <= ${moment} or (case when refresh_token is null then expires_at else refresh_expires_at end) <= ${moment})`
  // The same rule as `needsPerson` in core/account.ts.
  const needsPerson = `paused_at is null and (state = 'reconnect' or coalesce(last_error_code, '') in ('misconfigured', 'unreadable')
    or ${sealed} is null or ${endsBefore(now)})`
  // Excludes accounts that are due anyway, and accounts without a next refresh, which already wait for a person.
  const suspect = `removed_at is null and paused_at is null and ${hasGrant} and next_refresh_at > ${now}
    and (lease_until is null or lease_until <= ${now})
    and ((case when ${isReadable} then 1 else 0 end) = (case when coalesce(last_error_code, '') = 'unreadable' then 1 else 0 end)
      or substr(last_error, 1, ${UNKNOWN_PROVIDER.length}) = '${UNKNOWN_PROVIDER}')`
  const lifeFrom = (since: string): string => `${toSeconds('expires_at')} - ${toSeconds(since)}`
  const nearEnd = `paused_at is null and access_token is not null and refresh_token is null and failure_count > 0
    and issued_at < expires_at and (${lifeFrom(now)}) * 10 <= ${lifeFrom('issued_at')}`
  // The same rule as `isAtRisk` in core/account.ts.
  const atRisk = `paused_at is null and ${hasGrant} and (
    (refresh_token is null and issued_at < expires_at and (${lifeFrom(now)}) * 10 <= ${lifeFrom('issued_at')})
    or (refresh_token is not null and ${endsBefore(nowPlus('2592000'))})
    or (failure_count >= 3 and ${endsBefore(nowPlus('604800'))})
    or (failure_count > 0 and failing_since <= ${nowPlus('-86400')})
    or (failure_count > 0 and refresh_token is not null and expires_at <= ${now} and failing_since <= ${nowPlus('-21600')}))`
  const isReadableWith = (params: Param[]): string =>
    keyPrefixes.map((prefix) => `substr(${sealed}, 1, ${prefix.length}) = $${params.push(prefix)}`).join(' or ')
  const count = (condition: string): string => `cast(sum(case when ${condition} then 1 else 0 end) as integer)`

  return {
    // Accounts that need attention come first. They are few, so only they are sorted; the others follow the index of names.
    async page({ offset, limit, search, onlyNeedy }) {
      const params: Param[] = []
      const needs = `(${needsPerson}) or (${atRisk}) or (paused_at is null and ${hasGrant} and not (${isReadableWith(params)}))`
      const conditions = ['removed_at is null']
      if (search !== '') {
        const prefix = `$${params.push(search.toLowerCase())}`
        // A union of two index searches: with “or” the planner may scan all names in order.
        const namesBy = (column: string): string =>
          `select name from accounts where removed_at is null and ${db.dialect.beginsWith(column, prefix)}`
        conditions.push(`name in (${namesBy('name')} union ${namesBy('lower(username)')})`)
      }
      const where = `where ${conditions.join(' and ')}`
      const [counted] = await db.query<{ total: number; needy: number }>(
        `select cast(count(*) as integer) as total, ${count(needs)} as needy from accounts ${where}`,
        params,
      )
      const { total, needy } = { total: counted?.total ?? 0, needy: counted?.needy ?? 0 }
      const select = async (condition: string, order: string, from: number, amount: number): Promise<AccountRow[]> => {
        if (amount <= 0) return []
        const window = [...params, amount, from]
        const sql = `select ${ACCOUNT_COLUMNS} from accounts ${where} and ${condition} order by ${order}
          limit $${params.length + 1} offset $${params.length + 2}`
        return db.query<AccountRow>(sql, window)
      }
      const first = await select(
        `(${needs})`,
        `case when ${needsPerson} then 0 else 1 end, expires_at, name`,
        offset,
        Math.min(limit, needy - offset),
      )
      if (onlyNeedy) return { accounts: first.map(toAccount), total: needy }
      const others = await select(`(${needs}) is not true`, 'name', Math.max(0, offset - needy), limit - first.length)
      return { accounts: [...first, ...others].map(toAccount), total }
    },

    // One index search per account: a window function would read their whole history.
    async attempts(names, limit) {
      const attempts = new Map<string, RecordedEvent[]>(names.map((name) => [name, []]))
      if (names.length === 0) return attempts
      const selects = names.map(
        (_, at) => `select * from (select ${EVENT_COLUMNS} from events
          where account = $${at + 2} and kind in ${ATTEMPT_KINDS} order by at desc, id desc limit $1) a${at}`,
      )
      const rows = await db.query<EventRow>(`${selects.join(' union all ')} order by at desc, id desc`, [limit, ...names])
      for (const row of rows) attempts.get(row.account ?? '')?.push(toEvent(row))
      return attempts
    },

    async lastAnswer(provider) {
      const columns = EVENT_COLUMNS.replace(/\w+/g, 'events.$&')
      const rows = await db.query<EventRow>(
        `select ${columns} from events join accounts on accounts.name = events.account
        where accounts.provider = $1 and kind in ${ATTEMPT_KINDS} and coalesce(last_error_code, '') <> 'unreadable'
        order by events.at desc limit 1`,
        [provider],
      )
      return rows[0] === undefined ? null : toEvent(rows[0])
    },

    async hasMoreThan(accounts) {
      const rows = await db.query('select name from accounts where removed_at is null limit 1 offset $1', [accounts])
      return rows.length > 0
    },

    async summarize() {
      const rows = await db.query<StateRow>(
        `select state, cast(count(*) as integer) as accounts, ${count('paused_at is not null')} as paused,
          ${count(needsPerson)} as need_person, ${count(nearEnd)} as near_end, ${count(unreadable)} as unreadable,
          ${count(`(${needsPerson}) or (${atRisk}) or (paused_at is null and ${unreadable})`)} as need_attention
        from accounts where removed_at is null group by state`,
        keyPrefixes,
      )
      const sum = (column: 'paused' | 'need_person' | 'near_end' | 'unreadable' | 'need_attention'): number =>
        rows.reduce((total, row) => total + row[column], 0)
      return {
        byState: { unverified: 0, active: 0, reconnect: 0, ...Object.fromEntries(rows.map(({ state, accounts }) => [state, accounts])) },
        paused: sum('paused'),
        needPerson: sum('need_person'),
        nearEnd: sum('near_end'),
        unreadable: sum('unreadable'),
        needAttention: sum('need_attention'),
      }
    },

    // Two index searches: a single query would have to sort all accounts.
    async mostUrgent(limit) {
      const select = `select ${ACCOUNT_COLUMNS} from accounts where removed_at is null and`
      const failing = await db.query<AccountRow>(`${select} failure_count > 0 order by expires_at limit $1`, [limit])
      const others = await db.query<AccountRow>(`${select} failure_count = 0 order by next_refresh_at limit $1`, [limit - failing.length])
      return [...failing, ...others].map(toAccount)
    },

    async keySuspects(after, limit) {
      const params: Param[] = [...keyPrefixes]
      const sql = `select ${ACCOUNT_COLUMNS} from accounts where ${suspect} and name > $${params.push(after)} order by name limit $${params.push(limit)}`
      return (await db.query<AccountRow>(sql, params)).map(toAccount)
    },

    // The update repeats the condition: another process may have claimed the row or sealed it with another key meanwhile.
    async makeSuspectsDue(names) {
      if (names.length === 0) return 0
      const params: Param[] = [...keyPrefixes]
      const nameParams = names.map((name) => `$${params.push(name)}`).join(', ')
      const rows = await db.query(
        `update accounts set next_refresh_at = ${now} where name in (${nameParams}) and ${suspect} returning name`,
        params,
      )
      return rows.length
    },

    // Migration 006 marks them by the instant of their creation, which no word of an owner has.
    keptInPages: () =>
      db.query<KeptInPages>(
        `select provider, scopes, cast(count(*) as integer) as accounts, string_agg(name, ' ' order by name) as names
        from accounts
        where page_use_confirmed_at = created_at and removed_at is null and access_token is not null
          and exists (select 1 from installation where id = 1 and page_use_read_at is null)
        group by provider, scopes`,
      ),

    async endPageUseNote() {
      await db.query(`update installation set page_use_read_at = ${now} where id = 1`)
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

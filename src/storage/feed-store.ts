import { randomUUID } from 'node:crypto'
import type { FeedStore, FeedStoreOptions, PictureBytes } from '../feeds/feed.ts'
import type { Database, Param, Queryable } from './database.ts'
import { type Clocked, createDatabaseClock, type DatabaseClock } from './database-clock.ts'
import { createFeedLook, FEED_COLUMNS, type FeedRow, toFeed } from './feed-rows.ts'
import { dropFeed, IS_FOREIGN, isDue, isFailing } from './feed-rules.ts'
import { createFeedUpkeep } from './feed-upkeep.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount } from './rows.ts'
import { atMost } from './turns.ts'

const NO_ATTEMPT = 'lease_until = null, attempt_id = null'
/** Feeds may use this many connections at once; the others stay free for tokens. */
const SIDE_BY_SIDE = 2
/** A feed that is there may exceed the limit by this, so that a new post displaces an old one. */
const OVERDRAFT = 1.1

export function createFeedStore(whole: Database, options: FeedStoreOptions, clock: DatabaseClock = createDatabaseClock()): FeedStore {
  const { providers, leaseSeconds, maxBytes } = options
  const db = atMost(SIDE_BY_SIDE, whole)
  const { now, nowPlus, skipLocked } = db.dialect
  const list = (values: readonly string[], params: Param[]): string =>
    values.length === 0 ? '(null)' : `(${values.map((value) => `$${params.push(value)}`).join(', ')})`
  const free = `(attempt_id is null or lease_until <= ${now})`

  /** The accounts whose posts may be fetched. The same rules as `servesOf` and `problemOf` in feeds/. */
  function fetchable(params: Param[]): string {
    return `account in (select name from accounts where removed_at is null and paused_at is null and state = 'active'
      and access_token is not null and (expires_at is null or expires_at > ${now}) and provider_user_id = feeds.user_id
      and provider in ${list(providers.all, params)}
      and (serves in ('both', 'feed') or (serves is null and provider in ${list(providers.byDefault, params)}))
      and (public_word_at is not null or provider not in ${list(['', ...providers.private], params)}))`
  }

  /** Creates or changes the feed of this user. */
  function started(name: string, userId: string, change: string, word = 'null'): Promise<void> {
    return db.transaction(async (tx) => {
      // The release before gives accounts other users without a thought of feeds.
      await dropFeed(tx, name, IS_FOREIGN)
      await tx.query(
        `insert into feeds (account, user_id, public_word_at, read_at, next_fetch_at)
        select name, provider_user_id, ${word}, ${now}, ${now} from accounts where name = $1 and provider_user_id = $2 and removed_at is null
        on conflict (account) do update set ${change}`,
        [name, userId],
      )
    })
  }

  /** The next look at alerts says that the feed fails, or no longer does. */
  async function wakeAlerts(tx: Queryable, name: string, isOver: boolean): Promise<void> {
    const isKnown = "coalesce(alert_told_also, '') like '%feed-stale%'"
    await tx.query(`update accounts set alert_at = ${now} where name = $1 and ${isOver ? '' : 'not '}(${isKnown})`, [name])
  }

  return {
    ...createFeedUpkeep(db),
    look: createFeedLook(db, clock),

    async begin(name, userId) {
      await started(
        name,
        userId,
        `read_at = ${now}, next_fetch_at = case when feeds.posts is null and feeds.failures = 0 then ${now} else feeds.next_fetch_at end`,
      )
    },

    async giveWord(name, userId) {
      await started(name, userId, `public_word_at = ${now}`, now)
    },

    // One statement, as for refreshes. A fetch outlasts no lease unknowingly: each picture that is kept prolongs it.
    async claim({ limit, account, isForced = false }) {
      const params: Param[] = [randomUUID(), leaseSeconds, limit]
      const which = `${isForced ? 'true' : isDue(db.dialect)}${account === undefined ? '' : ` and account = $${params.push(account)}`}`
      const rows = await clock.ask<FeedRow & Clocked & { readonly account: string; readonly attempt_id: string }>(
        db,
        `with due as materialized (
          select account from feeds where ${free} and ${which} and ${fetchable(params)} order by next_fetch_at limit $3 ${skipLocked}
        )
        update feeds set attempt_id = cast($1 as text) || ':' || account, lease_until = ${nowPlus('$2')}
        where account in (select account from due) and ${free}
        returning account, attempt_id, ${FEED_COLUMNS}, ${now} as clock`,
        params,
      )
      if (rows.length === 0) return []
      const names: Param[] = []
      const accounts = await db.query<AccountRow>(
        `select ${ACCOUNT_COLUMNS} from accounts where name in ${list(
          rows.map((row) => row.account),
          names,
        )}`,
        names,
      )
      const byName = new Map(accounts.map((row) => [row.name, toAccount(row)]))
      return rows.flatMap((row) => {
        const found = byName.get(row.account)
        return found === undefined ? [] : [{ account: found, feed: toFeed(row), attemptId: row.attempt_id, claimedAt: new Date(row.clock) }]
      })
    },

    addPicture: ({ account: { name }, attemptId, feed }, picture, bytes) =>
      db.transaction(async (tx) => {
        const held = await tx.query(
          `update feeds set lease_until = ${nowPlus('$3')} where account = $1 and attempt_id = $2 and not (${IS_FOREIGN}) returning account`,
          [name, attemptId, leaseSeconds],
        )
        if (held.length === 0) return 'void'
        const [total] = await tx.query<{ bytes: number | string | null }>('select sum(bytes) as bytes from feeds')
        const size = bytes.reduce((sum, one) => sum + one.length, 0)
        if (Number(total?.bytes ?? 0) + size > maxBytes * (feed.posts === null ? 1 : OVERDRAFT)) return 'full'
        let added = 0
        for (const [at, { width, height }] of picture.sizes.entries()) {
          const one = bytes[at] ?? new Uint8Array()
          const rows = await tx.query(
            `insert into pictures (account, name, width, height, type, bytes) values ($1, $2, $3, $4, $5, $6)
            on conflict (account, name, width) do nothing returning width`,
            [name, picture.name, width, height, picture.type, one],
          )
          if (rows.length > 0) added += one.length
        }
        await tx.query('update feeds set bytes = bytes + $2 where account = $1', [name, added])
        return 'kept'
      }),

    save: ({ account: { name }, attemptId, feed }, { posts, etag, isShort, nextFetchAt, isLast, lastError }) =>
      db.transaction(async (tx) => {
        const params: Param[] = [name, attemptId, JSON.stringify(posts), etag, posts.length, Number(isShort)]
        const ends = isLast
          ? `, next_fetch_at = $${params.push(nextFetchAt)}, failures = 0, empty_since = null, last_error = $${params.push(lastError)}, ${NO_ATTEMPT}`
          : ''
        const [row] = await tx.query<{ version: number }>(
          `update feeds set version = version + case when etag is distinct from $4 then 1 else 0 end,
            changed_at = case when etag is distinct from $4 then ${now} else changed_at end, posts = $3, etag = $4, post_count = $5,
            short_fields = $6, fetched_at = ${now}${ends}
          where account = $1 and attempt_id = $2 and not (${IS_FOREIGN}) returning version`,
          params,
        )
        if (row === undefined) return null
        if (isLast && feed.failures > 0) await wakeAlerts(tx, name, true)
        if (row.version === feed.version) return row.version
        const names: Param[] = [name]
        const named = list(['', ...posts.flatMap(({ picture }) => picture?.name ?? [])], names)
        await tx.query(`delete from pictures where account = $1 and name not in ${named}`, names)
        const bytes = '(select coalesce(sum(length(bytes)), 0) from pictures where account = $1)'
        await tx.query(`update feeds set bytes = ${bytes} where account = $1`, [name])
        return row.version
      }),

    async fail({ account: { name, version }, attemptId }, { kind, nextFetchAt, lastError }) {
      const isFailure = kind !== 'waits' && kind !== 'empty'
      const isOwn = await db.transaction(async (tx) => {
        const [row] = await tx.query<{ has_posts: number }>(
          `update feeds set next_fetch_at = $3, last_error = $4, failures = failures + ${isFailure ? 1 : 0},
            empty_since = ${kind === 'empty' ? `coalesce(empty_since, ${now})` : 'empty_since'}, ${NO_ATTEMPT}
          where account = $1 and attempt_id = $2 returning case when posts is null then 0 else 1 end as has_posts`,
          [name, attemptId, nextFetchAt, lastError],
        )
        // The first pictures of a feed that found no room for all.
        if (kind === 'full' && row?.has_posts === 0) {
          await tx.query('delete from pictures where account = $1', [name])
          await tx.query('update feeds set bytes = 0 where account = $1', [name])
        }
        return row !== undefined
      })
      // Another process took over.
      if (!isOwn) return
      if (isFailure && (await db.query(`select account from feeds where account = $1 and ${isFailing(db.dialect)}`, [name])).length > 0)
        await wakeAlerts(db, name, false)
      if (kind !== 'refused') return
      await db.query(
        `update accounts set next_refresh_at = ${now} where name = $1 and version = $2 and attempt_id is null
          and refused_at is null and next_refresh_at > ${now}`,
        [name, version],
      )
    },

    async confirm({ account: { name, version } }, nextCheckAt) {
      await db.query(
        `update accounts set checked_at = ${now}, next_check_at = $3 where name = $1 and version = $2 and next_check_at < $3`,
        [name, version, nextCheckAt],
      )
    },

    async picture(account, name, width) {
      const sql = 'select type, bytes from pictures where account = $1 and name = $2 and width = $3'
      const [row] = await db.query<PictureBytes>(sql, [account, name, width])
      return row ?? null
    },
  }
}

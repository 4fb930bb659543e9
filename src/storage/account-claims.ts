import { randomUUID } from 'node:crypto'
import type { AccountStore, Claim, ClaimRequest } from '../core/account-store.ts'
import type { Database, Param } from './database.ts'
import type { Clocked, DatabaseClock } from './database-clock.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount, toDate } from './rows.ts'

interface ClaimedRow extends AccountRow, Clocked {
  readonly attempt_id: string
  readonly interrupted_at: Date | string | null
}

/** The columns of a claim, emptied. */
export const NO_ATTEMPT = 'lease_owner = null, lease_until = null, attempt_id = null, attempt_started_at = null, interrupted_at = null'

/** Who refreshes which account next. */
export function createClaims(db: Database, { ask }: DatabaseClock): Pick<AccountStore, 'claimDue' | 'release'> {
  const { now, nowPlus, skipLocked } = db.dialect
  return {
    // Two processes may sweep at once, such as a web dyno and the CLI. One statement gives each account to one of them, and
    // no transaction stays open while the provider answers. A claim lapses with its lease.
    async claimDue({ leaseOwner, leaseSeconds, limit, account, provider, exceptProviders = [], ...request }: ClaimRequest) {
      const { force = false, endsWithinSeconds } = request
      // A lease without an attempt is a daily look's. A refresh also tests the token, so it does not wait for the look.
      const free = `(attempt_id is null or lease_until <= ${now})`
      const params: Param[] = [leaseOwner, leaseSeconds, randomUUID(), limit]
      const ends =
        endsWithinSeconds === undefined
          ? ''
          : ` and (access_token is null or expires_at is null or expires_at <= ${nowPlus(`$${params.push(endsWithinSeconds)}`)})`
      const ready = force
        ? `${free} and (access_token is not null or refresh_token is not null)${ends}`
        : `${free} and next_refresh_at <= ${now}`
      const conditions = [ready, 'paused_at is null and removed_at is null']
      if (account !== undefined) conditions.push(`name = $${params.push(account)}`)
      if (provider !== undefined) conditions.push(`provider = $${params.push(provider)}`)
      for (const other of exceptProviders) conditions.push(`provider <> $${params.push(other)}`)
      // A claim by name waits for a locked row: another transaction may hold it for a moment and change nothing.
      const skip = account === undefined ? skipLocked : ''
      // `materialized` computes the names once: a planner that repeats the query per row would claim beyond the limit.
      // A forced attempt makes its account due, so that another process retries it if this one dies.
      const rows = await ask<ClaimedRow>(
        db,
        `with due as materialized (
          select name from accounts where ${conditions.join(' and ')} order by next_refresh_at limit $4 ${skip}
        )
        update accounts set lease_owner = $1, lease_until = ${nowPlus('$2')},
          attempt_id = cast($3 as text) || ':' || name, interrupted_at = attempt_started_at, attempt_started_at = ${now},
          next_refresh_at = case when next_refresh_at <= ${now} then next_refresh_at else ${now} end
        where name in (select name from due) and ${ready}
        returning ${ACCOUNT_COLUMNS}, attempt_id, interrupted_at, ${now} as clock`,
        params,
      )
      return rows.map(toClaim).sort(byDueTime)
    },

    async release({ account, attemptId }, nextRefreshAt) {
      await db.query(`update accounts set next_refresh_at = $3, ${NO_ATTEMPT} where name = $1 and attempt_id = $2`, [
        account.name,
        attemptId,
        nextRefreshAt,
      ])
    },
  }
}

function toClaim(row: ClaimedRow): Claim {
  return {
    account: toAccount(row),
    attemptId: row.attempt_id,
    claimedAt: new Date(row.clock),
    interruptedAt: toDate(row.interrupted_at),
  }
}

// `returning` keeps no order.
function byDueTime(a: Claim, b: Claim): number {
  return (a.account.nextRefreshAt?.getTime() ?? 0) - (b.account.nextRefreshAt?.getTime() ?? 0)
}

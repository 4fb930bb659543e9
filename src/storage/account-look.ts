import type { AccountStore } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { Database } from './database.ts'
import type { Clocked, DatabaseClock } from './database-clock.ts'
import { ACCOUNT_COLUMNS, type AccountRow, toAccount } from './rows.ts'

interface LookRow extends Omit<AccountRow, 'name'>, Clocked {
  readonly name: string | null
  readonly removed_at: Date | string | null
  readonly cache_id: string | null
}

/** `served` = the SQL of the default's name. */
export function createLook(db: Database, clock: DatabaseClock, served: string): AccountStore['look'] {
  // The join returns a row for an unknown name too, so clock and cache id always come.
  const select = (name: string): string => `select ${ACCOUNT_COLUMNS}, removed_at, cache_id, ${db.dialect.now} as clock
    from installation left join accounts on accounts.name = ${name} where installation.id = 1`
  return async (name) => {
    const [row] = await clock.ask<LookRow>(db, select(name === null ? served : '$1'), name === null ? [] : [name])
    if (row === undefined) throw new AppError('unavailable', 'The store is not prepared yet: its table “installation” is empty.')
    const { name: accountName, cache_id: cacheId } = row
    return {
      at: new Date(row.clock),
      cacheId,
      account: accountName === null ? null : toAccount({ ...row, name: accountName }),
      isRemoved: row.removed_at !== null,
    }
  }
}

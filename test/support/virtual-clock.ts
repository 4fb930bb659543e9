import type { Database } from '../../src/storage/database.ts'

export interface VirtualClock {
  /** The same store by this clock; the clock stands in the store, so that all connections have the same time. */
  of(db: Database): Database
  set(at: Date): Promise<void>
}

/** A clock that only the test moves, for an open store. */
export async function createVirtualClock(db: Database, at: Date): Promise<VirtualClock> {
  const isPostgres = db.dialect.engine === 'postgres'
  await db.query(`create table virtual_clock (at ${isPostgres ? 'timestamptz' : 'text'} not null)`)
  await db.query('insert into virtual_clock values ($1)', [at])
  const now = '(select at from virtual_clock)'
  const nowPlus = (seconds: string): string =>
    isPostgres ? `${now} + make_interval(secs => ${seconds})` : `strftime('%Y-%m-%dT%H:%M:%fZ', ${now}, ${seconds} || ' seconds')`
  return {
    of: (other) => ({ ...other, dialect: { ...other.dialect, now, nowPlus } }),
    set: async (to) => void (await db.query('update virtual_clock set at = $1', [to])),
  }
}

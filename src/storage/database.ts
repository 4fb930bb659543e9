import { storable } from '../core/storable.ts'

export type Param = string | number | Date | null

export interface Queryable {
  /** Portable SQL with `$1` parameters. `timestamptz` comes back as a Date or as ISO-8601 text: `new Date()` takes both. */
  query<Row>(sql: string, params?: readonly Param[]): Promise<Row[]>
}

/** After every other one. */
export const LAST_CHARACTER = '\u{10FFFF}'

/** What the two engines spell differently; everything else is one SQL. */
export interface Dialect {
  readonly engine: 'postgres' | 'sqlite'
  /** Whether a text begins with the one in this parameter, in a form that an index of the text can be searched with. */
  beginsWith(text: string, param: string): string
  /** The database's clock. It stands still within a statement, so that an index can be searched with it. */
  readonly now: string
  /** That clock and some seconds, given as the text of a parameter such as `$2`. */
  nowPlus(seconds: string): string
  /** An instant as a number, for arithmetic. */
  toSeconds(instant: string): string
  /** Closes a `select` that takes rows for itself and passes over those that are locked. */
  readonly skipLocked: string
}

export interface Script extends Queryable {
  /** Many statements at once, without parameters. */
  script(sql: string): Promise<void>
}

export interface Database extends Queryable {
  readonly dialect: Dialect
  /** All or nothing. Within it use `tx` alone: the embedded store has one connection, and would wait for itself. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  /** A transaction that one process at a time may be in; the others wait, and `onWait` tells that this one does. For migrations. */
  exclusively<T>(work: (tx: Script) => Promise<T>, onWait?: () => void): Promise<T>
  /**
   * One text for the tables of these names: another one where a table is gone, or another has its name. It does not wait
   * for what others do with this store: on Postgres it has a connection of its own.
   */
  tables(names: readonly string[]): Promise<string>
  /** Tells this store from a copy of it, as far as the engine can tell them apart. */
  identity(): Promise<string>
  close(): Promise<void>
}

/** One text for an instant in both engines, whatever the machine's time zone. */
export function toSql(param: Param): string | number | null {
  if (param instanceof Date) return param.toISOString()
  // Whatever wrote it: a provider's answer must not fail to be saved for one character. Callers are refused earlier.
  return typeof param === 'string' ? storable(param) : param
}

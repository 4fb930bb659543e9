import { storable } from '../core/storable.ts'

export type Param = string | number | Date | Uint8Array | null

export interface Queryable {
  /** Portable SQL with `$1` parameters. `timestamptz` comes back as a Date or as ISO-8601 text: `new Date()` takes both. */
  query<Row>(sql: string, params?: readonly Param[]): Promise<Row[]>
}

/** Sorts after every other character. */
export const LAST_CHARACTER = '\u{10FFFF}'

/** The SQL that differs between the two engines. */
export interface Dialect {
  readonly engine: 'postgres' | 'sqlite'
  /** A condition that `text` begins with the parameter's value; it can use an index on `text`. */
  beginsWith(text: string, param: string): string
  /** The database's clock. It is constant within a statement, so a condition with it can use an index. */
  readonly now: string
  /** `now` plus seconds; `seconds` is SQL, such as the parameter `$2`. */
  nowPlus(seconds: string): string
  /** An instant in seconds, for arithmetic. */
  toSeconds(instant: string): string
  /** The end of a `select` that locks its rows and skips locked ones. */
  readonly skipLocked: string
}

export interface Script extends Queryable {
  /** Runs many statements without parameters. */
  script(sql: string): Promise<void>
}

export interface Database extends Queryable {
  readonly dialect: Dialect
  /** Use only `tx` inside: the embedded store has one connection and would wait for itself. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  /** A transaction that reads the state of one instant and blocks no writer. */
  snapshot<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  /** A transaction for migrations that one process at a time runs. `onWait` is called where this one has to wait. */
  exclusively<T>(work: (tx: Script) => Promise<T>, onWait?: () => void): Promise<T>
  /**
   * One text that identifies the tables of these names; it changes where a table is missing or was replaced. On Postgres it
   * uses its own connection, so it never waits for other queries.
   */
  tables(names: readonly string[]): Promise<string>
  /** Differs between a store and its copy, as far as the engine can tell them apart. */
  identity(): Promise<string>
  close(): Promise<void>
}

/** Converts a parameter for both engines. An instant becomes text in UTC. */
export function toSql(param: Param): string | number | Uint8Array | null {
  if (param instanceof Date) return param.toISOString()
  // A provider's answer must be saved despite a character that the store refuses. Callers' texts are checked earlier.
  return typeof param === 'string' ? storable(param) : param
}

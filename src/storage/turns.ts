import fastq from 'fastq'
import type { Database } from './database.ts'

/** The same store for work that may use only some of its connections at once; further work waits, holding none. */
export function atMost(connections: number, db: Database): Database {
  const turns = fastq.promise((work: () => Promise<unknown>) => work(), connections)
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => turns.push(work) as Promise<T>
  return {
    ...db,
    query: (sql, params) => inTurn(() => db.query(sql, params)),
    transaction: (work) => inTurn(() => db.transaction(work)),
  }
}

import { AppError } from '../domain/errors.ts'
import type { Database } from './database.ts'

export interface StoreState {
  readonly up: boolean
  readonly since: Date
  /** When the question was asked that has waited longest for its answer; null = none waits. */
  readonly waitingSince: Date | null
}

export interface WatchedDatabase extends Database {
  state(): StoreState
}

/** Learns from every question, whoever asks it, whether the store answers: so that its state is known when it is asked for. */
export function watchDatabase(db: Database): WatchedDatabase {
  const waiting = new Set<{ askedAt: Date }>()
  let up = false
  let since = new Date()

  const turned = (isUp: boolean, at: Date): void => {
    if (up === isUp) return
    up = isUp
    since = at
  }
  async function watched<T>(answer: () => Promise<T>): Promise<T> {
    const question = { askedAt: new Date() }
    waiting.add(question)
    try {
      const result = await answer()
      turned(true, new Date())
      return result
    } catch (error) {
      // Whatever else went wrong was said by a store that answers.
      const down = error instanceof AppError && error.code === 'unavailable'
      turned(!down, question.askedAt)
      throw error
    } finally {
      waiting.delete(question)
    }
  }
  return {
    dialect: db.dialect,
    query: (sql, params) => watched(() => db.query(sql, params)),
    transaction: (work) => watched(() => db.transaction(work)),
    // The others' turn at the lock is waited for here: that is no silence of the store.
    exclusively: (work) => db.exclusively(work),
    identity: () => watched(() => db.identity()),
    close: () => db.close(),
    state() {
      const [oldest] = waiting
      return { up, since, waitingSince: oldest?.askedAt ?? null }
    },
  }
}

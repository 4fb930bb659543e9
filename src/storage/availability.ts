import { AppError, NoAnswerInTime } from '../core/errors.ts'
import type { Database } from './database.ts'

export interface StoreState {
  readonly up: boolean
  readonly since: Date
  /** The start of the running check; null = none runs. */
  readonly waitingSince: Date | null
  /** The start of the oldest running query; null = none runs. */
  readonly oldestQueryAt: Date | null
  /** Why the agent may not use the store yet or any more, as a sentence; null = only its answers count. */
  readonly problem: string | null
}

export interface WatchedDatabase extends Database {
  state(): StoreState
  /** Checks whether the store answers, on its own connection, at most once a second. Never rejects. */
  check(): Promise<void>
  /** Marks the store as not ready; `problem` is the reason, as a sentence. */
  isNotReady(problem: string): void
  /** Marks the store as ready. If one of these tables is replaced later, a restore is under way. */
  isReady(tables: readonly string[]): Promise<void>
}

const GONE =
  'The tables of the agent are gone or were replaced: a restore may be under way. The agent no longer uses the database: restart it when the restore is done.'
const BUSY = 'The database is there, but this query has waited too long for its answer or for a connection. Try again in a few seconds.'
const CHECK_INTERVAL_MS = 1_000

/**
 * Watches whether the store answers. A slow query does not mean that it is down: only a check on its own connection, or a
 * refused query, changes the state.
 */
export function watchDatabase(db: Database): WatchedDatabase {
  let up = false
  let since = new Date()
  let problem: string | null = null
  let own: { readonly tables: readonly string[]; readonly ids: string } | null = null
  let isGone = false
  let checking: { readonly startedAt: Date; readonly done: Promise<void> } | null = null
  let checkAgainAtMs = Number.NEGATIVE_INFINITY
  const queries = new Set<{ readonly startedAt: Date }>()

  const setUp = (isUp: boolean, at: Date): void => {
    if (up === isUp) return
    up = isUp
    since = at
  }
  const setUpAfter = (error: unknown, at: Date): void => {
    const code = error instanceof AppError ? error.code : null
    // Any error but `unavailable` comes from a store that answers; `busy` comes from the agent itself.
    if (code !== 'busy' && problem === null) setUp(code !== 'unavailable', at)
  }
  const setGone = (): void => {
    isGone = true
    problem = GONE
    setUp(false, new Date())
  }

  async function compareTables(startedAt: Date): Promise<void> {
    try {
      const ids = await db.tables(own?.tables ?? [])
      if (own !== null && ids !== own.ids) setGone()
      else setUp(problem === null, new Date())
    } catch (error) {
      setUpAfter(error, startedAt)
    }
  }
  function check(): Promise<void> {
    if (isGone) return Promise.resolve()
    if (checking !== null) return checking.done
    if (performance.now() < checkAgainAtMs) return Promise.resolve()
    checkAgainAtMs = performance.now() + CHECK_INTERVAL_MS
    const startedAt = new Date()
    const done = compareTables(startedAt).finally(() => {
      checking = null
    })
    checking = { startedAt, done }
    return done
  }

  async function watched<T>(answer: () => Promise<T>): Promise<T> {
    if (isGone) throw new AppError('unavailable', GONE)
    const query = { startedAt: new Date() }
    queries.add(query)
    // In parallel, so that the state is known when the query fails.
    if (own !== null) void check()
    try {
      const result = await answer()
      if (problem === null) setUp(true, new Date())
      return result
    } catch (error) {
      if (error instanceof NoAnswerInTime) {
        await check()
        if (up) throw new AppError('busy', BUSY, { cause: error })
        throw error
      }
      if (!(error instanceof AppError) && own !== null) {
        // The error may be a missing table: a check tells a restore from our own mistake.
        checkAgainAtMs = Number.NEGATIVE_INFINITY
        await check()
      } else setUpAfter(error, query.startedAt)
      throw isGone ? new AppError('unavailable', GONE, { cause: error }) : error
    } finally {
      queries.delete(query)
    }
  }
  return {
    dialect: db.dialect,
    query: (sql, params) => watched(() => db.query(sql, params)),
    transaction: (work) => watched(() => db.transaction(work)),
    snapshot: (work) => watched(() => db.snapshot(work)),
    // Not watched: the wait for another process' lock says nothing about the store.
    exclusively: (work, onWait) => (isGone ? Promise.reject(new AppError('unavailable', GONE)) : db.exclusively(work, onWait)),
    identity: () => watched(() => db.identity()),
    tables: (names) => db.tables(names),
    close: () => db.close(),
    check,
    isNotReady(sentence) {
      problem = sentence
      setUp(false, new Date())
    },
    async isReady(tables) {
      own = { tables, ids: await db.tables(tables) }
      problem = null
      setUp(true, new Date())
    },
    state() {
      const [oldest] = queries
      return { up, since, waitingSince: checking?.startedAt ?? null, oldestQueryAt: oldest?.startedAt ?? null, problem }
    },
  }
}

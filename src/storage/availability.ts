import { AppError, NoAnswerInTime } from '../core/errors.ts'
import type { Database } from './database.ts'

export interface StoreState {
  readonly up: boolean
  readonly since: Date
  /** Since when the question whether it is there waits for its answer; null = none waits. */
  readonly waitingSince: Date | null
  /** Since when the oldest question of all waits for its answer; null = none waits. */
  readonly oldestQuestion: Date | null
  /** The sentence on what keeps the agent from using it, where more is known than that it does not answer. */
  readonly problem: string | null
}

export interface WatchedDatabase extends Database {
  state(): StoreState
  /** Asks whether it is there, on a connection that nothing else uses, at most once a second. Never rejects. */
  check(): Promise<void>
  /** Not to be used yet, for this reason. */
  isNotReady(problem: string): void
  /** These tables are there, and are the agent's from now on: others of the same names are a restore. */
  isReady(tables: readonly string[]): Promise<void>
}

const GONE =
  'The tables of the agent are gone, or others have taken their place: a restore may be under way. The agent leaves the database alone until then: restart it when the restore is done.'
const BUSY =
  'The database is there, but this question has waited too long, for its answer or for a connection of the agent. Try again in a few seconds.'
const CHECKED_MS = 1_000

/**
 * Knows whether the store answers. A question that takes long says nothing of that: the state is that of a connection of
 * its own, and of those that are refused.
 */
export function watchDatabase(db: Database): WatchedDatabase {
  let up = false
  let since = new Date()
  let problem: string | null = null
  let own: { readonly tables: readonly string[]; readonly marks: string } | null = null
  let isGone = false
  let checking: { readonly askedAt: Date; readonly done: Promise<void> } | null = null
  let checkAgainAtMs = Number.NEGATIVE_INFINITY
  const questions = new Set<{ readonly askedAt: Date }>()

  const turned = (isUp: boolean, at: Date): void => {
    if (up === isUp) return
    up = isUp
    since = at
  }
  const judge = (error: unknown, at: Date): void => {
    const code = error instanceof AppError ? error.code : null
    // Whatever else went wrong was said by a store that answers; `busy` was said by the agent itself.
    if (code !== 'busy' && problem === null) turned(code !== 'unavailable', at)
  }
  const lost = (): void => {
    isGone = true
    problem = GONE
    turned(false, new Date())
  }

  async function ask(askedAt: Date): Promise<void> {
    try {
      const marks = await db.tables(own?.tables ?? [])
      if (own !== null && marks !== own.marks) lost()
      else turned(problem === null, new Date())
    } catch (error) {
      judge(error, askedAt)
    }
  }
  function check(): Promise<void> {
    if (isGone) return Promise.resolve()
    if (checking !== null) return checking.done
    if (performance.now() < checkAgainAtMs) return Promise.resolve()
    checkAgainAtMs = performance.now() + CHECKED_MS
    const askedAt = new Date()
    const done = ask(askedAt).finally(() => {
      checking = null
    })
    checking = { askedAt, done }
    return done
  }

  async function watched<T>(answer: () => Promise<T>): Promise<T> {
    if (isGone) throw new AppError('unavailable', GONE)
    const question = { askedAt: new Date() }
    questions.add(question)
    // Beside it, so that more is known when this one fails.
    if (own !== null) void check()
    try {
      const result = await answer()
      if (problem === null) turned(true, new Date())
      return result
    } catch (error) {
      if (error instanceof NoAnswerInTime) {
        await check()
        if (up) throw new AppError('busy', BUSY, { cause: error })
        throw error
      }
      if (!(error instanceof AppError) && own !== null) {
        // A table that is not there may be a mistake of ours: the tables themselves are asked for.
        checkAgainAtMs = Number.NEGATIVE_INFINITY
        await check()
      } else judge(error, question.askedAt)
      throw isGone ? new AppError('unavailable', GONE, { cause: error }) : error
    } finally {
      questions.delete(question)
    }
  }
  return {
    dialect: db.dialect,
    query: (sql, params) => watched(() => db.query(sql, params)),
    transaction: (work) => watched(() => db.transaction(work)),
    // The others' turn at the lock is waited for here: that is no silence of the store.
    exclusively: (work, onWait) => (isGone ? Promise.reject(new AppError('unavailable', GONE)) : db.exclusively(work, onWait)),
    identity: () => watched(() => db.identity()),
    tables: (names) => db.tables(names),
    close: () => db.close(),
    check,
    isNotReady(sentence) {
      problem = sentence
      turned(false, new Date())
    },
    async isReady(tables) {
      own = { tables, marks: await db.tables(tables) }
      problem = null
      turned(true, new Date())
    },
    state() {
      const [oldest] = questions
      return { up, since, waitingSince: checking?.askedAt ?? null, oldestQuestion: oldest?.askedAt ?? null, problem }
    },
  }
}

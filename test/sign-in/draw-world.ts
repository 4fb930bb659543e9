import { setImmediate as settled } from 'node:timers/promises'
import type { Test } from 'tap'
import { createDraw, type Draw } from '../../src/sign-in/draw.ts'
import type { Database, Queryable } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { createSignInAttempts } from '../../src/storage/sign-in-attempts.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createVault } from '../../src/storage/vault.ts'
import { MIGRATIONS } from '../storage/engines.ts'

const START_MS = Date.UTC(2026, 0, 1)

export interface DrawWorld {
  /** One draw for each instance. */
  readonly draws: readonly Draw[]
  nowMs(): number
  sleep(ms: number): Promise<void>
  random(): number
  /** Advances time until the work is done. */
  until<T>(work: Promise<T>): Promise<T>
}

/** Instances on one store with simulated time: real code, real SQL, one clock for both. */
export async function createDrawWorld(t: Test, { instances = 1, seed = 1 } = {}): Promise<DrawWorld> {
  const sqlite = await openSqlite(':memory:')
  t.teardown(() => sqlite.close())
  await migrate(sqlite, MIGRATIONS)
  let nowMs = 0
  const timers: { atMs: number; wake: () => void }[] = []
  const random = seeded(seed)
  const sleep = (ms: number): Promise<void> => new Promise((wake) => void timers.push({ atMs: nowMs + ms, wake }))
  const attempts = createSignInAttempts(withClock(sqlite, () => new Date(START_MS + nowMs)))
  const vault = createVault(['a key'])
  const draw = (): Draw =>
    createDraw({
      attempts,
      vault,
      nowMs: () => START_MS + nowMs,
      time: { clockMs: () => nowMs, sleep, random },
    })
  return {
    draws: Array.from({ length: instances }, draw),
    nowMs: () => nowMs,
    sleep,
    random,
    async until(work) {
      let isDone = false
      const done = (): void => {
        isDone = true
      }
      work.then(done, done)
      for (;;) {
        await settled()
        if (isDone) return work
        const next = timers.reduce((first, one) => (one.atMs < first.atMs ? one : first))
        timers.splice(timers.indexOf(next), 1)
        nowMs = Math.max(nowMs, next.atMs)
        next.wake()
      }
    },
  }
}

/** Makes the database use this clock. */
function withClock(db: Database, now: () => Date): Database {
  const on = (target: Queryable): Queryable => ({
    query: (sql, params) => target.query(sql.replaceAll("'now'", `'${now().toISOString()}'`), params),
  })
  return { ...db, ...on(db), transaction: (work) => db.transaction((tx) => work(on(tx))) }
}

/** Mulberry32: a seeded generator, so that each run is the same. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

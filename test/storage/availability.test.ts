import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AppError } from '../../src/core/errors.ts'
import { createHealthWatch } from '../../src/status/health.ts'
import { watchDatabase } from '../../src/storage/availability.ts'
import type { Database } from '../../src/storage/database.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'

/** A store whose next answers can be held back or refused. */
async function troubled(t: { teardown(end: () => unknown): void }) {
  const real = await openSqlite(':memory:')
  t.teardown(() => real.close())
  const trouble = { before: async (): Promise<void> => {} }
  const query: Database['query'] = async (sql, params) => {
    await trouble.before()
    return real.query(sql, params)
  }
  const tables: Database['tables'] = async (names) => {
    await trouble.before()
    return real.tables(names)
  }
  return { trouble, db: watchDatabase({ ...real, query, tables }) }
}
const unavailable = async (): Promise<never> => {
  await sleep(50)
  throw new AppError('unavailable', 'The database does not answer.')
}

t.test('a store is down since its first unanswered query, and up since its next answer', async (t) => {
  const { trouble, db } = await troubled(t)
  t.match(db.state(), { up: false, waitingSince: null }, 'the state is unknown at first')
  await db.query('select 1')
  const first = db.state()
  t.match(first, { up: true, waitingSince: null })
  await sleep(5)
  await db.query('select 1')
  t.strictSame(db.state(), first, 'and still')

  trouble.before = unavailable
  const askedAt = Date.now()
  const asked = db.query('select 1').catch(() => {})
  t.equal(db.state().up, true)
  await asked
  const down = db.state()
  t.match(down, { up: false, waitingSince: null })
  t.ok(Math.abs(down.since.getTime() - askedAt) < 40, 'counted from the query, not from its time-out')
  await db.query('select 1').catch(() => {})
  t.strictSame(db.state(), down, 'since the first query')

  trouble.before = async () => {}
  await db.transaction((tx) => tx.query('select 1'))
  t.equal(db.state().up, true)
  t.ok(db.state().since > down.since)
})

t.test('an SQL error counts as an answer', async (t) => {
  const { db } = await troubled(t)
  await t.rejects(db.query('select from nowhere'))
  t.equal(db.state().up, true)
})

t.test('/readyz does not wait for a hanging store, and says since when it hangs', async (t) => {
  const { trouble, db } = await troubled(t)
  await db.query('select 1')
  let release = (): void => {}
  trouble.before = () =>
    new Promise((resolve) => {
      release = resolve
    })
  const summary = async () => {
    await db.query('select 1')
    return { byState: { unverified: 0, active: 1, reconnect: 0 }, paused: 0, needPerson: 0, nearEnd: 0, unreadable: 0, needAttention: 0 }
  }
  const health = createHealthWatch({
    summary,
    storeState: () => db.state(),
    checkStore: () => db.check(),
    memcachedState: null,
    channelStates: () => [],
  })
  const askedAt = Date.now()
  const timeout = new AbortController()
  t.teardown(() => timeout.abort())
  const hung = await Promise.race([health.check(), sleep(10_000, null, { signal: timeout.signal }).catch(() => null)])
  t.match(hung, { ready: false, parts: { store: { state: 'down' } } })
  t.ok(Math.abs((hung?.parts['store']?.since.getTime() ?? 0) - askedAt) < 500)
  trouble.before = async () => {}
  release()
  t.match(await health.check(), { ready: true, parts: { store: { state: 'up' }, tokens: { state: 'working' } } })
  health.drain()
  t.match(await health.check(), { ready: false, parts: { process: { state: 'stopping' } } })
})

t.test('a slow query does not mean that the store is down', { skip: missing('postgres') }, async (t) => {
  const { url } = await createDatabase(t)
  const other = await startTcpProxy(t, { host: new URL(url).hostname, port: Number(new URL(url).port || 5432) })
  const db = watchDatabase(openPostgres(other.through(url), { queryTimeoutMs: 300 }))
  t.teardown(() => db.close())
  await db.query('select 1')
  await t.rejects(db.query('select pg_sleep(5)'), { code: 'busy', message: /is there.*waited too long/ })
  t.match(db.state(), { up: true, problem: null })
  const crowd = Array.from({ length: 12 }, () => db.query('select pg_sleep(0.25)').catch((error: unknown) => error))
  await db.check()
  t.match(db.state(), { up: true, waitingSince: null }, 'the check has its own connection')
  await Promise.all(crowd)
  other.blackHole()
  await t.rejects(Promise.all([db.check(), db.query('select 1')]), { code: 'unavailable', message: /does not answer/ })
  t.equal(db.state().up, false)
})

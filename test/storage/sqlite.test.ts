import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { AppError } from '../../src/core/errors.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { launch } from '../support/process.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { MIGRATIONS } from './engines.ts'

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

async function open(t: Test, path: string) {
  const db = await openSqlite(path)
  t.teardown(() => db.close().catch(() => {}))
  return db
}

t.test('creates its folder and files for their owner only', async (t) => {
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const path = join(tempFolder(t), 'data', 'agent.db')
  const db = await open(t, path)
  await migrate(db, MIGRATIONS)
  t.equal(mode(dirname(path)), '700')
  for (const file of [path, `${path}-wal`, `${path}-shm`]) t.equal(mode(file), '600', file)
})

t.test('survives a crash and a power cut: write-ahead log, synced at each commit', async (t) => {
  const db = await open(t, join(tempFolder(t), 'agent.db'))
  const pragma = async (name: string) => Object.values((await db.query<Record<string, unknown>>(`pragma ${name}`))[0] ?? {})[0]
  t.equal(await pragma('journal_mode'), 'wal')
  t.equal(await pragma('synchronous'), 2)
  t.equal(await pragma('foreign_keys'), 1)
})

t.test('each fault has a sentence with a remedy', async (t) => {
  const folder = tempFolder(t)
  const file = join(folder, 'file')
  writeFileSync(file, 'This is a letter, and not a database at all. '.repeat(100))
  const refuses = async (path: string, message: RegExp) => {
    const error = await openSqlite(path).catch((error) => error)
    t.type(error, AppError)
    t.match(error.message, message)
  }
  await refuses(file, /file is not a SQLite database: move it away, or name another file in DATABASE_URL/)
  await refuses(folder, /that is a folder. Name a file/)
  await refuses(join(file, 'agent.db'), /a part of its folder’s path is a file/)
  await refuses(join(file, 'data', 'agent.db'), /a part of its folder’s path is a file/)

  const locked = join(folder, 'locked')
  mkdirSync(locked)
  writeFileSync(join(locked, 'read-only.db'), '')
  chmodSync(join(locked, 'read-only.db'), 0o444)
  chmodSync(locked, 0o555)
  // Root may write everywhere, so the test changes its user.
  const isRoot = process.getuid?.() === 0
  if (isRoot) {
    for (const path of [folder, dirname(folder)]) chmodSync(path, 0o755)
    process.seteuid?.(65534)
  }
  try {
    await refuses(join(locked, 'agent.db'), /give the user that runs the agent the right to write there/)
    await refuses(join(locked, 'read-only.db'), /give the user that runs the agent the right to write there/)
  } finally {
    if (isRoot) process.seteuid?.(0)
    chmodSync(locked, 0o755)
  }
})

t.test('no query runs inside another caller’s transaction', async (t) => {
  const db = await open(t, join(tempFolder(t), 'agent.db'))
  await db.query('create table one (a text)')
  const outside: Promise<unknown>[] = []
  await t.rejects(
    db.transaction(async (tx) => {
      await tx.query("insert into one values ('undone')")
      outside.push(db.query("insert into one values ('kept')"), db.query('select a from one'))
      await new Promise((resolve) => setTimeout(resolve, 20))
      throw new Error('changed my mind')
    }),
    /changed my mind/,
  )
  await outside[0]
  const kept = [{ a: 'kept' }]
  t.match(await outside[1], kept)
  t.match(await db.query('select a from one'), kept)
  await db.transaction((tx) => tx.query("insert into one values ('more')"))
  t.equal((await db.query('select a from one')).length, 2, 'and the next transaction is not disturbed')
})

t.test('no other process writes between a transaction’s read and its write', async (t) => {
  const path = join(tempFolder(t), 'agent.db')
  const processes = [await open(t, path), await open(t, path)]
  await processes[0]?.query('create table one (a integer)')
  await processes[0]?.query('insert into one values (0)')
  const count = processes.map(async (db) => {
    for (let i = 0; i < 10; i++) {
      await db.transaction(async (tx) => {
        const [row] = await tx.query<{ a: number }>('select a from one')
        await new Promise((resolve) => setTimeout(resolve, 1))
        await tx.query('update one set a = $1', [(row?.a ?? 0) + 1])
      })
    }
  })
  await Promise.all(count)
  t.match(await processes[0]?.query('select a from one'), [{ a: 20 }])
})

t.test('while another process writes, reads go on at once and writes wait', async (t) => {
  const path = join(tempFolder(t), 'agent.db')
  const db = await open(t, path)
  await migrate(db, MIGRATIONS)
  const store = createAccountStore(db)
  const event = { account: 'a', kind: 'seeded', actor: 'cli', outcome: 'ok', detail: null } as const
  await store.insert({ name: 'a', provider: 'instagram', state: 'active' }, event)
  const hold = async (ms: number) => {
    const child = await launch(process.execPath, [join(import.meta.dirname, 'child.ts'), 'hold', 'sqlite', path, String(ms)])
    t.teardown(() => child.end('SIGKILL'))
    await waitFor('the other process to write', () => child.stdout().includes('ready') || !child.running)
    return child
  }

  const other = await hold(700)
  t.equal((await store.find('a'))?.username, null, 'reads the state before the write')
  t.equal(other.running, true, 'without waiting')
  let turns = 0
  const turning = setInterval(() => turns++, 10)
  t.equal(await store.replace('a', 1, { scopes: 'basic' }, { ...event, kind: 'replaced' }), true)
  clearInterval(turning)
  t.match(await store.find('a'), { username: 'held', scopes: 'basic' }, 'both changes are there')
  t.ok(turns > 5, 'timers and requests went on meanwhile')

  const stubborn = await hold(60_000)
  await t.rejects(store.record(event), {
    code: 'unavailable',
    message: /Another process has been writing to the embedded store for too long/,
  })
  t.equal((await store.find('a'))?.version, 2, 'it can still be read')
  await stubborn.end('SIGKILL')
  await store.record(event)
})

t.test('prints no warning about node:sqlite', async (t) => {
  const script = `const { openSqlite } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/storage/sqlite.ts'))});
    await (await openSqlite(':memory:')).close(); process.emitWarning('one of ours')`
  const child = await launch(process.execPath, ['--input-type=module', '-e', script])
  t.equal((await child.exited).code, 0)
  t.notMatch(child.stderr(), /SQLite|Experimental/)
  t.match(child.stderr(), /one of ours/, 'other warnings still come')
})

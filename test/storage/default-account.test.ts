import t from 'tap'
import type { AccountEvent, AccountStore } from '../../src/core/account-store.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { oldRelease } from '../support/old-release.ts'
import { type Engine, eachEngine, MIGRATIONS } from './engines.ts'

const NAMES = ['default', 'shop', 'blog', 'club']
const ready = (name: string) => ({ name, provider: 'instagram', state: 'active', accessToken: `sealed ${name}` }) as const
const event = (account: string): AccountEvent => ({ account, kind: 'made_default', actor: 'owner', outcome: 'ok', detail: null })
const release = oldRelease(t)

/** The store of the release before, on its own connections. */
async function openOld(engine: Engine, t: { teardown(clearUp: () => unknown): unknown }): Promise<AccountStore> {
  const accounts = await release.load<typeof import('../../src/storage/account-store.ts')>('storage/account-store.ts')
  const { openSqlite } = await release.load<typeof import('../../src/storage/sqlite.ts')>('storage/sqlite.ts')
  const { openPostgres } = await release.load<typeof import('../../src/storage/postgres.ts')>('storage/postgres.ts')
  const db = engine.name === 'sqlite' ? await openSqlite(engine.address) : openPostgres(engine.address)
  t.teardown(() => db.close())
  return accounts.createAccountStore(db)
}

eachEngine(t, 'when this release and the one before set the default at once, both serve the same account', async (t, engine) => {
  const db = await engine.open()
  await migrate(db, MIGRATIONS)
  const store = createAccountStore(db)
  for (const name of NAMES) await store.insert(ready(name), event(name))
  const old = await openOld(engine, t)
  const doors = [store, old, createAccountStore(await engine.open()), await openOld(engine, t)]
  let marked = 0
  for (let round = 0; round < 50; round++) {
    const turn = (n: number): string => NAMES[(n + round) % NAMES.length] ?? ''
    const made = await Promise.all(doors.map((door, n) => door.makeDefault(turn(n), event(turn(n)))))
    t.notOk(made.includes(false), 'each call succeeds')
    const served = await store.find(null)
    t.ok(served !== null)
    t.equal((await old.find(null))?.name, served?.name)
    marked = Math.max(marked, (await db.query('select name from accounts where default_since is not null')).length)
  }
  t.comment(`at most ${marked} accounts bear the mark of the release before`)
  const served = (await store.find(null))?.name ?? ''
  await store.remove(served, event(served))
  t.equal(await store.find(null), null, 'after its removal no other account becomes the default, whatever marks are left')
})

eachEngine(
  t,
  'where the release before waited for a lock, both serve the account that bears its mark of an earlier time',
  async (t, engine) => {
    const db = await engine.open()
    await migrate(db, MIGRATIONS)
    const store = createAccountStore(db)
    for (const name of NAMES) await store.insert(ready(name), event(name))
    const old = await openOld(engine, t)
    for (const earlier of ['0', '-1', '-60']) {
      await store.makeDefault('shop', event('shop'))
      await db.query(`update accounts set default_since = case when name = 'blog' then ${db.dialect.nowPlus(earlier)} end`)
      t.strictSame([(await store.find(null))?.name, (await old.find(null))?.name], ['blog', 'blog'], earlier)
    }
    await db.query('update installation set default_account = null where id = 1')
    t.equal(await store.find(null), null, 'but a removed default is followed by no mark of before')
  },
)

for (const [marks, served] of [
  [[], 'default'],
  [['shop'], 'shop'],
  [['shop', 'blog'], 'blog'],
  [['blog', 'shop'], 'shop'],
] as [string[], string][]) {
  eachEngine(
    t,
    `a store with ${marks.length} accounts marked (${marks}) serves ${served} after the upgrade as before`,
    async (t, engine) => {
      const db = await engine.open()
      await migrate(db, release.migrations)
      const old = await openOld(engine, t)
      for (const name of NAMES) await old.insert(ready(name), event(name))
      for (const [n, name] of marks.entries())
        await db.query(`update accounts set default_since = ${db.dialect.nowPlus('$1')} where name = $2`, [n - 60, name])
      t.match(await old.find(null), { name: served })
      await migrate(db, MIGRATIONS)
      const store = createAccountStore(db)
      t.match(await store.find(null), { name: served })
      await store.insert(ready('later'), event('later'))
      t.match(await store.find(null), { name: served }, 'a new account changes nothing')
      await store.remove(served, event(served))
      t.equal(await store.find(null), null)
      await old.makeDefault('club', event('club'))
      t.match(await store.find(null), { name: 'club' }, 'a default set by the release before counts')
    },
  )
}

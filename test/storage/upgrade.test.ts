import t from 'tap'
import { createOverview } from '../../src/storage/account-queries.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { oldRelease } from '../support/old-release.ts'
import { eachEngine, MIGRATIONS } from './engines.ts'

const { migrations } = oldRelease(t)

eachEngine(t, 'an account that was deauthorized under the release before is tried again after the upgrade', async (t, engine) => {
  const db = await engine.open()
  await migrate(db, migrations)
  const add = (name: string, state: string, token: string | null, due: string | null) =>
    db.query(
      `insert into accounts (name, provider, state, access_token, next_refresh_at, created_at) values ($1, 'instagram', $2, $3, $4, ${db.dialect.now})`,
      [name, state, token, due],
    )
  await add('deauthorized', 'reconnect', 'v1.x', null)
  await add('erased', 'reconnect', null, null)
  await add('refused', 'reconnect', 'v1.x', '2999-01-01T00:00:00.000Z')
  await add('new', 'unverified', null, null)
  await migrate(db, MIGRATIONS)
  const due = await createAccountStore(db).claimDue({ leaseOwner: 'me', leaseSeconds: 60, limit: 9 })
  t.strictSame(
    due.map(({ account }) => account.name),
    ['deauthorized'],
  )
})

eachEngine(
  t,
  'pages of an account that has a token at the upgrade keep it; new and token-less accounts begin without',
  async (t, engine) => {
    const db = await engine.open()
    await migrate(db, migrations)
    const add = (name: string, token: string | null) =>
      db.query(
        `insert into accounts (name, provider, state, access_token, scopes, created_at) values ($1, 'instagram', 'active', $2, 'a b', ${db.dialect.now})`,
        [name, token],
      )
    await add('held', 'v1.x')
    await add('empty', null)
    await migrate(db, MIGRATIONS)
    // The release before goes on beside this one, and writes no such column.
    await add('later', 'v1.x')
    const confirmed = (await createAccountStore(db).list()).filter(({ pageUseConfirmedAt }) => pageUseConfirmedAt !== null)
    t.strictSame(
      confirmed.map(({ name }) => name),
      ['held'],
    )
    const overview = createOverview(db, ['v1.'])
    t.match(await overview.keptInPages(), [{ provider: 'instagram', scopes: 'a b', accounts: 1, names: 'held' }])
    await overview.endPageUseNote()
    t.strictSame(await overview.keptInPages(), [], 'said once')
  },
)

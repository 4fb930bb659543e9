import t from 'tap'
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

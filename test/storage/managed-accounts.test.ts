import t from 'tap'
import type { AccountEvent, EventKind } from '../../src/core/account-store.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { eachStore } from './engines.ts'

const event = (account: string | null, kind: EventKind = 'changed'): AccountEvent => ({
  account,
  kind,
  actor: 'owner',
  outcome: 'ok',
  detail: null,
})
const ready = (name: string) =>
  ({ name, provider: 'instagram', state: 'active', accessToken: `sealed ${name}`, nextRefreshAt: new Date(0) }) as const
const claim = { leaseOwner: 'me', leaseSeconds: 60, limit: 10 }

eachStore(t, 'the first account ever created is the default, and no other becomes it by itself', async (t, db) => {
  const store = createAccountStore(db)
  const served = async () => (await store.find(null))?.name ?? null
  t.equal(await served(), null)
  for (const name of ['shop', 'default', 'blog']) await store.insert(ready(name), event(name, 'created'))
  t.equal(await served(), 'shop')
  t.equal(await store.makeDefault('blog', event('blog', 'made_default')), true)
  t.equal(await served(), 'blog')
  t.equal(await store.makeDefault('nobody', event('nobody', 'made_default')), false)
  t.equal(await served(), 'blog', 'a wrong name changes nothing')
  t.strictSame(await store.events('nobody', 9), [])
  await store.remove('shop', event('shop', 'removed'))
  t.equal(await served(), 'blog', 'the removal of another account changes nothing')
  await store.remove('blog', event('blog', 'removed'))
  t.equal(await served(), null, 'the removal of the default promotes no other account')
  for (const name of ['blog', 'later']) await store.insert(ready(name), event(name, 'created'))
  t.equal(await served(), null)
  await store.makeDefault('default', event('default', 'made_default'))
  t.equal(await served(), 'default')
})

eachStore(t, 'the latest default of the release before counts', async (t, db) => {
  const store = createAccountStore(db)
  for (const name of ['default', 'shop']) await store.insert(ready(name), event(name, 'created'))
  await db.query('update installation set default_account = null, default_since = null')
  await db.query('update accounts set default_since = null')
  t.match(await store.find(null), { name: 'default' }, 'until a default is chosen, it is the account named “default”')
  await db.query(`update accounts set default_since = ${db.dialect.now} where name = 'shop'`)
  t.match(await store.find(null), { name: 'shop' })
  await store.makeDefault('default', event('default', 'made_default'))
  t.match(await store.find(null), { name: 'default' })
  t.match(await db.query('select name from accounts where default_since is not null'), [{ name: 'default' }])
})

eachStore(t, 'the revision rises only with changes that readers see', async (t, db) => {
  const store = createAccountStore(db)
  await store.insert({ ...ready('shop'), expiresAt: new Date(1e12) }, event('shop', 'created'))
  const revision = async () => (await store.find('shop'))?.revision
  const changes = [
    { allowedDomains: 'a.example' },
    { jsConstant: 'Mine' },
    { pausedAt: new Date(5) },
    { pausedAt: null },
    { state: 'reconnect' },
    { scopes: 'a b' },
    { trustedAt: new Date(7) },
    { providerUserId: '1' },
    { expiresAt: new Date(2e12) },
  ] as const
  for (const [before, change] of changes.entries()) {
    await store.update('shop', change, event('shop'))
    t.equal(await revision(), before + 1, JSON.stringify(change))
    await store.update('shop', change, event('shop'))
    t.equal(await revision(), before + 1, 'the same value once more is no change')
  }
  await store.update('shop', { lastError: 'x', lastErrorCode: 'transient', checkedAt: new Date(3), username: 'u' }, event('shop'))
  const [first] = await store.claimDue({ ...claim, force: true })
  if (first === undefined) throw new Error('nothing was claimed')
  await store.commit(first, { state: 'reconnect', failureCount: 1, nextRefreshAt: new Date(0) }, event('shop', 'refresh_failed'))
  t.equal(await revision(), changes.length, 'neither errors, looks and claims, nor a failure that changes no state')
  const [second] = await store.claimDue(claim)
  if (second === undefined) throw new Error('nothing was claimed')
  await store.commit(second, { accessToken: 'new' }, event('shop', 'refreshed'))
  t.equal(await revision(), changes.length + 1)
  await store.remove('shop', event('shop', 'removed'))
  await store.insert(ready('shop'), event('shop', 'created'))
  t.equal(await revision(), changes.length + 3, 'a removal raises it too')
})

eachStore(t, 'a removed account keeps only its history, version and seed fingerprint', async (t, db) => {
  const store = createAccountStore(db)
  await store.insert({ ...ready('shop'), username: 'someone', allowedDomains: 'a.example', seedFingerprint: 'f' }, event('shop', 'created'))
  await store.replace('shop', 1, { accessToken: 'second' }, event('shop', 'replaced'))
  const [mine] = await store.claimDue(claim)
  if (mine === undefined) throw new Error('nothing was due')
  t.equal(await store.remove('shop', event('shop', 'removed')), true)
  t.equal(await store.remove('shop', event('shop', 'removed')), false)
  t.equal(await store.commit(mine, { accessToken: 'late' }, event('shop', 'refreshed')), false, 'a refresh under way is void')
  t.equal(await store.update('shop', { pausedAt: null }, event('shop')), false)
  t.equal(await store.replace('shop', 3, { accessToken: 'x' }, event('shop')), false)
  t.equal(await store.find('shop'), null)
  t.strictSame(await store.list(), [])
  t.strictSame(await store.claimDue({ ...claim, account: 'shop', force: true }), [])
  t.equal(await store.seedFingerprint('shop'), 'f')
  t.notMatch(JSON.stringify(await db.query('select * from accounts')), /someone|sealed|second|late|a\.example/)
  t.strictSame((await store.events('shop', 9)).map(({ kind }) => kind).reverse(), ['created', 'replaced', 'removed'])

  t.equal(await store.insert({ ...ready('shop'), provider: 'other' }, event('shop', 'created')), true)
  const again = await store.find('shop')
  t.match(again, { version: 4, provider: 'other', username: null, allowedDomains: null, seedFingerprint: 'f', failureCount: 0 })
  t.equal(await store.insert(ready('shop'), event('shop', 'created')), false)
})

eachStore(t, 'settings change neither the version nor a running refresh, and a paused account is not due', async (t, db) => {
  const store = createAccountStore(db)
  await store.insert(ready('shop'), event('shop', 'created'))
  const [mine] = await store.claimDue(claim)
  if (mine === undefined) throw new Error('nothing was due')
  t.equal(await store.update('shop', { allowedDomains: 'a.example', jsConstant: 'Mine', pausedAt: new Date(1) }, event('shop')), true)
  t.match(await store.find('shop'), { version: 1, allowedDomains: 'a.example', jsConstant: 'Mine', pausedAt: new Date(1) })
  t.equal(await store.commit(mine, { accessToken: 'new', nextRefreshAt: new Date(0) }, event('shop', 'refreshed')), true)
  t.match(await store.find('shop'), { version: 2, accessToken: 'new', allowedDomains: 'a.example' })
  t.strictSame(await store.claimDue(claim), [])
  t.strictSame(await store.claimDue({ ...claim, account: 'shop', force: true }), [])
  await store.update('shop', { pausedAt: null }, event('shop', 'resumed'))
  t.equal((await store.claimDue(claim)).length, 1)
})

eachStore(t, 'a user’s accounts are found by either id, at that provider only', async (t, db) => {
  const store = createAccountStore(db)
  await store.insert({ ...ready('one'), providerUserId: '1', providerAppUserId: '2' }, event('one', 'created'))
  await store.insert({ ...ready('two'), providerUserId: '2' }, event('two', 'created'))
  await store.insert({ ...ready('three'), provider: 'other', providerUserId: '1' }, event('three', 'created'))
  const names = async (provider: string, id: string) => (await store.ofUser(provider, id)).map(({ name }) => name)
  t.strictSame(await names('instagram', '1'), ['one'])
  t.strictSame(await names('instagram', '2'), ['one', 'two'])
  t.strictSame(await names('instagram', ''), [])
  await store.remove('one', event('one', 'removed'))
  t.strictSame(await names('instagram', '1'), [])
})

eachStore(t, 'pages of the history have no gap or repetition, also with many events of one instant', async (t, db) => {
  const store = createAccountStore(db)
  const insert = (id: string, account: string | null, at: string) =>
    db.query("insert into events (id, account, kind, actor, outcome, at) values ($1, $2, 'changed', 'owner', 'ok', $3)", [id, account, at])
  // Postgres counts microseconds, which no Date can hold.
  const instants = ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.123456Z', '2026-01-01T00:00:00.123789Z', '2026-01-01T00:00:00.124Z']
  for (let n = 0; n < 20; n++) {
    await insert(`a${String(n).padStart(3, '0')}`, 'shop', instants[n % 4] ?? '')
    await insert(`b${String(n).padStart(3, '0')}`, null, instants[n % 4] ?? '')
  }
  for (const account of ['shop', null]) {
    const all = (await store.events(account, 100)).map(({ id }) => id)
    t.equal(all.length, 20)
    const seen: string[] = []
    for (let before: string | undefined; ; before = seen.at(-1)) {
      const page = await store.events(account, 3, before)
      if (page.length === 0) break
      seen.push(...page.map(({ id }) => id))
    }
    t.strictSame(seen, all)
  }
  const id = await store.record(event(null, 'signed_in'))
  t.match(await store.findEvent(id), { id, kind: 'signed_in', account: null })
  t.equal(await store.findEvent('nothing'), null)
})

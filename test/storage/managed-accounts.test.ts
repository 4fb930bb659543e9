import t from 'tap'
import type { AccountEvent, EventKind } from '../../src/domain/account-store.ts'
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
const claim = { owner: 'me', leaseSeconds: 60, limit: 10 }

eachStore(
  t,
  'the account called default is served until another one is made the default, and again when that is removed',
  async (t, db) => {
    const store = createAccountStore(db)
    t.equal(await store.find(null), null)
    await store.insert(ready('shop'), event('shop', 'created'))
    t.equal(await store.find(null), null, 'no account becomes the default by chance')
    for (const name of ['default', 'blog']) await store.insert(ready(name), event(name, 'created'))
    t.match(await store.find(null), { name: 'default' })
    t.equal(await store.makeDefault('shop', event('shop', 'made_default')), true)
    t.match(await store.find(null), { name: 'shop' })
    t.equal(await store.makeDefault('nobody', event('nobody', 'made_default')), false)
    t.match(await store.find(null), { name: 'shop' }, 'a wrong name takes nothing away')
    t.strictSame(await store.events('nobody', 9), [])
    await store.makeDefault('blog', event('blog', 'made_default'))
    await store.makeDefault('default', event('default', 'made_default'))
    t.match(await store.find(null), { name: 'default' })
    await store.makeDefault('shop', event('shop', 'made_default'))
    await store.remove('shop', event('shop', 'removed'))
    t.match(await store.find(null), { name: 'default' })
  },
)

eachStore(t, 'a removed account leaves its history, its version and its seed’s fingerprint, and nothing else', async (t, db) => {
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

eachStore(t, 'settings touch neither the version nor a refresh under way, and a paused account is not due', async (t, db) => {
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

eachStore(t, 'a user’s accounts are found by either of the two ids, at that provider alone', async (t, db) => {
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

eachStore(t, 'the history is paged without a gap or a repetition, also where many events have one instant', async (t, db) => {
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

import t from 'tap'
import { reportWaiting } from '../../src/accounts/connect-link.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import type { AccountEvent } from '../../src/core/account-store.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { createLinkStore } from '../../src/storage/link-store.ts'
import { createSignedRequests } from '../../src/storage/signed-requests.ts'
import { eachStore } from './engines.ts'

const USER = '17841400000000001'
const event: AccountEvent = { account: 'shop', kind: 'changed', actor: 'owner', outcome: 'ok', detail: null }
const LINK = { id: 'a', account: 'shop', note: null, expectedUsername: null }
const arrival = (request: string) => ({ request, askedAt: new Date(), codes: [USER] })
const grant = (request: string) => ({ id: 'a', by: arrival(request), userId: USER, appUserId: null, username: 'ana', sealed: 'v1.x' })
const log = { info() {}, warn() {}, error() {}, debug() {} } as never

eachStore(t, 'a link is used by one of many, and a lost answer is no second use', async (t, db, engine) => {
  const other = await engine.open()
  const [store, links, others] = [createAccountStore(db), createLinkStore(db), createLinkStore(other)]
  t.notOk(await links.make(LINK, event), 'no account, no link')
  await store.insert({ name: 'shop', provider: 'instagram', state: 'unverified' }, event)
  for (const first of ['take', 'keep'] as const) {
    t.ok(await links.make(LINK, event))
    let saved = 0
    const use = (of: typeof links, by: string) =>
      first === 'keep' ? of.keep(grant(by), event) : of.take({ id: 'a', by: arrival(by), userId: USER }, async () => void saved++)
    const results = await Promise.all(['r1', 'r2', 'r3'].map((by, at) => use(at % 2 ? links : others, by)))
    t.strictSame(results.filter(Boolean).length, 1, first)
    const winner = `r${results.indexOf(true) + 1}`
    t.ok(await use(links, winner), 'the same request, once more')
    t.equal(saved, first === 'take' ? 1 : 0)
  }
  t.ok(await links.make(LINK, event))
  await t.rejects(
    links.take({ id: 'a', by: arrival('r'), userId: USER }, () => Promise.reject(new Error('not saved'))),
    { message: 'not saved' },
  )
  t.match(await links.find('a'), { state: 'open' }, 'without its grant it is not used')
})

eachStore(t, 'what ends an account or its user ends the link and its grant, also by a release that knows no links', async (t, db) => {
  const [store, links] = [createAccountStore(db), createLinkStore(db)]
  await store.insert({ name: 'shop', provider: 'instagram', state: 'unverified', providerUserId: USER }, event)
  const left = async () => (await db.query('select id from connect_links')).length
  const version = async () => (await store.find('shop'))?.version ?? 0
  const ends: Record<string, [left: number, end: () => Promise<unknown>]> = {
    'the same user': [1, async () => store.replace('shop', await version(), { providerUserId: USER }, event)],
    'another user': [0, async () => store.replace('shop', await version(), { providerUserId: '2' }, event)],
    erasure: [0, async () => store.replace('shop', await version(), { providerUserId: null }, { ...event, kind: 'erased' })],
    'another user, by an older release': [0, () => db.query("update accounts set provider_user_id = '3'")],
    'removal, by an older release': [0, () => db.query(`update accounts set removed_at = ${db.dialect.now}`)],
  }
  for (const [name, [count, end]] of Object.entries(ends)) {
    await db.query('update accounts set provider_user_id = $1', [USER])
    t.ok(await links.make(LINK, event))
    t.ok(await links.keep(grant('r'), event))
    await end()
    if (count === 0) {
      t.equal(await links.find('a'), null, name)
      t.notOk(await links.take({ id: 'a', by: null, userId: USER }, async () => {}), name)
    }
    await links.clear()
    t.equal(await left(), count, name)
  }
  t.notOk(await links.revoke('a', event))
})

eachStore(t, 'a waiting grant alerts once, after a failed delivery again', async (t, db, engine) => {
  const [store, links, others] = [createAccountStore(db), createLinkStore(db), createLinkStore(await engine.open())]
  await store.insert({ name: 'shop', provider: 'instagram', state: 'unverified' }, event)
  await links.make(LINK, event)
  await links.keep(grant('r'), event)
  const alerts: Alert[] = []
  let isDown = true
  const send = async (alert: Alert): Promise<void> => {
    if (isDown) throw new Error('down')
    alerts.push(alert)
  }
  const report = () => Promise.all([reportWaiting({ links, send, log }), reportWaiting({ links: others, send, log })])
  await report()
  isDown = false
  await report()
  t.strictSame(alerts, [], 'the lease of the failed delivery holds')
  await db.query(`update connect_links set alert_lease_until = ${db.dialect.now}`)
  await report()
  await report()
  t.match(alerts, [{ event: 'grant_waits', account: 'shop', provider: 'instagram', message: /until .* UTC/ }])
  t.equal(alerts.length, 1)
})

eachStore(t, 'a deletion call and a grant at the same moment leave no grant', async (t, db, engine) => {
  const [store, links] = [createAccountStore(db), createLinkStore(db)]
  const calls = createSignedRequests(await engine.open())
  await store.insert({ name: 'shop', provider: 'instagram', state: 'unverified' }, event)
  for (let round = 0; round < 20; round++) {
    await links.make(LINK, event)
    const by = { ...arrival(`r${round}`), codes: [`code ${round}`] }
    const call = calls.answerOnce(`call ${round}`, async (scope) => {
      await scope.noteUser(`code ${round}`, new Date(by.askedAt.getTime() + 1))
      for (const { id } of await scope.links.ofUser('instagram', USER)) await scope.links.forget(id)
      return { answer: '{}', keepForGood: false }
    })
    const kept = links.keep({ ...grant(''), by }, event)
    await Promise.all(round % 2 ? [call, kept] : [kept, call])
    t.strictSame(await links.ofUser('instagram', USER), [], `round ${round}`)
  }
})

import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { sendAlerts } from '../../src/alerts/send-alerts.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { channelsOn, into } from '../support/alert-channels.ts'
import { startFacebook } from '../support/facebook.ts'
import { startThreads } from '../support/instagram.ts'
import {
  approve,
  authorizeUrlIn,
  createOwner,
  facebookSettings,
  OTHER_SITE,
  SERVER_KEY,
  SITE,
  served,
  threadsSettings,
} from '../support/owner.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

const USER = '17841400379535405'
const BASIC = 'instagram_business_basic'
const MORE = 'instagram_business_content_publish'

/** The alerts that are due, by the agent's store. */
async function alertsOf(t: Test, { cwd }: { cwd: string }) {
  const db = await openSqlite(join(cwd, 'data/token-agent.sqlite'))
  t.teardown(() => db.close())
  const sent: Alert[] = []
  const channels = channelsOn(db, { webhook: into(sent) })
  return async () => {
    await sendAlerts({ alerts: createAlertStore(db), channels, log: { info: () => {}, warn: () => {} } })
    return sent.splice(0).map(({ event }) => event)
  }
}

async function setUp(t: Test, { scopes = `${BASIC} ${MORE}`, threadsScopes = 'threads_basic' } = {}) {
  const threads = await startThreads({ knobs: { signedInAs: USER } })
  t.teardown(() => threads.close())
  const env = { ...threadsSettings(threads), SERVER_KEYS: SERVER_KEY, INSTAGRAM_SCOPES: scopes, THREADS_SCOPES: threadsScopes }
  const world = await createOwner(t, { env, knobs: { signedInAs: USER } })
  const { agent, owner } = world
  const connect = async (account: string, provider = 'instagram') =>
    owner.get(await approve(authorizeUrlIn(await owner.post(`/connect/${provider}`, { account }))))
  const byPage = async (account: string, file = 'token.json', headers: Record<string, string> = { origin: SITE }) =>
    agent.fetch(`/accounts/${account}/${file}`, { headers })
  const byKey = (account: string, file = 'token.json') => byPage(account, file, { authorization: `Bearer ${SERVER_KEY}` })
  const scopesOf = (account: string): string =>
    agent.sql<{ scopes: string | null }>(`select scopes from accounts where name = '${account}'`)[0]?.scopes ?? ''
  const allow = (account: string, scopes = scopesOf(account)) => owner.post(`/admin/accounts/${account}/page-use`, { scopes, allow: 'yes' })
  return { ...world, threads, connect, byPage, byKey, allow, scopesOf }
}

t.test('a token that can do more than read goes to servers alone; pages get a sentence that says why', async (t) => {
  const { agent, owner, connect, byPage, byKey } = await setUp(t)
  t.match(await connect('default'), { location: '/admin/accounts/default?done=connected' })
  for (const file of ['token.json', 'token.js', 'token']) {
    const refused = await byPage('default', file)
    t.equal(refused.status, 403, file)
    t.equal(refused.headers.get('access-control-allow-origin'), SITE)
    t.match(await refused.text(), /can do more than read.*only servers get it.*\/admin\/accounts\/default under “Who may read the token”/)
    t.equal((await byKey('default', file)).status, 200, file)
  }
  t.equal((await agent.fetch('/token.js', { headers: { origin: SITE } })).status, 403, 'the default too')
  t.equal((await byPage('default', 'token.json', { referer: `${SITE}/` })).status, 403)
  t.match(await (await byPage('default', 'token.json', { origin: OTHER_SITE })).text(), /not on the list/, 'the list comes first')
  const { etag = '' } = Object.fromEntries((await byKey('default')).headers)
  t.equal((await byPage('default', 'token.json', { origin: SITE, 'if-none-match': etag })).status, 403, 'before any ETag')
  const says = /wrong-step" id="step-works".*can do more than read/
  await waitFor('/setup to count the account', async () => says.test(await owner.page('/setup')))
  t.match(agent.stdout(), /can do more than read/)
  t.match(await owner.page('/?account=default'), /Only servers get this token/)
})

t.test('the owner allows pages the token after reading what it means, and takes it back', async (t) => {
  const { agent, owner, stranger, connect, byPage, allow } = await setUp(t)
  await connect('shop')
  const page = await owner.page('/admin/accounts/shop')
  t.match(page, /Only servers get this token.*instagram_business_content_publish.*a stranger may post, answer or delete as @user/)
  t.match(await owner.page('/status'), /Only servers get this token: <a/)
  t.match(page, /<input type="checkbox" name="allow" value="yes" required>/)
  const revisionOf = () => agent.sql<{ revision: number }>("select revision from accounts where name = 'shop'")[0]?.revision ?? 0
  const before = revisionOf()

  const form = { scopes: `${BASIC} ${MORE}`, allow: 'yes' }
  t.match(await stranger.post('/admin/accounts/shop/page-use', form), { location: '/admin/sign-in' })
  t.match(await owner.post('/admin/accounts/shop/page-use', form, { 'sec-fetch-site': 'cross-site' }), { status: 403 })
  t.match(await allow('shop', BASIC), { status: 409, text: /has been replaced since this page was shown/ }, 'other scopes than were read')
  t.equal((await byPage('shop')).status, 403)

  t.match(await allow('shop'), { location: '/admin/accounts/shop?done=pages_allowed' })
  t.equal((await byPage('shop')).status, 200)
  t.ok(revisionOf() > before)
  t.notMatch(await owner.page('/status'), /get this token/)
  t.match(
    await owner.page('/admin/accounts/shop'),
    /Web pages get this token: you allowed it.*Web pages may have the token, with the permis/,
  )

  await owner.post('/admin/accounts/shop/page-use', form)
  t.match(await owner.post('/admin/accounts/shop/page-use', { scopes: form.scopes }), {
    location: '/admin/accounts/shop?done=servers_only',
  })
  t.equal((await byPage('shop')).status, 403)
})

t.test('after the upgrade /status says once which tokens pages keep, until the owner has read it', async (t) => {
  const scopes = `${BASIC} ${MORE}`
  const { agent, owner, stranger } = await createOwner(t, {
    accounts: [
      ...['a-wide', 'b-wide'].map((name) => ({ name, scopes })),
      { name: 'c-basic', scopes: BASIC },
      { name: 'd-untold' },
      { name: 'e-new', scopes },
    ],
  })
  t.notMatch(await owner.page('/status'), /I have read this/, 'a new store')
  // As migration 006 does.
  agent.sql("update accounts set page_use_confirmed_at = created_at where name < 'e' returning name")
  const page = await owner.page('/status')
  t.match(
    page,
    /2 accounts have one that can do more than read \( <a [^>]+>a-wide<\/a> <a [^>]+>b-wide<\/a> \)\. ?1 account has one that does/,
  )
  t.equal(page.split('do more than read').length, 3, 'one note for all')
  t.notMatch(await stranger.page('/status'), /a-wide|I have read/)
  t.match(await stranger.post('/admin/page-use-note'), { location: '/admin/sign-in' })
  t.match(await owner.post('/admin/page-use-note', {}, { 'sec-fetch-site': 'cross-site' }), { status: 403 })
  t.match(await owner.page('/status'), /I have read this/)
  t.match(await owner.post('/admin/page-use-note'), { location: '/status' })
  t.notMatch(await owner.page('/status'), /I have read this/)
  t.match(await owner.page('/admin/accounts/a-wide'), /Web pages get this token: you allowed it/, 'the account’s page still says it')
})

t.test('by provider, way in and scopes: what a new token is to pages', async (t) => {
  const { agent, owner, instagram, threads, connect, byPage } = await setUp(t, { scopes: BASIC })
  const paste = async (account: string, provider: string, token: string) => {
    await owner.post('/admin/accounts', { name: account, provider, token })
  }
  await connect('instagram-basic')
  await connect('threads-basic', 'threads')
  await paste('instagram-pasted', 'instagram', instagram.issue())
  await paste('instagram-hour', 'instagram', instagram.issue({ life: 'short', ageSeconds: 60 }))
  await paste('threads-pasted', 'threads', threads.issue())
  await paste('threads-hour', 'threads', threads.issue({ life: 'short', ageSeconds: 60 }))
  t.match(await owner.page('/admin/accounts/threads-pasted?done=taken'), /Only servers get this token: <a href="#readers">/)
  t.match(await owner.page('/admin/accounts/threads-pasted/history'), /took over. It does not tell what it can do, so only servers get it/)
  t.notMatch(await owner.page('/admin/accounts/threads-basic?done=connected'), /nly servers get it/)
  t.match(await owner.page('/admin/accounts/instagram-pasted'), /does not tell its permissions, and web pages get it/)
  for (const [account, status] of [
    ['instagram-basic', 200],
    ['instagram-pasted', 200],
    ['instagram-hour', 200],
    ['threads-basic', 200],
    ['threads-pasted', 403],
    ['threads-hour', 403],
  ] as const)
    t.equal((await byPage(account)).status, status, account)
  t.match(await owner.page('/admin/accounts/threads-pasted'), /does not tell its permissions.*THREADS_SCOPES/)
  t.notMatch(await owner.page('/admin/accounts/threads-basic'), /page-use/)
  t.same(agent.sql('select name from accounts where page_use_confirmed_at is not null'), [], 'no new account begins allowed')

  const wide = await setUp(t, { threadsScopes: 'threads_basic threads_content_publish' })
  await wide.connect('talk', 'threads')
  t.equal((await wide.byPage('talk')).status, 403)
})

t.test('the owner’s word ends with any change of the scopes, at each way in, and not without one', async (t) => {
  const { agent, owner, instagram, connect, byPage, allow, scopesOf } = await setUp(t)
  const allowed = () =>
    agent.sql<{ at: string | null }>("select page_use_confirmed_at as at from accounts where name = 'shop'")[0]?.at !== null
  const alerts = await alertsOf(t, agent)
  await connect('shop')
  t.strictSame(await alerts(), [])
  await allow('shop')
  const refresh = async (permissions: string | null) => {
    instagram.knobs.refreshPermissions = permissions
    instagram.clock.advance(86_400_000)
    t.match(await owner.post('/admin/accounts/shop/refresh'), { location: /done=refreshed/ })
  }

  await connect('shop')
  t.ok(allowed(), 'connected again with the same scopes')
  await refresh(null)
  await refresh(`${MORE},${BASIC}`)
  t.ok(allowed(), 'refreshed without a word, and with the same scopes in another order')
  agent.sql(`update accounts set scopes = '${MORE} ${BASIC}' where name = 'shop' returning name`)
  await connect('shop')
  t.ok(allowed(), 'connected again, where a release before kept another order')
  await refresh(`${MORE},${BASIC},instagram_business_manage_insights`)
  t.notOk(allowed(), 'grown at a refresh')
  t.strictSame(await alerts(), ['page_use_ended'])
  t.match(
    await owner.page('/status'),
    /Its permissions have changed, so only servers get this token: <a href="\/admin\/accounts\/shop#readers">/,
  )
  t.match(await owner.page('/admin/accounts/shop'), /You had allowed web pages to have it.*Leave it to servers/)
  await owner.post('/admin/accounts/shop/page-use', { scopes: scopesOf('shop') })
  t.notMatch(await owner.page('/status'), /only servers get this token/, 'the owner has decided')
  t.match(await owner.page('/admin/accounts/shop'), /Its permissions have changed\. It can do more than read, so only servers get it/)
  t.equal((await byPage('shop')).status, 403)

  await allow('shop')
  await connect('shop')
  t.notOk(allowed(), 'shrunk at a grant')
  t.strictSame(await alerts(), ['page_use_ended'])
  t.match(scopesOf('shop'), MORE)
  t.equal((await byPage('shop')).status, 403)

  await allow('shop')
  t.match(await owner.post('/admin/accounts/shop/token', { token: instagram.issue({ userId: USER }), otherUser: 'yes' }), { status: 303 })
  t.notOk(allowed(), 'pasted')
  t.strictSame(await alerts(), [], 'pages get it')
  t.equal(scopesOf('shop'), '', 'its scopes are unknown')
  t.equal((await byPage('shop')).status, 200, 'as pasted tokens of Instagram always were')
  await refresh(`${MORE},${BASIC}`)
  t.equal((await byPage('shop')).status, 200, 'scopes that become known do not take a token from pages that have it')
})

t.test('of each provider: the owner’s word lives through a refresh and a grant with the same scopes, and ends with others', async (t) => {
  const [threads, meta, tiktok] = await Promise.all([startThreads({ knobs: { signedInAs: USER } }), startFacebook(), startTikTok()])
  t.teardown(() => Promise.all([threads.close(), meta.close(), tiktok.close()]))
  // TikTok redirects to https alone.
  threads.apps[0]?.redirectUris.push('https://agent.example/connect/threads/callback')
  meta.redirectUris.push('https://agent.example/connect/facebook/callback')
  const { agent, instagram, owner } = await createOwner(t, {
    knobs: { signedInAs: USER },
    env: {
      ...threadsSettings(threads),
      ...facebookSettings(meta),
      ...tiktokSettings(tiktok),
      SERVER_KEYS: SERVER_KEY,
      INSTAGRAM_SCOPES: `${BASIC} ${MORE}`,
      THREADS_SCOPES: 'threads_basic threads_content_publish',
    },
  })
  const alerts = await alertsOf(t, agent)
  for (const [provider, clock, permissions] of [
    ['instagram', instagram.clock, `${BASIC},${MORE}`],
    ['threads', threads.clock, 'threads_basic,threads_content_publish'],
    ['facebook', null, ''],
    ['tiktok', tiktok.clock, ''],
  ] as const) {
    const asPage = async () => (await served(agent, `/accounts/${provider}/token.json`)).status
    const scopesOf = () => agent.sql<{ scopes: string }>(`select scopes from accounts where name = '${provider}'`)[0]?.scopes ?? ''
    const connect = async () => {
      const page = await owner.post(`/connect/${provider}`, { account: provider })
      t.match(await owner.get(await approve(authorizeUrlIn(page))), { location: /done=connected/ }, `${provider} connects`)
    }
    const refresh = async () => {
      clock?.advance(86_400_000)
      for (const { knobs } of [instagram, threads]) knobs.refreshPermissions = permissions
      t.match(await owner.post(`/admin/accounts/${provider}/refresh`), { location: /done=refreshed/ }, `${provider} refreshes`)
    }
    const allow = () => owner.post(`/admin/accounts/${provider}/page-use`, { scopes: scopesOf(), allow: 'yes' })
    const change = () => agent.sql(`update accounts set scopes = 'other' where name = '${provider}' returning name`)
    await connect()
    t.equal(await asPage(), 403, provider)
    const key = await agent.fetch(`/accounts/${provider}/token.json`, { headers: { authorization: `Bearer ${SERVER_KEY}` } })
    t.equal(key.status, 200, provider)
    await allow()
    for (const act of [refresh, connect]) {
      await act()
      t.equal(await asPage(), 200, `${provider}: the same after ${act.name}`)
      t.strictSame(await alerts(), [])
      change()
      await act()
      t.equal(await asPage(), 403, `${provider}: others after ${act.name}`)
      t.strictSame(await alerts(), ['page_use_ended'], provider)
      await allow()
      t.equal(await asPage(), 200)
    }
  }
})

import t, { type Test } from 'tap'
import { type FacebookKnobs, startFacebook } from '../support/facebook.ts'
import {
  approve,
  authorizeUrlIn,
  type Client,
  createOwner,
  facebookSettings,
  openAgent,
  SERVER_KEY,
  served,
  signedRequest,
} from '../support/owner.ts'

const SECRET = 'a-secret-of-the-facebook-app'
const DAY_MS = 86_400_000

async function setUp(t: Test, knobs: Partial<FacebookKnobs> = {}, env: Record<string, string> = {}) {
  const meta = await startFacebook({ knobs })
  t.teardown(() => meta.close())
  const world = await createOwner(t, { env: { SERVER_KEYS: SERVER_KEY, ...facebookSettings(meta), ...env } })
  const token = async (account: string) => {
    const answer = await world.agent.fetch(`/accounts/${account}/token`, { headers: { authorization: `Bearer ${SERVER_KEY}` } })
    return answer.status === 200 ? answer.text() : null
  }
  return { ...world, meta, token }
}

async function connect(client: Client, account: string) {
  return client.get(await approve(authorizeUrlIn(await client.post('/connect/facebook', { account }))))
}

const answerIn = (text: string): string => /name="answer" value="([^"]+)"/.exec(text)?.[1] ?? ''

t.test('the only account of a login is connected, refreshed, and given to servers alone', async (t) => {
  const { agent, owner, meta, token } = await setUp(t)
  t.match(await connect(owner, 'shop'), { location: '/admin/accounts/shop?done=connected' })
  t.match(meta.tokens.get((await token('shop')) ?? ''), { kind: 'page' })
  t.match(await served(agent, '/accounts/shop/token.json'), { status: 403, token: null })
  const [row] = agent.sql<Record<string, unknown>>('select * from accounts')
  t.match(row, {
    provider_user_id: meta.instagramOf(meta.knobs.signedInAs, 0).id,
    provider_app_user_id: meta.knobs.signedInAs,
    username: 'shop.1',
    expires_at: null,
    never_expires: 1,
  })
  t.ok(row?.['refresh_token'] && row['refresh_expires_at'] && row['reconnect_by'])
  t.match(await owner.page('/admin/accounts/shop'), /@<bdi>shop\.1<\/bdi> \(facebook\)/)
  const before = meta.calls.length
  t.match(await owner.post('/admin/accounts/shop/refresh'), { location: '/admin/accounts/shop?done=refreshed' })
  t.same(
    meta.calls.slice(before).map(({ path }) => path),
    ['/debug_token', '/me/accounts'],
  )
  t.equal(meta.overlaps.count, 0)
  t.notMatch(agent.stdout(), /EAA\w{10}|a-secret/)
})

t.test('a login to thirty accounts asks which one, and asks anew for their tokens at the choice', async (t) => {
  const { agent, owner, stranger, meta, token } = await setUp(t, { pages: 30 })
  const asked = await connect(owner, 'shop')
  t.match(asked, { status: 200, text: /this login leads to 30 accounts/ })
  t.match(asked.text, /@<\/?bdi>|shop\.30/)
  t.notMatch(asked.text, /<b>& Söhne|EAA\w{10}/, 'the names of Pages are text, and no token is on the page')
  t.same(agent.sql('select name from accounts'), [], 'nothing is changed before')
  const answer = answerIn(asked.text)
  const third = meta.instagramOf(meta.knobs.signedInAs, 2).id
  t.match(await stranger.post('/connect/facebook/choose', { answer, choice: third }), { status: /30[23]|401/ })
  t.match(await owner.post('/connect/facebook/choose', { answer: 'made-up', choice: third }), { status: 422 })
  const calls = meta.calls.filter(({ path }) => path === '/me/accounts').length
  const both = await Promise.all([1, 2].map(() => owner.post('/connect/facebook/choose', { answer, choice: third })))
  for (const one of both) t.match(one, { location: '/admin/accounts/shop?done=connected' }, 'a double click connects once')
  t.equal(meta.calls.filter(({ path }) => path === '/me/accounts').length, calls + 2, 'two lists, once')
  t.ok(await token('shop'))
  t.match(agent.sql('select username, version from accounts'), [{ username: 'shop.3' }])
  t.match(await connect(owner, 'shop'), { location: '/admin/accounts/shop?done=connected' }, 'connected again, it knows its own')
  t.match(agent.sql('select username from accounts'), [{ username: 'shop.3' }])
})

t.test('none of these, a wrong choice and a second login change nothing', async (t) => {
  const { agent, owner } = await setUp(t, { pages: 2 })
  const answer = answerIn((await connect(owner, 'shop')).text)
  t.match(await owner.post('/connect/facebook/decline', { answer }), { location: '/admin/accounts/shop?done=declined' })
  t.match(await owner.post('/connect/facebook/choose', { answer, choice: '1' }), { status: 422 })
  const wrong = answerIn((await connect(owner, 'shop')).text)
  t.match(await owner.post('/connect/facebook/choose', { answer: wrong, choice: '17' }), {
    status: 422,
    text: /does not list this account/,
  })
  t.same(agent.sql('select name from accounts'), [])
  t.same(agent.sql("select id from oauth_states where sealed <> ''"), [])
})

t.test('another account than the connected one waits for the owner’s yes', async (t) => {
  const { agent, owner, meta } = await setUp(t)
  await connect(owner, 'shop')
  meta.knobs.signedInAs = '10220000000000099'
  const asked = await connect(owner, 'shop')
  t.match(asked.text, /Yes, replace it/)
  t.match(agent.sql('select provider_app_user_id as id from accounts'), [{ id: '10220000000000017' }])
  await owner.post('/connect/facebook/confirm', { answer: answerIn(asked.text) })
  t.match(agent.sql('select provider_app_user_id as id from accounts'), [{ id: '10220000000000099' }])
})

t.test('a login without a usable Page ends with the reason', async (t) => {
  for (const knobs of [{ pages: 0 }, { linked: 'none' }, { tasks: 'none' }] as const) {
    const { owner } = await setUp(t, knobs)
    t.match(await connect(owner, 'shop'), { status: 422, text: /no Page with an Instagram account.*business_management/s })
  }
})

t.test('the date of the next approval is shown, and told a month and a week ahead', async (t) => {
  const { agent, owner } = await setUp(t, { dataAccessSeconds: 20 * 86_400 })
  await connect(owner, 'shop')
  const status = await owner.page('/status')
  t.match(status, /Only you can keep it alive: connect the account again before/)
  const [row] = agent.sql<{ by: string; now: string }>('select reconnect_by as by, created_at as now from accounts')
  t.ok(Math.abs(Date.parse(row?.by ?? '') - Date.parse(row?.now ?? '') - 20 * DAY_MS) < 120_000)
})

t.test('Meta’s calls concern all accounts of a Facebook user, and a choice that still waits', async (t) => {
  const { agent, owner, meta } = await setUp(t)
  let issuedAt = Math.floor(Date.now() / 1000) + 60
  const call = (path: string, secret = SECRET) => {
    const signed = signedRequest({ algorithm: 'HMAC-SHA256', user_id: meta.knobs.signedInAs, issued_at: issuedAt++ }, secret)
    return agent.fetch(`/callbacks/facebook/${path}`, { method: 'POST', body: new URLSearchParams({ signed_request: signed }) })
  }
  await connect(owner, 'one')
  await connect(owner, 'two')
  meta.knobs.pages = 2
  const answer = answerIn((await connect(owner, 'three')).text)
  t.equal((await call('deauthorize', 'a-secret-of-the-instagram-app')).status, 403)
  t.equal((await call('delete')).status, 200)
  t.match(agent.sql('select access_token, refresh_token, reconnect_by from accounts order by name'), [
    { access_token: null, refresh_token: null, reconnect_by: null },
    { access_token: null, refresh_token: null, reconnect_by: null },
  ])
  t.same(agent.sql("select id from oauth_states where sealed <> ''"), [], 'the waiting login is erased')
  t.match(await owner.post('/connect/facebook/choose', { answer, choice: '1' }), { status: 422 })
})

t.test('a user’s token from the environment becomes an account; several Pages want a number', async (t) => {
  const meta = await startFacebook({ knobs: { pages: 2 } })
  t.teardown(() => meta.close())
  const settings = { SERVER_KEYS: SERVER_KEY, FACEBOOK_STARTING_TOKEN: meta.issue(), ...facebookSettings(meta) }
  const first = await openAgent(t, { env: settings })
  t.match(first.sql('select access_token, last_error from accounts'), [{ access_token: null, last_error: /set FACEBOOK_OBJECT_ID/ }])
  t.match(await served(first, '/accounts/facebook/token.json'), { status: 503 })
  const second = await openAgent(t, { env: { ...settings, FACEBOOK_OBJECT_ID: '1040000017001' } })
  t.match(second.sql('select name, username, state from accounts'), [{ name: 'facebook', username: 'shop.2', state: 'active' }])
})

t.test('a pasted user token replaces a working one only where it leads to the same account', async (t) => {
  const { agent, owner, meta } = await setUp(t)
  await connect(owner, 'shop')
  const [before] = agent.sql<{ token: string }>('select refresh_token as token from accounts')
  const paste = (token: string) => owner.post('/admin/accounts/shop/token', { token })
  const other = meta.issue({ userId: '10220000000000099' })
  t.match((await paste(other)).location ?? (await paste(other)).text, /refused|no longer lists/)
  t.match(agent.sql('select refresh_token as token from accounts'), [before])
  const mine = meta.issue()
  t.match(await paste(mine), { location: /done=/ })
  t.not(agent.sql<{ token: string }>('select refresh_token as token from accounts')[0]?.token, before?.token)
})

t.test('a changed password is noticed, and the sentence says what to do', async (t) => {
  const { agent, owner, meta } = await setUp(t)
  await connect(owner, 'shop')
  meta.end(meta.knobs.signedInAs, 460)
  await owner.post('/admin/accounts/shop/refresh')
  t.match(agent.sql('select last_error from accounts'), [{ last_error: /password of the Facebook account was changed/ }])
})

t.test('the pages have Facebook’s own steps, with the values to copy', async (t) => {
  const { owner } = await setUp(t, {}, { FACEBOOK_APP_ID: '', FACEBOOK_APP_SECRET: '' })
  const setup = await owner.page('/setup')
  for (const words of ['Facebook Login for Business', '/connect/facebook/callback', 'FACEBOOK_STARTING_TOKEN', 'FACEBOOK_APP_ID'])
    t.match(setup, words)
  const admin = await owner.page('/admin')
  for (const words of ['/callbacks/facebook/deauthorize', 'business_management', '<option value="facebook">Facebook']) t.match(admin, words)
})

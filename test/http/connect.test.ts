import t, { type Test } from 'tap'
import type { FaultName } from '../support/instagram-faults.ts'
import {
  approve,
  authorizeUrlIn,
  connect,
  createClient,
  createOwner,
  type OpenAgent,
  type OwnerWorld,
  openAgent,
  PASSWORD,
  served,
  signedRequest,
} from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait-for.ts'

const newest = ({ instagram }: OwnerWorld, life = 'long') => [...instagram.issued.values()].filter((one) => one.life === life).at(-1)

async function changesNothing(t: Test, world: OwnerWorld, before: string | null): Promise<void> {
  t.equal((await served(world.agent)).token, before)
}

function signedCall(agent: OpenAgent, what: string, user_id: string, agoSeconds = 0): Promise<Response> {
  const issued_at = Math.floor(Date.now() / 1000) - agoSeconds
  const body = new URLSearchParams({ signed_request: signedRequest({ algorithm: 'HMAC-SHA256', issued_at, user_id }) })
  return agent.fetch(`/callbacks/instagram/${what}`, { method: 'POST', body })
}

t.test('connecting serves the long-lived token, in each shape of Instagram’s answers', async (t) => {
  for (const knobs of [
    { tokenShape: 'flat', profileShape: 'flat', userIdAs: 'number', permissionsAs: 'list' },
    { tokenShape: 'data', profileShape: 'data', userIdAs: 'string', permissionsAs: 'string', urlencoded: 'refused' },
  ] as const) {
    const world = await createOwner(t, { knobs: { ...knobs, signedInAs: '17841400379535405' } })
    const page = await world.owner.post('/connect/instagram', { account: 'default' })
    const url = new URL(authorizeUrlIn(page))
    t.equal(page.headers.get('refresh'), `0;url=${url.href}`)
    t.match(Object.fromEntries(url.searchParams), {
      client_id: world.instagram.apps[0]?.clientId,
      redirect_uri: world.redirectUri,
      response_type: 'code',
      scope: 'instagram_business_basic',
      state: /^[\w-]{43}[0-9a-f]{32}$/,
    })
    t.match(await world.owner.get(await approve(url.href)), { status: 303, location: '/admin/accounts/default?done=connected' })
    const token = newest(world)?.token ?? ''
    t.match(await served(world.agent), { status: 200, token })
    const account = await world.owner.get('/admin/accounts/default?done=connected')
    t.match(account.text, `${token.slice(0, 6)}… (${token.length} characters)`)
    t.match(account.text, '@<bdi>user.17841400379535405')
    t.notMatch(account.text, token.slice(0, 12))
    const [row] = world.agent.sql<Record<string, string>>('select * from accounts')
    t.match(row, { provider_user_id: '17841400379535405', state: 'active', scopes: 'instagram_business_basic', version: 1 })
    t.ok((row?.['expires_at'] ?? '') > new Date(Date.now() + 59 * 86_400_000).toISOString(), 'its life is known')
    t.notMatch(JSON.stringify(world.agent.sql('select * from accounts')), token)
    t.match(world.agent.sql("select kind, actor from events where account = 'default'"), [{ kind: 'connected', actor: 'owner' }])
  }
})

t.test('the way to Instagram asks for the web site, and for a name only among several accounts', async (t) => {
  const { owner, agent, instagram } = await createOwner(t, { env: { ALLOWED_DOMAINS: '' } })
  const form = async (path = '/connect/instagram') => (await owner.get(path)).text
  const ASKS_NAME = /<input id="account"/
  t.match(await form(), /type="hidden" name="account" value="default".*name="domains"/s)
  t.match(await owner.post('/connect/instagram', { domains: 'shop.example?x' }), {
    status: 400,
    text: /has a query.*value="shop\.example\?x"/s,
  })
  t.strictSame(agent.sql('select name from accounts'), [], 'a wrong list creates nothing')
  t.match(await owner.post('/connect/tiktok', { domains: 'shop.example' }), { status: 404 }, 'nor does a provider without an app')
  t.strictSame(agent.sql('select name from accounts'), [])

  instagram.knobs.consent = 'deny'
  const go = async (form: Record<string, string>) => owner.get(await approve(authorizeUrlIn(await owner.post('/connect/instagram', form))))
  t.match(await go({ domains: 'shop.example' }), { status: 422 })
  t.match(agent.sql('select name, access_token, allowed_domains from accounts'), [
    { name: 'default', access_token: null, allowed_domains: 'https://shop.example' },
  ])
  t.notMatch(await form(), /name="domains"/, 'the site is known by now')
  instagram.knobs.consent = 'approve'
  t.match(await go({}), { location: '/admin/accounts/default?done=connected' })
  t.match(await served(agent), { status: 200 })
  t.notMatch(await form(), ASKS_NAME, 'the only account is meant')
  t.match(await form('/connect/instagram?account=shop'), /name="account" value="shop".*name="domains"/s, 'a link may name a new one')
  await connect(owner, 'shop')
  t.match(await form(), ASKS_NAME)
  t.match(await owner.post('/connect/instagram'), { status: 400, text: /letters a to z/ })
})

t.test('a state is good once, for one browser, for ten minutes', async (t) => {
  const world = await createOwner(t)
  const { owner, agent } = world
  const back = async (client = owner) => approve(authorizeUrlIn(await client.post('/connect/instagram', { account: 'default' })))

  const path = await back()
  const isConnected = { status: 303, location: '/admin/accounts/default?done=connected' }
  t.match(await Promise.all([owner.get(path), owner.get(path)]), [isConnected, isConnected], 'a double click')
  t.match(await owner.get(path), isConnected, 'a reload, or the back button')
  t.equal(world.instagram.counts['/oauth/access_token'], 1, 'connects once')
  const before = (await served(agent)).token

  const forged = new URL(await back(), 'http://agent')
  const code = forged.searchParams.get('code')
  for (const path of [
    `/connect/instagram/callback?code=${code}`,
    `/connect/instagram/callback?code=${code}&state=`,
    `/connect/instagram/callback?code=${code}&state=${'A'.repeat(43)}`,
    `/connect/instagram/callback?code=${code}&state=${'A'.repeat(43)}${'0'.repeat(32)}`,
    `/connect/instagram/callback?state=${forged.searchParams.get('state')}`,
  ]) {
    t.match(await owner.get(path), { status: 422, text: /nothing was changed/i }, path.slice(0, 40))
  }

  const other = createClient(agent)
  await other.signIn(PASSWORD)
  t.match(await other.get(await back()), { status: 422 }, 'of another browser that is signed in')
  t.match(await createClient(agent).get(await back()), { status: 303, location: '/admin/sign-in' }, 'of a stranger')
  t.match(await owner.get((await back()).replace('/instagram/', '/tiktok/')), { status: 404 }, 'of another provider')

  world.agent.sql('alter table oauth_states rename to hidden')
  t.match(
    await owner.get(`/connect/instagram/callback?code=x&state=${'A'.repeat(75)}`),
    { status: 422 },
    'a made-up state is not looked up',
  )
  world.agent.sql('alter table hidden rename to oauth_states')

  const late = await back()
  world.agent.sql("update oauth_states set created_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-601 seconds') returning id")
  t.match(await owner.get(late), { status: 422, text: /more than ten minutes/ })
  await changesNothing(t, world, before)
  const states = world.agent.sql<{ id: string }>('select id, session_id, sealed from oauth_states')
  t.notMatch(JSON.stringify(states), new URL(await back(), 'http://agent').searchParams.get('state') ?? 'none', 'stored hashed')
})

t.test('after any fault a page says what happened and what to do, and the present token stays', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: '17841400379535405' } })
  const { instagram, owner } = world
  await connect(owner)
  const before = (await served(world.agent)).token
  const app = instagram.apps[0] as (typeof instagram.apps)[0]
  const fails = async (name: string, text: RegExp[], status = 422) => {
    const answer = await connect(owner)
    t.equal(answer.status, status, name)
    for (const one of text) t.match(answer.text, one, name)
    t.notMatch(answer.text, /AQ[\w-]{20}|IGAA|a-secret/, 'no code, token or secret in the page')
    await changesNothing(t, world, before)
    instagram.heal()
  }

  for (const denialState of ['with', 'without'] as const) {
    Object.assign(instagram.knobs, { consent: 'deny', denialState })
    await fails(`denied ${denialState} state`, [/request was declined/, /press “Connect Instagram” again/])
  }
  instagram.knobs.consent = 'approve'

  for (const secretErrorShape of ['graph', 'legacy'] as const) {
    instagram.knobs.secretErrorShape = secretErrorShape
    const { clientSecret } = app
    Object.assign(app, { clientSecret: 'another-secret' })
    await fails(`wrong secret, ${secretErrorShape}`, [/does not know this agent’s app ID and secret/, /INSTAGRAM_APP_SECRET/])
    Object.assign(app, { clientSecret })
  }

  const words = 'Error validating verification code. Please make sure your redirect_uri is identical to the one you used'
  const wrongUri = JSON.stringify({ error_type: 'OAuthException', code: 400, error_message: words })
  instagram.fail('/oauth/access_token', { kind: 'answer', status: 400, body: wrongUri }, 1)
  await fails('wrong redirect URI', [/does not accept this agent’s redirect URI/, new RegExp(`<code>${world.redirectUri}</code>`)])

  app.pendingTesters.push('17841400379535405')
  await fails('pending tester', [/tester invitation is pending, or the account is a personal one/, /Tester invites/])
  app.pendingTesters.length = 0

  const user = instagram.users.get('17841400379535405')
  for (const personalAccounts of ['refused', 'allowed'] as const) {
    instagram.knobs.personalAccounts = personalAccounts
    Object.assign(user ?? {}, { accountType: 'Personal' })
    await fails(`personal account, ${personalAccounts}`, [/personal/, /Business or Creator account/])
  }
  Object.assign(user ?? {}, { accountType: 'BUSINESS' })

  const troubles: [string, FaultName][] = [
    ['/oauth/access_token', 'reset'],
    ['/oauth/access_token', 'html502'],
    ['/access_token', 'truncated'],
    ['/access_token', 'empty500'],
    ['/access_token', 'wrongTypes'],
    ['/access_token', 'tooMany'],
    ['/me', 'serviceTrouble'],
    ['/me', 'html200'],
    ['/me', 'tenMegabytes'],
  ]
  for (const [path, fault] of troubles) {
    instagram.fail(path, fault, 1)
    await fails(`${fault} at ${path}`, [/did not answer|rate limit/, /Nothing was changed/], 503)
  }
  for (const [fault, says] of [
    ['permissionMissing', /permission instagram_business_basic/],
    ['invalidToken', /no longer accepts/],
    ['unheardOf', /does not know \(code 7777\)/],
  ] as const) {
    instagram.fail('/me', fault, 1)
    await fails(fault, [says])
  }
  t.notMatch(world.agent.stdout(), /AQ[\w-]{20}|IGAA|a-secret-of|state=/, 'nothing secret in the log')
  t.match(await connect(owner), { status: 303 }, 'the next connect works')
})

t.test('another Instagram user takes an account over only if the owner agrees', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: '17841400000000001' } })
  const { owner, instagram, agent } = world
  await connect(owner)
  const before = (await served(agent)).token

  instagram.knobs.signedInAs = '17841400000000003'
  const asked = await connect(owner)
  t.match(asked, { status: 200, text: /Nothing is changed yet/ })
  t.match(asked.text, '@<bdi>user.17841400000000001')
  t.match(asked.text, '@<bdi>user.17841400000000003')
  await changesNothing(t, world, before)
  const answer = /name="answer" value="([^"]+)"/.exec(asked.text)?.[1] ?? ''
  t.notMatch(asked.text + JSON.stringify(world.agent.sql('select * from oauth_states')), newest(world)?.token.slice(0, 12) ?? '')

  const stranger = createClient(agent)
  t.match(await owner.get(`/connect/instagram/callback?code=x&state=${answer}`), { text: /Nothing is changed yet/ }, 'a reload asks again')
  const state = new URL(authorizeUrlIn(await owner.post('/connect/instagram', { account: 'default' }))).searchParams.get('state') ?? ''
  t.match(
    await owner.post('/connect/instagram/confirm', { answer: state }),
    { status: 422, text: /answered already/ },
    'nor a state an answer',
  )
  const again = /name="answer" value="([^"]+)"/.exec((await connect(owner)).text)?.[1] ?? ''
  const token = newest(world)?.token
  t.match(await stranger.post('/connect/instagram/confirm', { answer: again }), { status: 303, location: '/admin/sign-in' })
  t.match(await owner.post('/connect/instagram/confirm', { answer: again }, { 'sec-fetch-site': 'cross-site' }), { status: 403 })
  await changesNothing(t, world, before)
  const yes = () => owner.post('/connect/instagram/confirm', { answer: again })
  const isConnected = { status: 303, location: '/admin/accounts/default?done=connected' }
  t.match(await Promise.all([yes(), yes()]), [isConnected, isConnected], 'a double click')
  t.equal((await served(agent)).token, token)
  t.match(await yes(), isConnected)
  t.match(await owner.get(`/connect/instagram/callback?code=x&state=${again}`), isConnected, 'nor does the back button ask again')
  t.match(world.agent.sql("select version from accounts where name = 'default'"), [{ version: 2 }], 'it was taken once')

  t.match(await connect(owner), { status: 303 }, 'the same user needs no question')
})

t.test('an answer is refused if the account has changed since the question', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: '17841400000000001' } })
  const { owner, instagram } = world
  await connect(owner)
  instagram.knobs.signedInAs = '17841400000000003'
  const answer = /name="answer" value="([^"]+)"/.exec((await connect(owner)).text)?.[1] ?? ''
  instagram.knobs.signedInAs = '17841400000000001'
  await connect(owner)
  const before = (await served(world.agent)).token
  t.match(await owner.post('/connect/instagram/confirm', { answer }), { status: 422, text: /changed since you were asked/ })
  await changesNothing(t, world, before)
})

t.test('a callback fetched ahead, or not by a navigation, does not use up the state', async (t) => {
  const { owner, instagram } = await createOwner(t)
  const path = await approve(authorizeUrlIn(await owner.post('/connect/instagram', { account: 'default' })))
  for (const headers of [
    { 'sec-purpose': 'prefetch' },
    { 'sec-purpose': 'prefetch;prerender' },
    { 'sec-purpose': 'prefetch;anonymous-client-ip' },
    { purpose: 'prefetch' },
    { 'x-purpose': 'preview' },
    { 'x-moz': 'prefetch' },
    { 'sec-fetch-dest': 'empty' },
    { 'sec-fetch-dest': 'iframe' },
    { 'sec-fetch-dest': 'image' },
  ])
    t.match(await owner.get(path, headers), { status: 503 }, JSON.stringify(headers))
  t.match(await owner.head(path), { status: 503 })
  t.equal(instagram.counts['/oauth/access_token'], undefined)
  t.match(await owner.get(path, { 'sec-fetch-dest': 'document' }), { status: 303, location: /done=connected/ })
})

t.test('a second callback gets the result of the first', async (t) => {
  const world = await createOwner(t)
  const { owner, instagram } = world
  const back = async () => approve(authorizeUrlIn(await owner.post('/connect/instagram', { account: 'default' })))
  const failed = await back()
  instagram.fail('/oauth/access_token', 'html502', 1)
  t.match(await owner.get(failed), { status: 503, text: /did not answer/ })
  t.match(await owner.get(failed), { status: 422, text: /was used already.*nothing was changed/s })
  t.comment('at work on another instance, or died at it')
  const used = await back()
  const usedAgo = (seconds: number) =>
    world.agent.sql(
      `update oauth_states set sealed = '', used_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-${seconds} seconds') returning id`,
    )
  usedAgo(1)
  t.match(await owner.get(used), { status: 503, text: /not connected yet.*Reload this page/s })
  usedAgo(120)
  t.match(await owner.get(used), { status: 422, text: /not connected yet.*Press “Connect Instagram” again/s })
  t.match(world.agent.sql('select name from accounts'), [])
})

t.test('a waiting grant is erased by the owner’s “No” and by its user’s calls only', async (t) => {
  const [present, other] = ['17841400000000001', '17841400000000003']
  const world = await createOwner(t, { knobs: { signedInAs: present } })
  const { owner, instagram, agent } = world
  await connect(owner)
  const before = (await served(agent)).token
  await owner.post('/admin/accounts', { name: 'other', provider: 'instagram' })
  instagram.knobs.signedInAs = other
  const ask = async () => /name="answer" value="([^"]+)"/.exec((await connect(owner)).text)?.[1] ?? ''
  const held = () => world.agent.sql("select id from oauth_states where provider = 'instagram waits' and sealed <> ''").length
  const call = (what: string, id: string, agoSeconds: number) => signedCall(agent, what, id, agoSeconds)
  const ends: [string, (answer: string) => Promise<{ status: number }>, number][] = [
    ['another user’s deletion', () => call('delete', '17841400000000009', 0), 1],
    ['a deletion from before the grant', () => call('delete', other, 120), 1],
    ['a stranger’s “No”', (answer) => createClient(agent).post('/connect/instagram/decline', { answer }), 1],
    ['the deletion', () => call('delete', other, 1), 0],
    ['the deletion, by the app’s id of the user', () => call('delete', instagram.users.get(other)?.appScopedId ?? '', 2), 0],
    ['the permission taken back', () => call('deauthorize', other, 3), 0],
    ['“No”', (answer) => owner.post('/connect/instagram/decline', { answer }), 0],
    ['the removal of another account', () => owner.post('/admin/accounts/other/remove', { name: 'other' }), 1],
  ]
  for (const [name, end, left] of ends) {
    const answer = await ask()
    t.equal(held(), 1, name)
    t.match(await end(answer), { status: /^(200|303)$/ as unknown as number }, name)
    t.equal(held(), left, name)
    if (left === 0) t.match(await owner.post('/connect/instagram/confirm', { answer }), { status: 422 }, name)
    else await owner.post('/connect/instagram/decline', { answer })
    await changesNothing(t, world, before)
  }
  t.match(await owner.post('/connect/instagram/decline', { answer: await ask() }), { location: '/admin/accounts/default?done=declined' })
  await ask()
  await owner.post('/admin/accounts/default/remove', { name: 'default' })
  t.equal(held(), 0, 'the removal of the account')
})

t.test('a grant is void whose user takes it back between the exchange and the commit', async (t) => {
  const [present, other] = ['17841400000000001', '17841400000000003']
  for (const [what, user, isConnected] of [
    ['delete', present, false],
    ['deauthorize', present, false],
    ['delete', other, true],
  ] as const) {
    const world = await createOwner(t, { knobs: { signedInAs: present } })
    const { owner, instagram, agent } = world
    if (isConnected) await connect(owner)
    const { token: before } = await served(agent)
    instagram.knobs.signedInAs = user
    const callback = await approve(authorizeUrlIn(await owner.post('/connect/instagram', { account: 'default' })))
    const asked = instagram.counts['/me'] ?? 0
    instagram.fail('/me', { kind: 'slowAnswer', ms: 900 }, 1)
    const coming = owner.get(callback)
    await waitFor('the exchange', () => (instagram.counts['/me'] ?? 0) > asked)
    const id = instagram.users.get(user)?.appScopedId ?? ''
    t.equal((await signedCall(agent, what, id)).status, 200)
    t.match(await coming, { status: 422, text: /took the permission back/ }, what)
    await changesNothing(t, world, before)
    t.strictSame(agent.sql("select id from oauth_states where sealed <> ''"), [], `${what}: nothing of it waits`)
    t.match(await connect(owner), isConnected ? { text: /name="answer"/ } : { location: /done=connected/ }, 'a later permission counts')
  }
})

t.test('no address of the owner’s pages redirects to another site', async (t) => {
  const { owner } = await createOwner(t)
  for (const path of [
    '/admin/sign-in?next=https://evil.example',
    '/admin/sign-in?return_to=//evil.example',
    '/connect/instagram?redirect_uri=https://evil.example&account=default',
    '/connect/https:%2F%2Fevil.example',
    '/connect/instagram?account=%22%3E%3Cscript%3Ealert(1)%3C/script%3E',
  ]) {
    const answer = await owner.get(path)
    t.notMatch(answer.location ?? '', 'evil', path)
    t.notMatch(answer.text, /(href|action|src|content)="[^"]*evil|<script(?! src="\/)/, path)
  }
  t.match(await owner.post('/connect/instagram', { account: '../evil', redirect_uri: 'https://evil.example' }), { status: 400 })
})

t.test('signed in on one instance, back from Instagram on another', { skip: missing('postgres') }, async (t) => {
  const { url } = await createDatabase(t)
  const env = { DATABASE_URL: url, ENCRYPTION_KEY: 'k'.repeat(32) }
  const world = await createOwner(t, { env })
  const second = await openAgent(t, { instagram: world.instagram, env })
  const there = createClient(second, new Map(world.owner.cookies))
  const path = await approve(authorizeUrlIn(await world.owner.post('/connect/instagram', { account: 'default' })))
  const both = await Promise.all([there.get(path), world.owner.get(path)])
  t.match(both.map(({ status }) => status).sort(), [303, /^(303|503)$/], 'on both at once')
  t.equal(world.instagram.counts['/oauth/access_token'], 1)
  for (const client of [there, world.owner]) t.match(await client.get(path), { status: 303, location: /done=connected/ })
  const { token } = await served(second)
  t.equal(token, newest(world)?.token)
  t.equal((await served(world.agent)).token, token)
})

t.test('without an app’s credentials the page says what to set up, with this agent’s own addresses', async (t) => {
  const world = await createOwner(t, { env: { INSTAGRAM_APP_ID: '', INSTAGRAM_APP_SECRET: '' } })
  const { text } = await world.owner.get('/admin')
  for (const value of [
    world.redirectUri,
    `${world.agent.url}/callbacks/instagram/deauthorize`,
    `${world.agent.url}/callbacks/instagram/delete`,
  ])
    t.match(text, `<code>${value}</code>`.replace('<code>', '').replace('</code>', ''))
  t.match(text, 'INSTAGRAM_APP_SECRET')
  t.match(await world.owner.get('/connect/instagram'), { status: 200, text: /cannot be connected yet/ })
  t.match(await world.owner.post('/connect/instagram', { account: 'default' }), { status: 404 })
})

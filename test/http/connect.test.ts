import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { startAgent } from '../support/agent.ts'
import type { FaultName } from '../support/instagram-faults.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { createClient } from './owner-client.ts'
import { approve, authorizeUrlIn, connect, createOwnerWorld, type OwnerWorld, PASSWORD, served, settingsFor } from './owner-world.ts'

const newest = ({ instagram }: OwnerWorld, life = 'long') => [...instagram.issued.values()].filter((one) => one.life === life).at(-1)

function query<Row>({ agent }: OwnerWorld, sql: string): Row[] {
  const db = new DatabaseSync(`${agent.cwd}/data/token-agent.sqlite`)
  try {
    return db.prepare(sql).all() as Row[]
  } finally {
    db.close()
  }
}

async function changesNothing(t: Test, world: OwnerWorld, before: string | null): Promise<void> {
  t.equal((await served(world.agent)).token, before)
}

t.test('connecting ends with the long-lived token served, whichever way Instagram writes its answers', async (t) => {
  for (const knobs of [
    { tokenShape: 'flat', profileShape: 'flat', userIdAs: 'number', permissionsAs: 'list' },
    { tokenShape: 'data', profileShape: 'data', userIdAs: 'string', permissionsAs: 'string', urlencoded: 'refused' },
  ] as const) {
    const world = await createOwnerWorld(t, { knobs: { ...knobs, signedInAs: '17841400379535405' } })
    const page = await world.owner.post('/connect/instagram', { account: 'default' })
    const url = new URL(authorizeUrlIn(page))
    t.equal(page.headers.get('refresh'), `0;url=${url.href}`)
    t.match(Object.fromEntries(url.searchParams), {
      client_id: world.instagram.apps[0]?.clientId,
      redirect_uri: world.redirectUri,
      response_type: 'code',
      scope: 'instagram_business_basic',
      state: /^[\w-]{43}$/,
    })
    t.match(await world.owner.get(await approve(url.href)), { status: 303, location: '/admin/accounts/default?done=connected' })
    const token = newest(world)?.token ?? ''
    t.match(await served(world.agent), { status: 200, token })
    const account = await world.owner.get('/admin/accounts/default?done=connected')
    t.match(account.text, `${token.slice(0, 6)}… (${token.length} characters)`)
    t.match(account.text, '@<bdi>user.17841400379535405')
    t.notMatch(account.text, token.slice(0, 12))
    const [row] = query<Record<string, string>>(world, 'select * from accounts')
    t.match(row, { provider_user_id: '17841400379535405', state: 'active', scopes: 'instagram_business_basic', version: 1 })
    t.ok((row?.['expires_at'] ?? '') > new Date(Date.now() + 59 * 86_400_000).toISOString(), 'its life is known')
    t.notMatch(JSON.stringify(query(world, 'select * from accounts')), token)
    t.match(query(world, "select kind, actor from events where account = 'default'"), [{ kind: 'connected', actor: 'owner' }])
  }
})

t.test('a state is good once, for one browser, for ten minutes', async (t) => {
  const world = await createOwnerWorld(t)
  const { owner, agent } = world
  const back = async (client = owner) => approve(authorizeUrlIn(await client.post('/connect/instagram', { account: 'default' })))

  const path = await back()
  const [one, two] = await Promise.all([owner.get(path), owner.get(path)])
  t.strictSame([one.status, two.status].sort(), [303, 422], 'a double click connects once')
  t.match(await owner.get(path), { status: 422, text: /does not belong to a request of yours/ }, 'replayed')
  const before = (await served(agent)).token

  const forged = new URL(await back(), 'http://agent')
  const code = forged.searchParams.get('code')
  for (const path of [
    `/connect/instagram/callback?code=${code}`,
    `/connect/instagram/callback?code=${code}&state=`,
    `/connect/instagram/callback?code=${code}&state=${'A'.repeat(43)}`,
    `/connect/instagram/callback?state=${forged.searchParams.get('state')}`,
  ]) {
    t.match(await owner.get(path), { status: 422, text: /nothing was changed/i }, path.slice(0, 40))
  }

  const other = createClient(agent.url)
  await other.signIn(PASSWORD)
  t.match(await other.get(await back()), { status: 422 }, 'of another browser that is signed in')
  t.match(await createClient(agent.url).get(await back()), { status: 303, location: '/admin/sign-in' }, 'of nobody')
  t.match(await owner.get((await back()).replace('/instagram/', '/tiktok/')), { status: 404 }, 'of another provider')

  const late = await back()
  query(world, "update oauth_states set created_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-601 seconds') returning id")
  t.match(await owner.get(late), { status: 422, text: /more than ten minutes/ })
  await changesNothing(t, world, before)
  const states = query<{ id: string }>(world, 'select id, session_id, sealed from oauth_states')
  t.notMatch(JSON.stringify(states), new URL(await back(), 'http://agent').searchParams.get('state') ?? 'none', 'stored hashed')
})

t.test('whatever goes wrong on the way, a page says what happened and what to do, and the token in hand stays', async (t) => {
  const world = await createOwnerWorld(t, { knobs: { signedInAs: '17841400379535405' } })
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
  t.notMatch(world.agent.stdout() + world.agent.stderr(), /AQ[\w-]{20}|IGAA|a-secret-of|state=/, 'nothing secret in the log')
  t.match(await connect(owner), { status: 303 }, 'and all is well again')
})

t.test('another Instagram user takes an account over only when the owner says so', async (t) => {
  const world = await createOwnerWorld(t, { knobs: { signedInAs: '17841400000000001' } })
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
  t.notMatch(asked.text + JSON.stringify(query(world, 'select * from oauth_states')), newest(world)?.token.slice(0, 12) ?? '')

  const stranger = createClient(agent.url)
  t.match(
    await owner.get(`/connect/instagram/callback?code=x&state=${answer}`),
    { text: /does not belong to a request of yours/ },
    'an answer is no state',
  )
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
  t.match(await owner.post('/connect/instagram/confirm', { answer: again }), { status: 303 })
  t.equal((await served(agent)).token, token)
  t.match(await owner.post('/connect/instagram/confirm', { answer: again }), { status: 422 }, 'once')

  t.match(await connect(owner), { status: 303 }, 'the same user again is not asked about')
})

t.test('an answer to the question comes too late where the account has changed since', async (t) => {
  const world = await createOwnerWorld(t, { knobs: { signedInAs: '17841400000000001' } })
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

t.test('no page of the owner’s can be sent elsewhere by its address', async (t) => {
  const { owner } = await createOwnerWorld(t)
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
  const world = await createOwnerWorld(t, { env })
  const second = await startAgent(t, { ready: '/readyz', env: { ...settingsFor(world.instagram), ...env, APP_URL: world.agent.url } })
  const there = createClient(second.url)
  for (const [name, value] of world.owner.cookies) there.cookies.set(name, value)
  const path = await approve(authorizeUrlIn(await world.owner.post('/connect/instagram', { account: 'default' })))
  t.match(await there.get(path), { status: 303 })
  const { token } = await served(second)
  t.equal(token, newest(world)?.token)
  t.equal((await served(world.agent)).token, token)
})

t.test('without an app’s credentials the page says what to set up, with this agent’s own addresses', async (t) => {
  const world = await createOwnerWorld(t, { env: { INSTAGRAM_APP_ID: '', INSTAGRAM_APP_SECRET: '' } })
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

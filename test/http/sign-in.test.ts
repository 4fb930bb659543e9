import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startAgent } from '../support/agent.ts'
import { oldRelease } from '../support/old-release.ts'
import { type Client, createClient, type Fetching, openAgent } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { tempFolder } from '../support/temp-folder.ts'

const PASSWORD = 'schön & lang, 8 Wörter'
const KEY = 'k'.repeat(32)
// Most of it waits for the draw, which looks at one sign-in every 250 ms.
t.jobs = 4
const ONE_TIME = /use this password: ([\w-]{20})/

const open = (t: Test, env: Record<string, string> = {}, cwd = tempFolder(t)) =>
  openAgent(t, { cwd, env: { ADMIN_PASSWORD: PASSWORD, ...env } })
const openWithout = (t: Test, cwd = tempFolder(t)) => open(t, { ADMIN_PASSWORD: '' }, cwd)

t.test('only the right password signs in and shows the owner’s pages', async (t) => {
  const agent = await open(t)
  const client = createClient(agent)
  t.match(await client.get('/admin'), { status: 303, location: '/admin/sign-in' })
  t.match(await client.get('/admin/sign-in'), { status: 200, text: /type="password"/ })
  t.match(await client.signIn('wrong password'), { status: 403, text: /not the password/ })
  t.equal(client.cookies.size, 0)
  const answer = await client.signIn(`  ${PASSWORD.normalize('NFD')} `)
  t.match(answer, { status: 303, location: '/admin' }, 'in either form of its accents')
  for (const line of answer.headers.getSetCookie())
    t.match(line, /^token-agent-(session|device)=[^;]{43,}; (Max-Age=34560000; )?Path=\/; HttpOnly; SameSite=Lax$/)
  t.match(await client.get('/admin'), { status: 200, text: /Sign out/ })
  t.match(await client.get('/admin/sign-in'), { status: 303, location: '/admin' })
  t.notMatch(agent.stdout(), PASSWORD)
})

t.test('a sign-in leads back to the page that was asked for, and nowhere else', async (t) => {
  const instagram = { INSTAGRAM_APP_ID: '1234567890', INSTAGRAM_APP_SECRET: 'a-secret-of-an-app-of-Instagram' }
  const agent = await openAgent(t, { env: { ADMIN_PASSWORD: PASSWORD, ...instagram }, accounts: [{ name: 'shop' }] })
  const way = async (path: string, { method = 'get' as 'get' | 'post' } = {}) => {
    const client = createClient(agent)
    const { location = '', text } = await client[method](path)
    const link = location || (/href="(\/admin\/sign-in[^"]*)"/.exec(text)?.[1] ?? '')
    const form = (await client.get(link)).text
    const page = /name="page" value="([^"]+)"/.exec(form)?.[1]
    const wrong = await client.post('/admin/sign-in', { password: 'wrong password', ...(page && { page }) })
    t.equal(/name="page" value="([^"]+)"/.exec(wrong.text)?.[1], page, `${path}: kept after a typing mistake`)
    const { location: back } = await client.post('/admin/sign-in', { password: PASSWORD, ...(page && { page }) })
    t.equal((await client.get(link)).location, back, 'a second look at the sign-in leads there too')
    return { link, back }
  }
  for (const path of ['/setup', '/status', '/admin/history', '/admin/accounts/shop', '/admin/accounts/shop/history', '/connect/instagram'])
    t.equal((await way(path)).back, path)
  t.equal((await way('/admin/accounts/shop/refresh', { method: 'post' })).back, '/admin/accounts/shop', 'a form leads back to its account')
  for (const path of ['/', '/admin', '/connect/instagram/callback?code=canary&state=canary', '/admin/accounts/%2f%2fevil.example'])
    t.match(await way(path), { link: /^\/admin\/sign-in$/, back: '/admin' }, path)
  const { link } = await way('/admin/accounts/shop')
  const mark = new URL(link, 'http://x').searchParams.get('page') ?? ''
  const evil = [
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    '/admin/accounts/shop',
    '%2f%2fevil.example',
    'account.shop.',
    '',
  ]
  const names = ['//evil.example', '..', '../../connect/instagram/callback', 'shop?x', 'shop/revoke', 'Shop', 'shop\r\nset-cookie: a=b']
  const forged = [
    ...evil,
    ...names.map((name) => mark.replace('shop', name)),
    mark.slice(0, -1),
    `${mark}x`,
    mark.replace('account', 'connect'),
  ]
  for (const page of forged) {
    const query = new URLSearchParams({ page })
    t.notMatch((await createClient(agent).get(`/admin/sign-in?${query}`)).text, /name="page"/, page)
    t.match(await createClient(agent).post('/admin/sign-in', { password: PASSWORD, page }), { status: 303, location: /^\/admin$/ }, page)
  }
  const ended = await createClient(agent, new Map([['token-agent-session', 'c'.repeat(43)]])).get(
    '/connect/instagram/callback?code=canary&state=canary',
  )
  t.match(ended, { status: 303, location: '/admin/sign-in', text: '' }, 'a session that ended at the provider')
  t.notMatch(JSON.stringify([...ended.headers]) + agent.stdout(), 'canary', 'leaves no code in a cookie, an address or the log')
})

t.test('on https, cookies are bound to the host and to TLS', async (t) => {
  const agent = await open(t, { APP_URL: 'https://agent.example' })
  const answer = await createClient(agent).signIn(PASSWORD)
  t.equal(answer.headers.getSetCookie().length, 2)
  for (const line of answer.headers.getSetCookie()) {
    t.match(line, /^__Host-token-agent-/)
    t.match(line, /; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
    t.notMatch(line, /Domain/i)
  }
})

t.test('sign-in creates a new session, even if the browser sends one', async (t) => {
  const agent = await open(t)
  const [attacker, victim] = [createClient(agent), createClient(agent)]
  victim.cookies.set('token-agent-session', 'planted-by-attacker')
  attacker.cookies.set('token-agent-session', 'planted-by-attacker')
  await victim.signIn(PASSWORD)
  t.not(victim.cookies.get('token-agent-session'), 'planted-by-attacker')
  t.match(await attacker.get('/admin'), { status: 303 })
  const first = victim.cookies.get('token-agent-session')
  await victim.signIn(PASSWORD)
  t.not(victim.cookies.get('token-agent-session'), first)
})

t.test('sign-out ends this session, and sign-out everywhere all of them', async (t) => {
  const agent = await open(t)
  const [one, two, three] = [createClient(agent), createClient(agent), createClient(agent)]
  for (const client of [one, two, three]) await client.signIn(PASSWORD)
  const kept = new Map(one.cookies)
  t.match(await one.post('/admin/sign-out'), { status: 303, location: '/admin/sign-in' })
  t.notOk(one.cookies.has('token-agent-session'))
  for (const [name, value] of kept) one.cookies.set(name, value)
  t.match(await one.get('/admin'), { status: 303 }, 'a copy of the cookie ends too')
  t.match(await two.get('/admin'), { status: 200 })
  await two.post('/admin/sign-out-everywhere')
  t.match(await three.get('/admin'), { status: 303 })
})

t.test('a form that another site sends changes nothing', async (t) => {
  const agent = await open(t)
  const client = createClient(agent)
  await client.signIn(PASSWORD)
  const foreign: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin: agent.url },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    {},
  ]
  for (const headers of foreign) {
    const refused = await client.post('/admin/sign-out-everywhere', {}, headers)
    t.match(refused, { status: 403 }, JSON.stringify(headers))
    t.match(await createClient(agent).post('/admin/sign-in', { password: PASSWORD }, headers), { status: 403 })
  }
  t.match(await client.get('/admin'), { status: 200 })
  t.match(await client.get('/admin/sign-out'), { status: 404 }, 'nothing changes by a GET')
  t.match(await client.post('/admin/sign-out', {}, { origin: agent.url }), { status: 303 }, 'an old browser')
})

t.test('no site can frame the pages, and they send no referrer to other sites', async (t) => {
  const agent = await open(t)
  const { headers } = await createClient(agent).get('/admin/sign-in')
  t.match(headers.get('content-security-policy'), /default-src 'none'.*form-action 'self'.*frame-ancestors 'none'/)
  t.equal(headers.get('referrer-policy'), 'same-origin')
  t.equal(headers.get('cache-control'), 'no-store')
  t.equal(headers.get('x-frame-options'), 'SAMEORIGIN')
})

t.test('without a password the log has a one-time password', async (t) => {
  const first = await openWithout(t)
  const password = ONE_TIME.exec(first.stdout())?.[1] ?? ''
  const client = createClient(first)
  t.match(await client.get('/admin/sign-in'), { text: /log has a one-time password/ })
  t.match(await client.signIn('let me in please'), { status: 403 })
  const claims = await Promise.all([1, 2, 3].map(() => createClient(first).signIn(password)))
  t.strictSame(claims.map(({ status }) => status).sort(), [303, 403, 403], 'once, even for three at the same moment')
  t.match(await client.get('/admin/sign-in'), { text: /has been used.*href="\/setup#on-\w+">Where that is kept/s })
  const setup = await client.get('/setup')
  t.match(setup.text, /one-time password of this start has been used.*ADMIN_PASSWORD/s)
  t.notMatch(setup.text, /log has a one-time password/, 'a used password is not offered')
  await first.close()
  t.match(await createClient(await openWithout(t, first.cwd)).signIn(password), { status: 403 }, 'only until the next start')
})

t.test('a session begun with a one-time password lasts until a password is set', async (t) => {
  const first = await openWithout(t)
  const { cwd } = first
  const client = createClient(first)
  t.match(await client.signIn(ONE_TIME.exec(first.stdout())?.[1] ?? ''), { status: 303 })
  await first.close()
  const second = await openWithout(t, cwd)
  t.match(await createClient(second, client.cookies).get('/admin'), { status: 200 })
  await second.close()
  const third = await open(t, {}, cwd)
  t.notMatch(third.stdout(), ONE_TIME)
  const there = createClient(third, client.cookies)
  t.match(await there.get('/admin'), { status: 303 })
  await there.signIn(PASSWORD)
  t.match(await there.get('/admin'), { status: 200 })
  await third.close()
  const fourth = createClient(await open(t, { ADMIN_PASSWORD: 'another password' }, cwd), client.cookies)
  t.match(await fourth.get('/admin'), { status: 303 }, 'a new password ends the sessions of the old one')
})

t.test('with Postgres and without a password sign-in is off', { skip: missing('postgres') }, async (t) => {
  const { url } = await createDatabase(t)
  const agent = await open(t, { ADMIN_PASSWORD: '', DATABASE_URL: url, ENCRYPTION_KEY: KEY })
  t.notMatch(agent.stdout(), ONE_TIME)
  const client = createClient(agent)
  t.match(await client.get('/admin/sign-in'), { text: /ADMIN_PASSWORD/ })
  for (const password of ['', 'undefined', 'null', 'one-time password']) t.match(await client.signIn(password), { status: 403 })
  t.match(await client.get('/admin'), { status: 303 })
})

t.test(
  'a session is valid on every instance, and of 30 guesses a second at all of them four are checked',
  // Alone: others would slow the guesses down.
  { skip: missing('postgres'), buffered: false },
  async (t) => {
    const { url, query } = await createDatabase(t)
    const env = { DATABASE_URL: url, ENCRYPTION_KEY: KEY }
    const start = () => startAgent(t, { ready: '/readyz', env: { ADMIN_PASSWORD: PASSWORD, ...env } })
    const agents = [await start(), ...(await Promise.all(Array.from({ length: 7 }, start)))] as const
    const [one, two = one] = agents
    const owner = createClient(one)
    await owner.signIn(PASSWORD)
    t.match(await createClient(two, owner.cookies).get('/admin'), { status: 200 })

    const statuses: number[] = []
    const [startedMs, untilMs] = [performance.now(), performance.now() + 4_000]
    const guesses: Promise<void>[] = []
    const guess = async (agent: Fetching, password: string): Promise<void> => {
      const { status } = await createClient(agent).post('/admin/sign-in', { password })
      statuses.push(status)
    }
    const attack = async (): Promise<void> => {
      for (let n = 0; performance.now() < untilMs || n <= 60; n++) {
        guesses.push(guess(agents[n % agents.length] ?? one, `guess number ${n}`))
        await sleep(1000 / 30)
      }
    }
    const inAfter = async (client: Client): Promise<number> => {
      const askedMs = performance.now()
      t.match(await client.signIn(PASSWORD), { status: 303 })
      return performance.now() - askedMs
    }
    const attacking = attack()
    await sleep(500)
    owner.cookies.delete('token-agent-session')
    const known = await inAfter(owner)
    const inNewBrowser = await inAfter(createClient(two))
    await attacking
    await Promise.all(guesses)
    const seconds = (performance.now() - startedMs) / 1000
    const looked = statuses.filter((status) => status === 403).length
    t.comment(
      `${statuses.length} guesses in ${seconds.toFixed(1)} s, ${looked} looked at; in after ${known.toFixed()} ms (known), ${inNewBrowser.toFixed()} ms (new)`,
    )
    t.equal(statuses.filter((status) => status === 429).length, statuses.length - looked)
    t.ok(statuses.length > 60 && looked + 1 <= 4 * seconds + 1, `${looked} of ${statuses.length} were checked in ${seconds} s`)
    t.ok(inNewBrowser < 45_000, `the owner waited ${inNewBrowser} ms in a new browser`)
    const failures = await query<{ n: number }>("select count(*)::int as n from events where kind = 'sign_in_failed' and account is null")
    t.equal(failures[0]?.n, looked, 'each is an event')
  },
)

t.test('a known browser ends with “Sign out everywhere” and with a new password', async (t) => {
  const first = await open(t)
  const client = createClient(first)
  const comesAs = async (client: Client, password = PASSWORD): Promise<string> => {
    await client.signIn(password)
    return /From a (known browser|browser that was not signed in before)/.exec((await client.get('/admin/history')).text)?.[1] ?? ''
  }
  t.equal(await comesAs(client), 'browser that was not signed in before')
  t.equal(await comesAs(client), 'known browser')
  const kept = client.cookies.get('token-agent-device') ?? ''
  await client.post('/admin/sign-out')
  t.equal(await comesAs(client), 'known browser', 'signing out in one browser does not end it')
  await client.post('/admin/sign-out-everywhere')
  t.notOk(client.cookies.has('token-agent-device'))
  client.cookies.set('token-agent-device', kept)
  t.equal(await comesAs(client), 'browser that was not signed in before', 'a copy of the cookie has ended too')
  await first.close()
  const second = await open(t, { ADMIN_PASSWORD: 'another password' }, first.cwd)
  t.equal(await comesAs(createClient(second, client.cookies), 'another password'), 'browser that was not signed in before')
})

t.test('a browser without script waits with a button, and types its password once', async (t) => {
  const agent = await open(t)
  const form = { password: PASSWORD }
  const clients = Array.from({ length: 4 }, () => createClient(agent))
  const answers = await Promise.all(clients.map((client) => client.post('/admin/sign-in', form)))
  t.strictSame(answers.map(({ status }) => status).sort(), [303, 429, 429, 429])
  const turnedAway = answers.findIndex(({ status }) => status === 429)
  const [client, answer] = [clients[turnedAway] as (typeof clients)[0], answers[turnedAway] as (typeof answers)[0]]
  t.equal(answer.headers.get('retry-after'), '1')
  t.match(answer.text, /You are not locked out.*<button[^>]*>Try again</s)
  t.notMatch(answer.text + answer.headers.getSetCookie().join(), PASSWORD.slice(0, 5))
  t.match(answer.headers.getSetCookie(), [/^token-agent-ticket=[^;]{43,}; Max-Age=5; Path=\/; HttpOnly; SameSite=Lax$/])
  const again = /name="again" value="([^"]+)"/.exec(answer.text)?.[1] ?? ''
  // A ticket is good from 900 ms on.
  await sleep(950)
  t.match(await client.post('/admin/sign-in', { again }), { status: 303, location: '/admin' })
  t.notOk(client.cookies.has('token-agent-ticket'))
  for (const made of ['', 'v1.x.y.z', `${again}x`, client.cookies.get('token-agent-device') ?? ''])
    t.match(await createClient(agent).post('/admin/sign-in', { again: made }), { status: 400, text: /Type the password again/ })
})

t.test('while the database does not answer, sign-in says so and does not blame the password', { skip: missing('postgres') }, async (t) => {
  const { url } = await createDatabase(t)
  const proxy = await startTcpProxy(t, { port: Number(new URL(url).port || 5432), host: new URL(url).hostname })
  const agent = await open(t, { DATABASE_URL: proxy.through(url), ENCRYPTION_KEY: KEY })
  const client = createClient(agent)
  proxy.reset()
  const answer = await client.signIn(PASSWORD)
  t.match(answer, { status: 503, text: /database does not answer.*Your password is not the reason.*type="password"/s })
  t.equal(answer.headers.get('retry-after'), '5')
  proxy.pass()
  t.match(await client.signIn(PASSWORD), { status: 303 })
})

t.test('/status shows the owner that the password is being guessed', async (t) => {
  const agent = await open(t)
  const owner = createClient(agent)
  await createClient(agent).signIn('a wrong one')
  await owner.signIn(PASSWORD)
  const words = /wrong passwords were given at the sign-in since/
  t.notMatch((await owner.get('/status')).text, words)
  agent.sql("update sign_in_attempts set failures = 1000 where source = 'wrong passwords'")
  t.match((await owner.get('/status')).text, /1,000 wrong passwords were given at the sign-in since/)
  t.notMatch((await createClient(agent).get('/status')).text, words)
})

t.test('beside the previous release each accepts the other’s sessions', { skip: missing('postgres') }, async (t) => {
  const { url } = await createDatabase(t)
  const env = { DATABASE_URL: url, ENCRYPTION_KEY: KEY }
  const { cli } = oldRelease(t)
  const before = await startAgent(t, { ready: '/readyz', cli, env: { ADMIN_PASSWORD: PASSWORD, ...env } })
  const now = await open(t, env)
  for (const [one, other] of [
    [before, now],
    [now, before],
  ] as const) {
    const client = createClient(one)
    await client.signIn(PASSWORD)
    const there = createClient(other, new Map(client.cookies))
    t.match(await there.get('/admin'), { status: 200 })
    t.match(await there.signIn(PASSWORD), { status: 303 }, 'and its device cookie does no harm')
    await there.post('/admin/sign-out-everywhere')
    t.match(await client.get('/admin'), { status: 303 })
  }
})

t.test('no credential is stored in plain text', async (t) => {
  const agent = await open(t)
  const client = createClient(agent)
  await client.signIn(PASSWORD)
  const dump = JSON.stringify(
    ['sessions', 'oauth_states', 'sign_in_attempts', 'events'].map((table) => agent.sql(`select * from ${table}`)),
  )
  t.match(dump, /signed_in/)
  for (const held of [...client.cookies.values(), PASSWORD]) t.notOk(dump.includes(decodeURIComponent(held)))
})

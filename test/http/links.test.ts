import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../support/agent.ts'
import { startFacebook } from '../support/facebook.ts'
import { startThreads } from '../support/instagram.ts'
import {
  type AgentOptions,
  approve,
  authorizeUrlIn,
  type Client,
  connect,
  createClient,
  createOwner,
  facebookSettings,
  type OpenAgent,
  type OwnerWorld,
  SERVER_KEY,
  served,
  signedRequest,
  threadsSettings,
} from '../support/owner.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

const [ANA, BEN] = ['17841400000000001', '17841400000000003']
const NAME_OF_ANA = `user.${ANA}`

/** An agent with an account without a token, and a client at Instagram as Ana. */
async function setUp(t: Test, options: AgentOptions = {}) {
  const world = await createOwner(t, { knobs: { signedInAs: ANA }, ...options })
  await world.owner.post('/admin/accounts', { name: 'shop', provider: 'instagram' })
  return { ...world, client: createClient(world.agent) }
}

async function makeLink(owner: Client, form: Record<string, string> = {}, account = 'shop'): Promise<string> {
  const { text } = await owner.post(`/admin/accounts/${account}/link`, form)
  return /id="made-link">https?:\/\/[^/]+(\/invite\/[^<]+)</.exec(text)?.[1] ?? ''
}
const callbackOf = async (client: Client, link: string): Promise<string> => approve(authorizeUrlIn(await client.post(link)))
const use = async (client: Client, link: string) => client.get(await callbackOf(client, link))
const isServed = async ({ agent }: Pick<OwnerWorld, 'agent'>) => (await served(agent, '/accounts/shop/token.json')).status === 200
const rows = (agent: OpenAgent) => agent.sql<Record<string, string | null>>('select * from connect_links')
const linkOf = (agent: OpenAgent): string => rows(agent)[0]?.['id'] ?? ''
const decide = ({ owner, agent }: Pick<OwnerWorld, 'owner' | 'agent'>, what: string, link = linkOf(agent)) =>
  owner.post(`/admin/accounts/shop/link-${what}`, { link })
const call = (agent: OpenAgent, what: string, user_id: string, agoSeconds: number) => {
  const issued_at = Math.floor(Date.now() / 1000) - agoSeconds
  const body = new URLSearchParams({ signed_request: signedRequest({ algorithm: 'HMAC-SHA256', issued_at, user_id }) })
  return agent.fetch(`/callbacks/instagram/${what}`, { method: 'POST', body })
}
const events = (agent: OpenAgent) =>
  agent.sql<{ kind: string; actor: string }>("select kind, actor from events where account = 'shop' order by id")

t.test('the grant of a client whom the owner did not name waits, long-lived and sealed, for the owner’s yes', async (t) => {
  const world = await setUp(t, { env: { HIDE_HELP_PAGES: 'true' } })
  const { agent, owner, client, instagram } = world
  await owner.post('/admin/accounts', { name: 'rival', provider: 'instagram' })
  const link = await makeLink(owner, { note: 'Hello <b>Ana</b>,\nplease connect.' })
  const page = await client.get(link)
  t.match(page, { status: 200, text: /Hello &lt;b&gt;Ana&lt;\/b&gt;.*Connect Instagram/s })
  t.match(Object.fromEntries(page.headers), { 'referrer-policy': 'no-referrer', 'cache-control': 'no-store' })
  t.equal(page.headers.get('content-security-policy'), (await owner.get('/admin')).headers.get('content-security-policy'))
  t.notMatch(page.text, /shop|rival|\/admin|\/status/, 'no account, no way to the owner’s pages')
  t.notMatch(JSON.stringify(rows(agent)), link.slice(8, 40), 'only a hash of the secret is kept')

  const callback = await callbackOf(client, link)
  t.match(await client.get(callback), { status: 303, location: link })
  t.match(await client.get(link), { status: 200, text: /confirms your account next/ })
  t.match(await client.get(callback), { status: 303, location: link }, 'a reload')
  t.notOk(await isServed(world))
  t.match(rows(agent)[0], { user_id: ANA, username: NAME_OF_ANA })
  t.strictSame([...instagram.issued.values()].map(({ life }) => life).at(-1), 'long')
  const token = [...instagram.issued.values()].at(-1)?.token ?? 'none'
  t.notMatch(JSON.stringify([rows(agent), agent.sql('select * from oauth_states')]), token)
  t.match(await createClient(agent).post(link), { status: 200, text: /confirms your account next/ }, 'another browser is refused')

  t.match(await owner.page('/admin'), /permission waits for your yes or no: <a href="\/admin\/accounts\/shop#its-link">/)
  t.match(await owner.page('/admin/accounts/shop'), new RegExp(`@</strong>|@<bdi>|${NAME_OF_ANA}`))
  t.match(await decide(world, 'accept', 'another'), { status: 409 })
  t.match(await decide(world, 'accept'), { status: 303, location: '/admin/accounts/shop?done=link_accepted' })
  t.match(await served(agent, '/accounts/shop/token.json'), { status: 200, token })
  t.match(rows(agent)[0], { sealed: null, user_id: null, username: null })
  t.match(await decide(world, 'accept'), { status: 409 }, 'once')
  t.match(await client.get(link), { status: 200, text: /account is connected/ })
  t.same(events(agent), [
    { kind: 'created', actor: 'owner' },
    { kind: 'changed', actor: 'owner' },
    { kind: 'grant_waits', actor: 'link' },
    { kind: 'connected', actor: 'owner' },
  ])
  t.notMatch(agent.stdout(), link.slice(8, 40))
})

t.test('the named user’s grant counts at once, another one’s is refused and uses nothing up', async (t) => {
  const world = await setUp(t)
  const { agent, owner, client, instagram } = world
  t.match(await owner.post('/admin/accounts/shop/link', { username: 'a name' }), { status: 400, text: /letters, digits.*value="a name"/s })
  t.match(await owner.post('/admin/accounts/shop/link', { note: 'x'.repeat(501) }), { status: 400, text: /longer than 500/ })
  const link = await makeLink(owner, { username: `@${NAME_OF_ANA.toUpperCase()}` })
  instagram.knobs.signedInAs = BEN
  const refused = await use(client, link)
  t.match(refused, { status: 422, text: /for another Instagram user.*Connect Instagram/s })
  t.match(refused.text, `action="${link}"`, 'and its button begins again')
  t.notOk(await isServed(world))
  instagram.knobs.signedInAs = ANA
  t.match(await use(client, link), { status: 303, location: link })
  t.ok(await isServed(world))
  t.match(await createClient(agent).post(link), { text: /this link is used up/ }, 'a third browser is refused')
  t.match(events(agent).at(-1), { kind: 'connected', actor: 'link' })

  const again = await makeLink(owner)
  t.match(await client.get(link), { status: 404 }, 'the link before has ended')
  t.match(await use(client, again), { location: again })
  t.match(rows(agent)[0], { sealed: null }, 'the account’s own user needs no yes')
})

t.test('previews, a denial and an error of the provider use nothing up', async (t) => {
  const world = await setUp(t)
  const { agent, owner, client, instagram } = world
  const link = await makeLink(owner)
  const before = JSON.stringify(rows(agent))
  for (let n = 0; n < 50; n++) {
    const bot = createClient(agent)
    await (n % 2 ? bot.head(link) : bot.get(link, { 'sec-purpose': 'prefetch', 'user-agent': 'WhatsApp/2' }))
    t.equal(bot.cookies.size, 0)
  }
  instagram.knobs.consent = 'deny'
  t.match(await use(client, link), { status: 422, text: /declined.*Connect Instagram<\/button>/s })
  instagram.knobs.consent = 'approve'
  const callback = await callbackOf(client, link)
  t.match(await client.get(callback.replace(/code=[^&]+/, 'code=wrong')), { status: 422 })
  t.equal(JSON.stringify(rows(agent)), before)
  t.match(await use(client, link), { location: link })
  for (const secret of ['x', 'a'.repeat(75), `${link.slice(8, -1)}!`])
    t.match(await client.get(`/invite/${secret}`), { status: 404 }, secret)
})

t.test('a link that ends while its client is at the provider is refused, and nothing is served', async (t) => {
  const ends: Record<string, (world: OwnerWorld) => Promise<unknown>> = {
    revoked: (world) => decide(world, 'revoke'),
    expired: async ({ agent }) =>
      agent.sql("update connect_links set expires_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 seconds') returning id"),
    'replaced by another link': ({ owner }) => makeLink(owner),
    'of a removed account': ({ owner }) => owner.post('/admin/accounts/shop/remove', { name: 'shop' }),
  }
  for (const [name, end] of Object.entries(ends)) {
    const world = await setUp(t)
    const link = await makeLink(world.owner, { username: NAME_OF_ANA })
    const callback = await callbackOf(world.client, link)
    await end(world)
    t.match(await world.client.get(callback), { status: /^(404|410)$/ as unknown as number, text: /does not work/ }, name)
    t.match(await world.client.post(link), { status: /^(404|410)$/ as unknown as number }, name)
    t.notOk(await isServed(world), name)
  }

  // The last look before the exchange saw an open link: the commit decides.
  const late: Record<string, (world: OwnerWorld) => Promise<unknown>> = {
    revoked: (world) => decide(world, 'revoke'),
    'its user’s data erased': ({ agent }) => call(agent, 'delete', ANA, 0),
    'the permission taken back': ({ agent, instagram }) => call(agent, 'deauthorize', instagram.users.get(ANA)?.appScopedId ?? '', 0),
  }
  for (const username of [NAME_OF_ANA, ''])
    for (const [name, end] of Object.entries(late)) {
      const world = await setUp(t)
      const { instagram, agent, client } = world
      const link = await makeLink(world.owner, { username })
      const callback = await callbackOf(client, link)
      instagram.fail('/me', { kind: 'slowAnswer', ms: 900 }, 1)
      const coming = client.get(callback)
      await waitFor('the exchange', () => (instagram.counts['/me'] ?? 0) > 0)
      await end(world)
      t.match(await coming, { status: 422, text: /taken back, while you were away/ }, name)
      t.notOk(await isServed(world), name)
      t.match(rows(agent)[0], { sealed: null, user_id: null, username: null }, name)
      if (name !== 'revoked') t.match(await use(client, link), { location: link }, 'a later permission counts')
    }
})

t.test('a grant waits a week: yes after six days works, after eight not', async (t) => {
  for (const [days, isTaken] of [
    [6, true],
    [8, false],
  ] as const) {
    const world = await setUp(t)
    await use(world.client, await makeLink(world.owner))
    const id = linkOf(world.agent)
    world.agent.sql(
      `update connect_links set expires_at = strftime('%Y-%m-%dT%H:%M:%fZ', expires_at, '-${days} days'),
        used_at = strftime('%Y-%m-%dT%H:%M:%fZ', used_at, '-${days} days') returning id`,
    )
    t.match(await decide(world, 'accept', id), { status: isTaken ? 303 : 409 }, `${days} days`)
    t.equal(await isServed(world), isTaken)
    if (!isTaken) t.notMatch(await world.owner.page('/admin'), /waits for your yes/)
  }
})

t.test('the keys are rotated while a grant waits, and the old one can go', async (t) => {
  const [old, lost, key] = ['1', '2', '3'].map((digit) => digit.repeat(32)) as [string, string, string]
  const world = await setUp(t, { env: { ENCRYPTION_KEY: old } })
  const { agent, instagram } = world
  await use(world.client, await makeLink(world.owner))
  await agent.close()
  const env = { DATABASE_URL: `sqlite:${join(agent.cwd, 'data/token-agent.sqlite')}`, APP_URL: agent.url }
  const rotate = (...keys: string[]) => runCli(t, ['rotate-keys'], { cwd: agent.cwd, env: { ...env, ENCRYPTION_KEY: keys.join() } })
  t.match(await rotate(key, lost), { code: 1, stdout: /shop: no key in ENCRYPTION_KEY opens the permission that waits/ })
  t.match(await rotate(key, old), { code: 0, stdout: /still waiting for your yes: the permission of a client for shop\.\n$/ })
  t.match(await rotate(key), { code: 0, stdout: /^0 accounts sealed again, \d had the newest key already\.\n$/ })
  const { agent: later, owner } = await createOwner(t, { cwd: agent.cwd, instagram, env: { ENCRYPTION_KEY: key } })
  t.match(await decide({ agent: later, owner }, 'accept'), { location: '/admin/accounts/shop?done=link_accepted' })
  t.ok(await isServed({ agent: later }))
})

t.test('a waiting grant is erased by what ends it, and by nothing else', async (t) => {
  const world = await setUp(t)
  const { agent, owner, instagram, client } = world
  const ends: Record<string, [left: number, end: () => Promise<unknown>]> = {
    'another user’s deletion': [1, () => call(agent, 'delete', BEN, 0)],
    'a deletion from before the grant': [1, () => call(agent, 'delete', ANA, 120)],
    'the deletion': [0, () => call(agent, 'delete', ANA, 1)],
    'the deletion, by the app’s id of the user': [0, () => call(agent, 'delete', instagram.users.get(ANA)?.appScopedId ?? '', 2)],
    'the permission taken back': [0, () => call(agent, 'deauthorize', ANA, 3)],
    'a stranger’s no': [1, () => createClient(agent).post('/admin/accounts/shop/link-decline', { link: linkOf(agent) })],
    no: [0, () => decide(world, 'decline')],
    'another link': [0, () => makeLink(owner)],
  }
  const held = () => rows(agent).filter((row) => row['sealed'] !== null || JSON.stringify(row).includes(ANA)).length
  for (const [name, [left, end]] of Object.entries(ends)) {
    await use(client, await makeLink(owner))
    t.equal(held(), 1, name)
    await end()
    t.equal(held(), left, name)
  }
  // Another user of the account ends a link for the one before, and its grant.
  instagram.knobs.signedInAs = BEN
  await connect(owner, 'shop')
  instagram.knobs.signedInAs = ANA
  await use(client, await makeLink(owner))
  t.equal(held(), 1)
  await connect(owner, 'shop').then(({ text }) =>
    owner.post('/connect/instagram/confirm', { answer: /name="answer" value="([^"]+)/.exec(text)?.[1] ?? '' }),
  )
  t.equal(rows(agent).length, 0, 'another user')
  instagram.knobs.signedInAs = BEN
  await use(client, await makeLink(owner))
  await owner.post('/admin/accounts/shop/remove', { name: 'shop' })
  t.equal(rows(agent).length, 0, 'removal')
})

t.test('two links in one browser: a grant lands at its own account or nowhere', async (t) => {
  const world = await setUp(t)
  const { agent, owner, client } = world
  await owner.post('/admin/accounts', { name: 'other', provider: 'instagram' })
  const [a, b] = [await makeLink(owner), await makeLink(owner, {}, 'other')]
  const [ofA, ofB] = [await callbackOf(client, a), await callbackOf(client, b)]
  t.match(await client.get(ofA), { status: 422, text: /does not belong to a request of yours/ })
  t.match(await createClient(agent).get(ofB), { status: 303, location: /^\/admin\/sign-in/ }, 'a browser without the cookie')
  t.match(await owner.get(ofB), { status: 422 }, 'the owner’s browser without it')
  t.match(await client.post(a, { answer: 'x', choice: 'y' }), { status: 409, text: /opened another link/ })
  t.match(await client.get(ofB), { location: b })
  t.match(
    rows(agent).map(({ account, sealed }) => [account, sealed !== null]),
    [
      ['shop', false],
      ['other', true],
    ],
  )
  for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.example' }, {}])
    t.match(await client.post(a, {}, headers), { status: 403 }, 'no other site starts it')
})

t.test('a link’s cookie opens nothing, and an owner who tries a link acts as its client', async (t) => {
  const world = await setUp(t)
  const { agent, owner, client } = world
  const link = await makeLink(owner, { username: NAME_OF_ANA })
  const callback = await callbackOf(client, link)
  const session = [...client.cookies.values()][0] ?? ''
  // The cookie under the session's name too.
  const posing = createClient(agent, new Map([...client.cookies, ['token-agent-session', session]]))
  const folder = join(import.meta.dirname, '../../src/http')
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  const routes = sources.flatMap((file) =>
    [...readFileSync(join(folder, file), 'utf8').matchAll(/\.(get|post)\(\s*(at\()?'([^']+)'/g)].map(([, method, at, path = '']) => ({
      method: method as 'get' | 'post',
      path: (at === undefined ? path : `/admin/accounts/:account/${path}`).replace(':account', 'shop').replace(':provider', 'instagram'),
    })),
  )
  t.ok(routes.length > 30, `${routes.length} routes`)
  for (const { method, path } of routes.filter(({ path }) => !/^\/invite|\/callback$|^\/readyz|^\/status|:/.test(path))) {
    const [as, stranger] = [await posing[method](path), await createClient(agent)[method](path)]
    t.strictSame([as.status, as.location?.split('?')[0]], [stranger.status, stranger.location?.split('?')[0]], `${method} ${path}`)
  }

  for (const [name, value] of client.cookies) owner.cookies.set(name, value)
  const answer = await owner.get(callback)
  t.match(answer, { status: 303, location: link })
  t.notMatch((await owner.get(link)).text, /shop|\/admin|Sign out/)
  t.match(events(agent).at(-1), { kind: 'connected', actor: 'link' })
  t.match(await connect(owner, 'shop'), { location: '/admin/accounts/shop?done=connected' }, 'and the owner still connects as the owner')
  t.match(events(agent).at(-1), { kind: 'connected', actor: 'owner' })
})

t.test('Threads, Facebook with its choice, and TikTok, whose names identify nobody', async (t) => {
  const [threads, facebook, tiktok] = [await startThreads(), await startFacebook({ knobs: { pages: 3 } }), await startTikTok({})]
  for (const each of [threads, facebook, tiktok]) t.teardown(() => each.close())
  threads.apps[0]?.redirectUris.push('https://agent.example/connect/threads/callback')
  facebook.redirectUris.push('https://agent.example/connect/facebook/callback')
  const env = { ...threadsSettings(threads), ...facebookSettings(facebook), ...tiktokSettings(tiktok), SERVER_KEYS: SERVER_KEY }
  const world = await setUp(t, { env })
  const { agent, owner, client } = world
  for (const provider of ['threads', 'facebook', 'tiktok']) {
    await owner.post('/admin/accounts', { name: provider, provider })
    const link = await makeLink(owner, {}, provider)
    t.equal((await owner.page(`/admin/accounts/${provider}`)).includes('client’s user name'), false, 'no second form')
    let answer = await use(client, link)
    if (provider === 'facebook') {
      t.match(answer, { status: 200, text: /Which account\?/ })
      t.notMatch(answer.text, /for <strong>|\/connect\//)
      const form = {
        answer: /name="answer" value="([^"]+)"/.exec(answer.text)?.[1] ?? '',
        choice: /name="choice" value="([^"]+)"/.exec(answer.text)?.[1] ?? '',
      }
      t.match(await createClient(agent).post(link, form), { status: 409 })
      answer = await client.post(link, form)
    }
    t.match(answer, { status: 303, location: link }, provider)
    const waiting = rows(agent).find(({ account }) => account === provider)
    t.ok(waiting?.['sealed'] && waiting['user_id'], provider)
    t.match(await owner.post(`/admin/accounts/${provider}/link-accept`, { link: waiting?.['id'] ?? '' }), { status: 303 }, provider)
    const { status } = await agent.fetch(`/accounts/${provider}/token`, { headers: { authorization: `Bearer ${SERVER_KEY}` } })
    t.equal(status, 200, provider)
  }
  t.match(await owner.post('/admin/accounts/tiktok/link', { username: 'ana' }), { status: 400 })
  t.strictSame(tiktok.wrong, { overlaps: 0, usesOfDead: 0, secretsInUrl: 0 })
})

t.test('a TikTok token that ended while its grant waited is renewed after the yes', async (t) => {
  const tiktok = await startTikTok({ knobs: { accessSeconds: 1 } })
  t.teardown(() => tiktok.close())
  const { agent, owner, client } = await setUp(t, { env: { ...tiktokSettings(tiktok), SERVER_KEYS: SERVER_KEY } })
  await owner.post('/admin/accounts', { name: 'tiktok', provider: 'tiktok' })
  const link = await makeLink(owner, {}, 'tiktok')
  t.match(await use(client, link), { location: link })
  tiktok.clock.advance(6 * 86_400_000)
  tiktok.knobs.accessSeconds = 7200
  t.match(await owner.post('/admin/accounts/tiktok/link-accept', { link: linkOf(agent) }), { status: 303 })
  const [row] = agent.sql<{ next_refresh_at: string }>("select next_refresh_at from accounts where name = 'tiktok'")
  t.ok(Date.parse(row?.next_refresh_at ?? '') < Date.now() + 60_000 * 10, 'it is due at once')
  t.match(await owner.post('/admin/accounts/tiktok/refresh'), { location: '/admin/accounts/tiktok?done=refreshed' })
  const answer = await agent.fetch('/accounts/tiktok/token', { headers: { authorization: `Bearer ${SERVER_KEY}` } })
  t.ok(tiktok.isAlive(await answer.text()))
  t.strictSame(tiktok.wrong, { overlaps: 0, usesOfDead: 0, secretsInUrl: 0 })
})

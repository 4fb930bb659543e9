import t, { type Test } from 'tap'
import { memcachedServer } from '../support/memcached.ts'
import { connect, createClient, createOwner, type OwnerWorld, openAgent, served, signedRequest } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait-for.ts'
import { words } from '../support/words.ts'

const readAt = async ({ agent }: OwnerWorld, path: string, origin = 'https://shop.example') => {
  const response = await agent.fetch(path, { headers: { origin } })
  return { status: response.status, body: await response.text() }
}

/** An account with a token of a week ago, whose refresh works. */
async function withAccount(world: OwnerWorld, name: string, userId?: string): Promise<string> {
  const { owner, instagram } = world
  await owner.post('/admin/accounts', { name, provider: 'instagram' })
  const token = instagram.issue(userId === undefined ? {} : { userId })
  const taken = await owner.post(`/admin/accounts/${name}/token`, { token })
  if (taken.status !== 303) throw new Error(taken.text)
  return (await served(world.agent, `/accounts/${name}/token.json`)).token ?? ''
}

t.test('an account is created by name, and an invalid name is explained', async (t) => {
  const world = await createOwner(t)
  const create = (name: string, provider = 'instagram') => world.owner.post('/admin/accounts', { name, provider })
  t.match(await create(' shop '), { status: 303, location: '/admin/accounts/shop?done=created' })
  t.match(await create('shop'), { status: 409, text: /choose another name/ })
  for (const name of ['', 'Shop', 'a b', '-a', '../x', 'x'.repeat(41), '<script>alert(1)</script>']) {
    const refused = await create(name)
    t.match(refused, { status: 400, text: /letters a to z/ }, name)
    t.notMatch(refused.text, '<script>')
  }
  t.match(await create('other', 'myspace'), { status: 400 })
  t.match(await world.owner.get('/admin/accounts/shop'), { status: 200, text: /empty/ })
  t.match(await world.owner.get('/admin/accounts/nobody'), { status: 404 })
  t.match(await readAt(world, '/accounts/shop/token.json'), { status: 503 })
})

t.test('a pasted token is served; a bad token, or another user’s by mistake, does not replace a working one', async (t) => {
  const world = await createOwner(t)
  const { owner, instagram, agent } = world
  const first = await withAccount(world, 'shop', '17841400000000001')
  const paste = (token: string, more = {}) => owner.post('/admin/accounts/shop/token', { token, ...more })
  const now = async () => (await served(agent, '/accounts/shop/token.json')).token

  for (const token of ['with space', '"IGAAquoted"', 'x'.repeat(8193), 'IGAAnotissued']) {
    const refused = await paste(token)
    t.equal(refused.status >= 400, true, token.slice(0, 20))
    t.match(refused.text, /role="alert"/)
    if (token.length > 8) t.notMatch(refused.text, token)
    t.equal(await now(), first)
  }
  const foreign = instagram.issue({ userId: '17841400000000003' })
  t.match(await paste(foreign), { status: 409, text: /another user’s; the account is connected as @user.17841400000000001/ })
  t.equal(await now(), first)
  t.match(await paste(foreign, { otherUser: 'yes' }), { status: 303 })
  t.equal(instagram.issued.get((await now()) ?? '')?.userId, '17841400000000003')
  instagram.fail('*', 'html502')
  const before = await now()
  t.match(await paste(instagram.issue({ userId: '17841400000000003' })), { status: 409 })
  t.equal(await now(), before)
})

t.test('an account can be created with its token, and becomes the default', async (t) => {
  const world = await createOwner(t)
  const { owner, instagram, agent } = world
  t.match((await owner.get('/admin')).text, /id="name" name="name" autocomplete="off" value="default"/)
  t.match(
    (await owner.get('/admin')).text,
    /<select id="provider" name="provider">\s*<option value="instagram">/,
    'the first provider is chosen',
  )
  const create = (name: string, token: string) => owner.post('/admin/accounts', { name, provider: 'instagram', token })
  const made = await create('default', ` ${instagram.issue()} `)
  t.match(made, { status: 303, location: '/admin/accounts/default?done=taken' })
  t.match((await owner.get(made.location ?? '')).text, /The token works and is stored\..*href="\/setup"/s)
  t.match(await served(agent), { status: 200 })
  const refused = await create('shop', 'IGAAnotissued')
  t.match(refused.text, /role="alert" id="wrong".*aria-describedby="wrong" autofocus/s)
  const sentence = /role="alert" id="wrong">The token is stored, but: (.*?)</.exec(refused.text)?.[1] ?? 'nothing'
  t.equal(refused.text.replace(/<ol class="events">.*?<\/ol>/s, '').split(sentence).length, 2, 'the problem is said once')
})

t.test('the first account takes token and web site in one form, without a name', async (t) => {
  const { owner, instagram, agent } = await createOwner(t, { env: { ALLOWED_DOMAINS: '' } })
  const add = (form: object) => owner.post('/admin/accounts', { provider: 'instagram', ...form })
  const token = instagram.issue({ userId: '17841400000000001' })
  for (const [form, why] of [
    [{ token, domains: 'shop.example/path' }, /has a path/],
    [{ token, domains: 'my shop' }, /A word without a dot is no web site: name it as the browser shows it/],
    [{ token, domains: '*.github.io' }, /everybody’s site/],
    [{ token: '', domains: 'shop.example' }, /paste the token/],
    [{ token: 'with space', domains: 'shop.example' }, /role="alert"/],
    [{ token, domains: 'shop.example', name: '' }, /letters a to z/],
  ] as const) {
    const refused = await add(form)
    t.match(refused, { status: 400, text: why })
    t.match(refused.text, `name="domains" value="${form.domains}"`, 'the site stays typed')
    t.notMatch(refused.text, token)
    t.strictSame(agent.sql('select name from accounts'), [], 'nothing is created')
  }
  t.match(await add({ token, domains: 'shop.example' }), { status: 303, location: '/admin/accounts/default?done=taken' })
  t.match(await served(agent), { status: 200 })
  const page = (await owner.get('/admin/accounts/default?done=taken')).text
  t.match(page, /Works<\/span>\s+<code>https:\/\/shop\.example<.*id="feed">.*id="snippet"/s, 'it works, and the code stands there')
  t.match(
    await add({ token: instagram.issue({ userId: '17841400000000001' }) }),
    { status: 303 },
    'a second press gives the account a new token',
  )
  await add({ provider: 'tiktok', token: `rft.${'x'.repeat(40)}` })
  t.match(agent.sql('select name from accounts order by name'), [{ name: 'default' }, { name: 'tiktok' }], 'another provider’s own name')
  t.match(await add({ token: instagram.issue() }), { status: 400, text: /letters a to z/ }, 'among several the owner must choose')
})

t.test('a pasted token that lives an hour is exchanged where the app’s secret is known', async (t) => {
  const world = await createOwner(t)
  await world.owner.post('/admin/accounts', { name: 'default', provider: 'instagram' })
  const short = world.instagram.issue({ life: 'short', ageSeconds: 60 })
  t.match(await world.owner.post('/admin/accounts/default/token', { token: short }), { status: 303, location: /checked/ })
  const { token } = await served(world.agent)
  t.not(token, short)
  t.equal(world.instagram.issued.get(token ?? '')?.life, 'long')
  t.match((await world.owner.get('/admin/accounts/default')).text, /refuses to refresh a token in its first 24 hours/)
  t.match((await world.owner.post('/admin/accounts/default/refresh')).location, /done=verified/)

  t.comment('another app’s token is taken as it is')
  const { apps } = world.instagram
  Object.assign(apps[0] ?? {}, { clientSecret: 'of another app' })
  await withAccount(world, 'other')
  t.match(await served(world.agent, '/accounts/other/token.json'), { status: 200 })
})

t.test('each account has its own web sites and its own constant', async (t) => {
  const world = await createOwner(t)
  const { owner } = world
  await withAccount(world, 'shop')
  const path = '/accounts/shop/token.js'
  const save = (domains: string) => owner.post('/admin/accounts/shop/domains', { domains })
  t.match(await save('https://blog.example\r\n*.blog.example, blog.example:8443'), { status: 303 })
  t.match(await readAt(world, path, 'https://blog.example'), { status: 200, body: /InstagramToken/ })
  t.match(await readAt(world, path, 'https://www.blog.example'), { status: 200 })
  t.match(await readAt(world, path), { status: 403 }, 'the global list does not apply')
  const bad = await save('*.github.io evil.example/path <b>')
  t.match(bad, { status: 400 })
  t.match(bad.text, /everybody’s site under github.io/)
  t.match(bad.text, /“evil.example\/path” has a path; [^<]*\. “/)
  t.match(bad.text, '*.github.io evil.example/path &lt;b&gt;</textarea>', 'the typed text stays')
  t.match(await readAt(world, path, 'https://blog.example'), { status: 200 })
  await owner.post('/admin/accounts/shop/pause')
  t.match(await readAt(world, path, 'https://blog.example'), { status: 503, body: /paused/ }, 'a listed site reads the reason')
  t.match(await readAt(world, path), { status: 403 })
  await owner.post('/admin/accounts/shop/resume')
  t.match(await save(''), { status: 303 })
  t.match(await readAt(world, path), { status: 200 })

  t.match(await owner.post('/admin/accounts/shop/constant', { constant: 'ShopToken' }), { status: 303 })
  t.match(await readAt(world, path), { body: /"ShopToken"/ })
  t.match(await readAt(world, `${path}?const=Mine`), { body: /"Mine"/ })
  for (const constant of ['1a', 'window', 'a b', 'x'.repeat(65)])
    t.match(await owner.post('/admin/accounts/shop/constant', { constant }), { status: 400 })
  t.match((await owner.get('/admin/accounts/shop')).text, /<code>ShopToken<\/code> is the token/)
})

t.test('any account can become the default, and each keeps its own address', async (t) => {
  const world = await createOwner(t)
  const { owner, agent } = world
  const one = await withAccount(world, 'default')
  t.equal((await served(agent)).token, one)
  const shop = await withAccount(world, 'shop')
  t.equal((await served(agent)).token, one, 'a new account changes nothing')
  await owner.post('/admin/accounts/shop/default')
  t.equal((await served(agent)).token, shop)
  t.equal((await served(agent, '/accounts/default/token.json')).token, one)
  t.equal((await served(agent, '/accounts/shop/token.json')).token, shop)
  t.match((await owner.get('/admin/accounts/shop')).text, `${agent.url}/token.js`)
  await owner.post('/admin/accounts/shop/remove', { name: 'shop' })
  t.equal((await served(agent)).token, null, 'no other account replaces a removed default')
  await owner.post('/admin/accounts/default/default')
  t.equal((await served(agent)).token, one)
})

t.test('a paused account is neither served nor refreshed', async (t) => {
  const world = await createOwner(t)
  const { owner, instagram } = world
  const token = await withAccount(world, 'default')
  const { location } = await owner.post('/admin/accounts/default/pause')
  t.match(location, /paused/)
  const paused = (await owner.get(location ?? '')).text
  t.ok(paused.indexOf('Switch on again') < paused.indexOf('id="use"'), 'the way back comes before the code')
  t.notMatch(paused, 'Go on to Set up')
  t.match(await readAt(world, '/token.json'), { status: 503 })
  const calls = instagram.counts['/refresh_access_token']
  t.match(await owner.post('/admin/accounts/default/refresh'), { status: 409, text: /switch it on first/ })
  t.equal(instagram.counts['/refresh_access_token'], calls)
  await owner.post('/admin/accounts/default/resume')
  t.match(await served(world.agent), { status: 200, token })
})

t.test('refresh now refreshes now', async (t) => {
  const world = await createOwner(t, { knobs: { minimumAgeSeconds: 0 } })
  const before = await withAccount(world, 'default')
  t.match(await world.owner.post('/admin/accounts/default/refresh'), { location: /done=refreshed/ })
  t.not((await served(world.agent)).token, before)
  world.instagram.fail('/refresh_access_token', 'html502')
  t.match(await world.owner.post('/admin/accounts/default/refresh'), { status: 409, text: /role="alert"/ })
})

t.test('a refresh under way does not restore the allow-list from its start', async (t) => {
  const world = await createOwner(t, { knobs: { minimumAgeSeconds: 0 } })
  const { owner, instagram } = world
  await withAccount(world, 'default')
  instagram.fail('/refresh_access_token', { kind: 'slow', ms: 700 }, 1)
  const paths = ['/token.json', '/accounts/default/token.json']
  for (const path of paths) t.match(await readAt(world, path), { status: 200 })
  const calls = instagram.counts['/refresh_access_token'] ?? 0
  const refreshing = owner.post('/admin/accounts/default/refresh')
  await waitFor('the refresh to be under way', () => (instagram.counts['/refresh_access_token'] ?? 0) > calls)
  t.match(await owner.post('/admin/accounts/default/domains', { domains: 'blog.example' }), { status: 303 })
  t.match(await refreshing, { location: /done=refreshed/ })
  for (const path of paths) {
    t.match(await readAt(world, path), { status: 403 }, path)
    t.match(await readAt(world, path, 'https://blog.example'), { status: 200 }, path)
  }
})

t.test('removing asks for the name, erases the token, keeps the history, and can revoke the permission', async (t) => {
  const world = await createOwner(t)
  const { owner, instagram, agent } = world
  const token = await withAccount(world, 'shop')
  t.match(await owner.post('/admin/accounts/shop/remove', { name: 'shp' }), { status: 400, text: /type its name/ })
  t.match(await owner.post('/admin/accounts/shop/remove'), { status: 400 })
  t.match(await owner.get('/admin/accounts/shop/remove'), { status: 404 }, 'nothing is removed by a GET')
  t.match(await served(agent, '/accounts/shop/token.json'), { status: 200, token })
  t.match(await owner.post('/admin/accounts/shop/remove', { name: 'shop', revoke: 'yes' }), {
    status: 303,
    location: '/admin?done=removed_and_revoked',
  })
  t.equal(instagram.issued.get(token)?.endedBy, 'revoked')
  t.match(await readAt(world, '/accounts/shop/token.json'), { status: 404 })
  t.match(await owner.get('/admin/accounts/shop'), { status: 404 })
  const erased = { access_token: null, username: null, provider_user_id: null, allowed_domains: null }
  t.match(agent.sql("select * from accounts where name = 'shop'"), [erased])
  const { text } = await owner.get('/admin/accounts/shop/history')
  for (const word of ['created', 'token replaced', 'removed', 'took the grant back', 'owner']) t.match(text, word)

  t.comment('the name can be taken again')
  const again = await withAccount(world, 'shop')
  t.match(await served(agent, '/accounts/shop/token.json'), { status: 200, token: again })
  instagram.revoke(again)
  t.match(await owner.post('/admin/accounts/shop/remove', { name: 'shop', revoke: 'yes' }), { location: '/admin?done=removed_not_revoked' })
})

t.test('a removed account stays removed at the next start, although its STARTING_TOKEN is still set', async (t) => {
  const world = await createOwner(t)
  const { owner, instagram, agent } = world
  await agent.close()
  const again = { instagram, cwd: agent.cwd, env: { STARTING_TOKEN: instagram.issue() } }
  const second = await openAgent(t, again)
  await waitFor('the token', async () => (await served(second)).token)
  t.match(await createClient(second, owner.cookies).post('/admin/accounts/default/remove', { name: 'default' }), { status: 303 })
  t.match(await served(second), { token: null })
  await second.close()
  const third = await openAgent(t, again)
  t.match(await served(third), { token: null })
})

t.test('the history is paged, shows each event once, and names the actor', async (t) => {
  const world = await createOwner(t)
  await withAccount(world, 'shop')
  world.agent.sql(
    `with recursive many(n) as (select 0 union all select n + 1 from many where n < 119)
    insert into events (id, account, kind, actor, outcome, detail, at)
    select printf('f%05d', n), 'shop', 'refreshed', json_extract('["timer","webhook","cli","boot"]', '$[' || (n % 4) || ']'), 'ok',
      'number ' || n || '.', '${new Date().toISOString()}' from many`,
  )
  let path: string | undefined = '/admin/accounts/shop/history'
  const seen: string[] = []
  for (let page = 0; path !== undefined && page < 10; page++) {
    const { text } = await world.owner.get(path)
    seen.push(...[...text.matchAll(/number (\d+)\./g)].map(([, n]) => n ?? ''))
    for (const who of ['timer', 'webhook', 'command line', 'start']) if (page < 2) t.match(text, `by <span class="actor">the ${who}</span>`)
    const older: string | undefined = /href="(\?before=[^"]+)"/.exec(text)?.[1]
    path = older === undefined ? undefined : `/admin/accounts/shop/history${older}`
  }
  t.strictSame(
    seen.map(Number),
    Array.from({ length: 120 }, (_, n) => 119 - n),
  )
  t.match((await world.owner.get('/admin/history')).text, /signed in/)
  t.match(await world.owner.get('/admin/history?before=%27;drop'), { status: 200, text: /Nothing has happened/ })
})

t.test(
  'a change by the owner on one instance applies on the others within a second',
  { skip: missing('postgres', 'memcached') },
  async (t) => {
    const follows = async (name: string, cache: Record<string, string>): Promise<void> => {
      const { url } = await createDatabase(t)
      const env = { DATABASE_URL: url, ENCRYPTION_KEY: 'k'.repeat(32), ...cache }
      const world = await createOwner(t, { env })
      const other = { ...world, agent: await openAgent(t, { instagram: world.instagram, env }) }
      const token = await withAccount(world, name)
      // Read all the time, so that both have a fresh snapshot.
      const soon = (what: string, path: string, origin: string, wanted: number | string) =>
        waitFor(what, async () => {
          const { status, body } = await readAt(other, path, origin)
          return status === wanted || (typeof wanted === 'string' && body.includes(wanted))
        })
      const path = `/accounts/${name}/token.json`
      await soon('the token', path, 'https://shop.example', token)
      const steps: [string, Record<string, string>, string, string, number | string][] = [
        ['domains', { domains: 'blog.example' }, path, 'https://shop.example', 403],
        ['domains', { domains: '' }, path, 'https://shop.example', 200],
        ['constant', { constant: 'Mine' }, path.replace('json', 'js'), 'https://shop.example', '"Mine"'],
        ['default', {}, '/token.json', 'https://shop.example', token],
        ['pause', {}, path, 'https://shop.example', 503],
        ['resume', {}, path, 'https://shop.example', 200],
        ['remove', { name }, path, 'https://shop.example', 404],
      ]
      for (const [what, form, at, origin, wanted] of steps) {
        t.match(await world.owner.post(`/admin/accounts/${name}/${what}`, form), { status: 303 }, `${name}: ${what}`)
        const startedMs = performance.now()
        await soon(`${what} on the other instance`, at, origin, wanted)
        t.comment(`${name}, ${what}: ${Math.round(performance.now() - startedMs)} ms`)
      }
    }
    await Promise.all([follows('one', {}), follows('two', { MEMCACHIER_SERVERS: await memcachedServer(t) })])
  },
)

async function callback({ agent }: OwnerWorld, what: string, signed: string) {
  const response = await agent.fetch(`/callbacks/instagram/${what}`, {
    method: 'POST',
    body: new URLSearchParams({ signed_request: signed }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, string> }
}

const USER = '17841400000000001'
const secondsAgo = (seconds: number): number => Math.floor(Date.now() / 1000) - seconds
const callOf = (issued_at: unknown, user_id = USER): string => signedRequest({ algorithm: 'HMAC-SHA256', issued_at, user_id })

/** The same call: its signature has the same bytes in another spelling. */
const respelled = (signed: string): string => signed.replace(/^([^.]*)/, '$1=')

t.test('when a user revokes the permission, the account asks to be connected again, and is refreshed once a day', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: USER } })
  const { owner, agent } = world
  for (const id of ['own', 'app'] as const) {
    await connect(owner)
    const { userId, appScopedId } = world.instagram.users.get(USER) ?? { userId: '', appScopedId: '' }
    const signed = callOf(secondsAgo(0), id === 'own' ? userId : appScopedId)
    t.match(await callback(world, 'deauthorize', signed), { status: 200, body: {} })
    t.match((await owner.get('/admin/accounts/default')).text, /needs you.*taken the permission back/s)
    t.match(await served(agent), { status: 200 }, 'the token is served until it expires')
    const [row] = agent.sql<{ next_refresh_at: string }>('select next_refresh_at from accounts')
    const hours = (new Date(row?.next_refresh_at ?? 0).getTime() - Date.now()) / 3_600_000
    t.ok(hours > 23 && hours < 25, `${hours}`)
  }
})

t.test('a provider’s call takes effect only if it was made after the connection and within the last day', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: USER } })
  await connect(world.owner)
  const connectedAgo = (seconds: number) =>
    world.agent.sql(`update accounts set connected_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-${seconds} seconds') returning name`)
  const state = () => world.agent.sql<{ state: string }>("select state from accounts where name = 'default'")[0]?.state
  const late = () => world.agent.sql("select id from events where kind = 'call_ignored'").length
  const year = 365 * 86_400
  const cases: [name: string, issuedAt: unknown, connected: number, counts: boolean][] = [
    ['a year old', secondsAgo(year), 1, false],
    ['a year old, on an account that is older', secondsAgo(year), 2 * year, false],
    ['a year old, in milliseconds', secondsAgo(year) * 1000, 2 * year, false],
    ['a year old, as text', String(secondsAgo(year)), 2 * year, false],
    ['from 1970', 1, year, false],
    ['before 1970', -1e300, year, false],
    ['more than a day old', secondsAgo(86_500), 2 * year, false],
    ['more than a minute older than the connection', secondsAgo(162), 100, false],
    ['less than a minute older than the connection', secondsAgo(140), 100, true],
    ['less than a day old', secondsAgo(86_000), year, true],
    ['of this moment, in milliseconds', Date.now(), 1, true],
    ['of this moment, as text', String(secondsAgo(4)), 1, true],
    ['of a clock that is ahead', secondsAgo(-3600), 1, true],
    ['in a year', secondsAgo(-year), 1, true],
    ['without a time', undefined, 1, true],
    ['with null', null, 1, true],
    ['with words', 'soon', 1, true],
    ['with an object', { $gt: 0 }, 1, true],
  ]
  let ignored = 0
  for (const [name, issuedAt, connected, counts] of cases) {
    // The name makes it another call than the one before.
    const signed = signedRequest({ algorithm: 'HMAC-SHA256', issued_at: issuedAt, user_id: USER, case: name })
    world.agent.sql("update accounts set state = 'active' returning name")
    connectedAgo(connected)
    t.match(await callback(world, 'deauthorize', signed), { status: 200 }, name)
    t.equal(state(), counts ? 'reconnect' : 'active', name)
    if (!counts) ignored++
    t.equal(late(), ignored, `${name}: one event for a call that is ignored`)
    t.comment('the same call again, on either address, in another spelling of its signature')
    world.agent.sql("update accounts set state = 'active' returning name")
    const events = world.agent.sql('select id from events').length
    for (const [what, again] of [
      ['deauthorize', signed],
      ['delete', signed],
      ['delete', respelled(signed)],
    ] as const)
      t.strictSame(await callback(world, what, again), { status: 200, body: {} }, name)
    t.equal(state(), 'active', name)
    t.equal(world.agent.sql('select id from events').length, events, name)
  }
  const kept = world.agent.sql<{ at: string | null }>('select at from signed_requests')
  t.equal(kept.filter(({ at }) => at === null).length, 5, 'a call without a time is kept for good')
  t.match((await world.owner.get('/admin/accounts/default/history')).text, /late call.*was made before the account was connected/s)

  t.comment('a deletion that comes too late erases nothing, and its page says so')
  const old = await callback(world, 'delete', callOf(secondsAgo(year)))
  t.match(old, { status: 200, body: { confirmation_code: /^[0-9a-f]{62}$/ } })
  t.match(await (await world.agent.fetch(old.body['url'] ?? '')).text(), /Nothing was erased/)
  t.match(await served(world.agent), { status: 200 })
  t.comment('a valid call erases, and gets the same answer on both addresses, even after the account is connected again')
  const signed = callOf(secondsAgo(0))
  const first = await callback(world, 'delete', signed)
  t.match(await served(world.agent), { status: 503 })
  await connect(world.owner)
  for (const what of ['delete', 'deauthorize']) t.strictSame(await callback(world, what, signed), first)
  t.match(await served(world.agent), { status: 200 })
  t.equal(state(), 'active')
})

t.test('a data deletion call erases the user’s data, and a page confirms it', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: '17841400000000001' } })
  const { owner, agent } = world
  await connect(owner)
  await connect(owner, 'second')
  const user_id = '17841400000000001'
  const { status, body } = await callback(world, 'delete', signedRequest({ algorithm: 'HMAC-SHA256', user_id }))
  t.equal(status, 200)
  t.strictSame(Object.keys(body).sort(), ['confirmation_code', 'url'])
  t.match(body['confirmation_code'], /^[0-9a-z]{20,}$/)
  const code = body['confirmation_code'] ?? ''
  t.ok(body['url']?.startsWith(`${agent.url}/`))
  const page = await agent.fetch(body['url'] ?? '')
  t.equal(page.status, 200)
  t.match(await page.text(), /was erased from this agent on 20\d\d-/)
  for (const wrong of [
    '0'.repeat(30),
    '0'.repeat(62),
    code.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
    code.toUpperCase(),
    `${code}0`,
  ])
    t.equal((await agent.fetch(`/callbacks/instagram/deletions/${wrong}`)).status, 404, wrong)
  t.equal((await agent.fetch(`/callbacks/instagram/deletions/${code.slice(0, 30)}`)).status, 200, 'a code of the previous release')
  t.match(await served(agent), { status: 503 })
  const dump = JSON.stringify(['accounts', 'events', 'oauth_states'].map((table) => agent.sql(`select * from ${table}`)))
  t.notMatch(dump, user_id)
  t.notMatch(dump, 'v1.')
  t.match(
    (await callback(world, 'delete', signedRequest({ algorithm: 'hmac-sha256', user_id: '999' }))).body,
    { url: /^http/ },
    'also for an unknown user',
  )
})

t.test('a callback that Meta did not sign does nothing', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: '17841400000000001' } })
  await connect(world.owner)
  const payload = { algorithm: 'HMAC-SHA256', user_id: '17841400000000001' }
  const good = signedRequest(payload)
  const [signature = '', text = ''] = good.split('.')
  const forged = [
    '',
    '.',
    text,
    `.${text}`,
    `${signature}.`,
    `${signature}.${text}.x`,
    `${signature.slice(0, -2)}.${text}`,
    signedRequest(payload, 'another secret'),
    signedRequest({ ...payload, algorithm: 'none' }),
    signedRequest({ user_id: payload.user_id }),
    signedRequest({ ...payload, user_id: { $ne: '' } }),
    `${signature}.${Buffer.from(JSON.stringify({ ...payload, user_id: '17841400000000003' })).toString('base64url')}`,
    good.replace('.', '%2E'),
  ]
  for (const what of ['deauthorize', 'delete']) {
    for (const signed of forged) t.match(await callback(world, what, signed), { status: 403 }, `${what} ${signed.slice(0, 20)}`)
    t.equal((await world.agent.fetch(`/callbacks/instagram/${what}`)).status, 404, 'nothing by a GET')
    t.equal(
      (await world.agent.fetch(`/callbacks/tiktok/${what}`, { method: 'POST', body: new URLSearchParams({ signed_request: good }) }))
        .status,
      404,
    )
    t.equal((await world.agent.fetch(`/callbacks/instagram/${what}`, { method: 'POST' })).status >= 400, true)
  }
  t.match((await world.owner.get('/admin/accounts/default')).text, /working/)
})

t.test('a stranger sees and changes nothing', async (t: Test) => {
  const world = await createOwner(t)
  const token = await withAccount(world, 'default')
  const stranger = createClient(world.agent)
  for (const path of words`
    /admin /admin/accounts/default /admin/accounts/default/history /admin/accounts/default/picture /admin/history /connect/instagram
    /connect/instagram/callback?code=a&state=b
  `)
    t.match(await stranger.get(path), { status: 303, location: '/admin/sign-in', text: '' }, path)
  const forms: [string, Record<string, string>][] = [
    ['/admin/accounts', { name: 'x', provider: 'instagram' }],
    ['/admin/sign-out-everywhere', {}],
    ['/connect/instagram', { account: 'default' }],
    ['/connect/instagram/confirm', { answer: 'x' }],
    ...['token', 'domains', 'constant', 'refresh', 'pause', 'resume', 'default', 'remove'].map((what): [string, Record<string, string>] => [
      `/admin/accounts/default/${what}`,
      { token, domains: 'evil.example', constant: 'Evil', name: 'default' },
    ]),
  ]
  for (const [path, form] of forms) {
    t.match(await stranger.post(path, form), { status: 303, location: '/admin/sign-in' }, path)
    t.match(await world.owner.post(path, form, { 'sec-fetch-site': 'same-site' }), { status: 403 }, `${path} from a sister host`)
    t.match(await world.owner.get(path), { status: /^(404|200)$/ as unknown as number }, `${path} by GET`)
  }
  t.match(await served(world.agent), { status: 200, token })
  t.match(await served(world.agent, '/accounts/x/token.json'), { status: 404 })
})

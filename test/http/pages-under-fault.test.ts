import t, { type Test } from 'tap'
import { DEFAULT, inDays, type Kept } from '../support/accounts.ts'
import { startMemcached } from '../support/memcached.ts'
import { type Client, createOwner, HTML, type OwnerWorld } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait-for.ts'
import { words } from '../support/words.ts'

const PAGES = words`/ /setup /status /admin /admin/sign-in /admin/accounts/default /admin/history /connect/instagram /nothing`
/** Words that a template shows for missing data. */
const HOLES = /\bundefined\b|\bnull\b|\bNaN\b|\[object|Invalid Date|\[secret\]/

/** Checks each page for each visitor: complete HTML without missing data. */
async function look(t: Test, { owner, stranger }: OwnerWorld, statuses: number[] = [200, 303, 404]): Promise<void> {
  for (const [who, client] of Object.entries({ owner, stranger })) {
    for (const path of PAGES) {
      const { status, headers, text, location } = await client.get(path, HTML)
      t.ok(statuses.includes(status), `${who} ${path}: ${status}`)
      if (location !== null) continue
      t.match(headers.get('content-type'), 'text/html', `${who} ${path}`)
      t.match(text, /<main.*<h1>.*<\/main>.*<\/html>/s, `${who} ${path} is whole`)
      t.notMatch(text.replace(/<pre[\s\S]*?<\/pre>/g, ''), HOLES, `${who} ${path} has no holes`)
    }
  }
}

/** Waits until the summary, which is recounted about once a second, shows on the page. */
const soon = (client: Client, path: string, words: RegExp): Promise<unknown> =>
  waitFor(`${path} to say ${words}`, async () => words.test(await client.page(path)), { everyMs: 250 })

t.test('without a fault', async (t) => {
  const world = await createOwner(t, { accounts: [DEFAULT] })
  await look(t, world)
  t.match(await world.owner.page('/status'), /Working.*The agent refreshes the token in 3 days.*you need not do anything/)
  t.match(await world.stranger.page('/setup'), /All is set up.*Works<\/span> <code>https:\/\/shop.example/)
  t.notMatch(await world.owner.page('/setup'), /IGAA/)
  const { status, headers } = await world.stranger.get('/nothing', { accept: '*/*' })
  t.match({ status, type: headers.get('content-type') }, { status: 404, type: 'application/json' }, 'a script gets JSON')
})

t.test('the token has expired', async (t) => {
  const world = await createOwner(t, { accounts: [{ ...DEFAULT, issuedAt: inDays(-61), expiresAt: inDays(-1), nextRefreshAt: inDays(1) }] })
  await look(t, world)
  t.match(await world.owner.page('/status'), /Needs attention.*has expired, and web sites get none/)
  t.match(await world.owner.page('/setup'), /The token has expired.*Needs attention<\/span> <code>https:\/\/shop.example.*expired/)
  const shown = await world.stranger.page('/setup')
  t.match(shown, /Needs attention/)
  t.notMatch(shown, /expired|default<|shop</, 'strangers see nothing more')
  t.notMatch(await world.stranger.page('/status'), /expired|default|shop|\d{4}-\d\d/)
})

t.test('no key opens the token', async (t) => {
  const world = await createOwner(t, { accounts: [DEFAULT] })
  world.agent.sql("update accounts set access_token = 'v1.unknown.AAAA.BBBB'")
  t.match(await world.owner.page('/status'), /Needs attention.*No key in ENCRYPTION_KEY opens/)
  await soon(world.owner, '/status', /No key in ENCRYPTION_KEY opens.*Encryption key.*Needs attention/)
  await look(t, world)
  await soon(world.owner, '/setup', /No key in ENCRYPTION_KEY opens/)
  t.match(await world.owner.page('/admin'), /needs you/)
})

t.test('the provider refuses, then does not answer', async (t) => {
  const world = await createOwner(t, { accounts: [DEFAULT] })
  world.instagram.fail('*', 'html502')
  await world.owner.post('/admin/accounts/default/refresh')
  await look(t, world)
  t.match(await world.owner.page('/status'), /trying again.*tries again (in|within).*1 failed.*Instagram<\/h3>.*Last answer: no/)
})

t.test('the embedded store is broken', async (t) => {
  const world = await createOwner(t, { accounts: [DEFAULT] })
  await world.agent.fetch('/token.json', { headers: { origin: 'https://shop.example' } })
  world.agent.sql('alter table accounts rename to gone')
  await look(t, world, [200, 303, 404, 500, 503])
  await soon(world.stranger, '/setup', /tables of the agent are gone.*restart it when the restore is done/)
  world.agent.sql('alter table gone rename to accounts')
  await look(t, world, [200, 303, 404, 500, 503])
  t.match(await world.owner.page('/status'), /cannot check whether you are signed in/, 'until it is restarted')
})

t.test('Postgres hangs, then stops; Memcached stops too', { skip: missing('postgres', 'memcached') }, async (t) => {
  const { url } = await createDatabase(t)
  const proxy = await startTcpProxy(t, { port: Number(new URL(url).port || 5432), host: new URL(url).hostname })
  const memcached = await startMemcached(t)
  const world = await createOwner(t, { accounts: [], env: { DATABASE_URL: proxy.through(url), MEMCACHIER_SERVERS: memcached.server } })
  await world.owner.post('/admin/accounts', { name: 'default', provider: 'instagram' })
  await world.owner.post('/admin/accounts/default/token', { token: world.instagram.issue() })
  const asked = await world.agent.fetch('/token.json', { headers: { origin: 'https://shop.example' } })
  t.equal(asked.status, 200)
  await look(t, world)

  await memcached.kill()
  const isLossShown = async (): Promise<boolean> => {
    await world.agent.fetch('/token.json', { headers: { origin: 'https://shop.example' } })
    return /Memcached<\/h3>.*?Does not answer.*?Nothing is lost/.test(await world.owner.page('/status'))
  }
  await waitFor('the loss to be shown', isLossShown, { everyMs: 250 })
  await look(t, world)

  proxy.blackHole()
  const startedMs = performance.now()
  await soon(world.stranger, '/setup', /Postgres server runs/)
  t.ok(performance.now() - startedMs < 15_000, 'a page does not wait without end')
  t.match(await world.owner.page('/status'), /cannot check whether you are signed in/)
  proxy.pass()
  await waitFor('the store to answer again', async () => /Sign out/.test(await world.owner.page('/status')))

  proxy.close()
  await look(t, world, [200, 303, 404, 503])
  await soon(world.stranger, '/status', /Needs attention/)
  t.match(await world.owner.page('/admin'), /cannot check whether you are signed in.*href="\/status"/)
  t.match(
    await world.stranger.page('/setup'),
    /wrong-step" id="step-database".*later-step" id="step-token"/,
    'nothing is next while there is no database',
  )
  t.notMatch(await world.stranger.page('/setup'), /to see (why|which)/, 'an impossible sign-in is not offered')
})

const ODD: Kept[] = [
  { name: 'a'.repeat(40), username: 'w'.repeat(300) },
  { name: 'default', username: '👩🏽‍🎨🧵' },
  { name: 'rtl', username: 'متجر' },
  { name: 'markup', username: `<img src=x onerror=alert(1)>"'&` },
  { name: 'percent', username: '100%_\\' },
  { name: 'empty', token: null, username: null, issuedAt: null, expiresAt: null, nextRefreshAt: null, state: 'unverified' },
]

t.test('names in every script are shown unchanged, and found', async (t) => {
  const world = await createOwner(t, { accounts: ODD })
  await look(t, world)
  const status = await world.owner.page('/status')
  t.match((await world.owner.get('/admin/accounts/default/picture')).text, '>👩🏽‍🎨</text>', 'the avatar has the first grapheme')
  t.match((await world.owner.get('/admin/accounts/markup/picture')).text, '>&#60;</text>')
  t.match(status, '@<bdi>متجر</bdi>', 'right-to-left text reorders nothing else')
  t.match(status, '&lt;img src=x onerror=alert(1)&gt;')
  t.notMatch(status, '<img src=x')
  for (const [typed, found] of [
    ['متجر', 'rtl'],
    ['@100%_', 'percent'],
    ['100%_\\', 'percent'],
    ['<IMG', 'markup'],
    ['PERC', 'percent'],
  ]) {
    const { text } = await world.owner.get(`/admin?${new URLSearchParams({ name: typed ?? '' })}`, HTML)
    t.strictSame(
      [...text.matchAll(/href="\/admin\/accounts\/([^"#]+)/g)].map((match) => match[1]),
      [found],
      String(typed),
    )
  }
})

t.test('five hundred accounts come twenty a page, each page within a fifth of a second of the processor', async (t) => {
  const names = Array.from({ length: 500 }, (_, at) => `shop-${String(at).padStart(3, '0')}`)
  const accounts = names.map((name, at) => ({
    name,
    attempts: Array<string>(60).fill('ok'),
    ...(at % 100 === 7 ? { state: 'reconnect' as const } : {}),
  }))
  const world = await createOwner(t, { accounts })
  for (const path of ['/status', '/admin']) {
    const seen: string[] = []
    const tookMs: number[] = []
    for (let next: string | undefined = path; next !== undefined; ) {
      const before = process.cpuUsage()
      const { text, status } = await world.owner.get(next, HTML)
      const { user, system } = process.cpuUsage(before)
      tookMs.push((user + system) / 1000)
      t.equal(status, 200, next)
      seen.push(...new Set([...text.matchAll(/href="\/admin\/accounts\/([^"#]+)/g)].map((match) => match[1] ?? '')))
      next = /rel="next" href="([^"]+)"/.exec(text)?.[1]?.replaceAll('&amp;', '&')
    }
    const needy = names.filter((_, at) => at % 100 === 7)
    t.strictSame(seen, [...needy, ...names.filter((name) => !needy.includes(name))], `${path} shows each once, the neediest in front`)
    const middle = tookMs.sort((a, b) => a - b)[Math.floor(tookMs.length / 2)] ?? 0
    t.comment(`${path}: half of its pages within ${Math.round(middle)} ms`)
    t.ok(middle < 200, `${path}: ${Math.round(middle)} ms`)
  }
  const needy = await world.owner.page('/status?show=attention')
  t.equal([...needy.matchAll(/<article/g)].length, 5)
  for (const odd of [
    'page=0',
    'page=-1',
    'page=1e9',
    'page=abc',
    'page=999999',
    `name=${'x'.repeat(500)}`,
    'page=1&page=2',
    'name=a&name=b',
  ]) {
    t.equal((await world.owner.get(`/status?${odd}`, HTML)).status, 200, odd)
  }
})

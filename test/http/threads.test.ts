import t, { type Test } from 'tap'
import { runCli } from '../support/agent.ts'
import { startInstagram, startThreads } from '../support/instagram.ts'
import type { Knobs } from '../support/instagram-knobs.ts'
import {
  approve,
  authorizeUrlIn,
  type Client,
  createOwner,
  openAgent,
  SERVER_KEY,
  SITE,
  served,
  settingsFor,
  signedRequest,
  threadsSettings,
} from '../support/owner.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

const SECRET = 'a-secret-of-the-threads-app'
const USER = '17841400379535405'

async function setUp(t: Test, { knobs = {}, env = {} }: { knobs?: Partial<Knobs>; env?: Record<string, string> } = {}) {
  const threads = await startThreads({ knobs: { signedInAs: USER, ...knobs } })
  t.teardown(() => threads.close())
  const world = await createOwner(t, { env: { ...threadsSettings(threads), ...env } })
  return { ...world, threads }
}

async function connect(client: Client, account: string, provider = 'threads') {
  return client.get(await approve(authorizeUrlIn(await client.post(`/connect/${provider}`, { account }))))
}

t.test('accounts of both providers are connected, refreshed and served side by side', async (t) => {
  const { agent, owner, threads, instagram } = await setUp(t)
  t.match(await connect(owner, 'shop', 'instagram'), { location: '/admin/accounts/shop?done=connected' })
  t.match(await connect(owner, 'talk'), { location: '/admin/accounts/talk?done=connected' })
  const { token } = await served(agent, '/accounts/talk/token.json')
  t.match(threads.issued.get(token ?? ''), { life: 'long', userId: USER })
  t.ok(instagram.issued.has((await served(agent, '/accounts/shop/token.json')).token ?? ''))

  const page = await owner.page('/admin/accounts/talk')
  t.match(page, `@<bdi>user.${USER}</bdi> (threads)`)
  t.match(page, 'Connect Threads again')
  t.notMatch(page, /name="revoke"/, 'Threads has no call that revokes')
  t.match(await owner.get('/admin/accounts/talk/picture'), { status: 200 })
  t.equal(threads.counts['/picture'], 1)

  t.match(await owner.page('/connect/threads'), /name="account" value="threads"/, 'a name is filled in')

  t.match(await owner.page('/?account=shop'), /Show your feed.*With instafeed/)
  const code = await owner.page('/?account=talk')
  t.match(code, /ThreadsToken/)
  t.notMatch(code, /graph\.instagram|instafeed/, 'the feeds are Instagram’s')

  threads.clock.advance(86_400_000)
  await owner.post('/admin/accounts/shop/refresh')
  t.match(await owner.post('/admin/accounts/talk/refresh'), { location: '/admin/accounts/talk?done=refreshed' })
  t.equal(threads.issued.get(token ?? '')?.replacedBy, (await served(agent, '/accounts/talk/token.json')).token)
  t.match(await owner.page('/status'), /<h3>Instagram<\/h3>.*<h3>Threads<\/h3>/)
  t.notMatch(agent.stdout(), /THAA|a-secret/)
})

t.test('seeds by environment and command line say that only servers get the token, and set-pages opens it', async (t) => {
  const threads = await startThreads({ knobs: { signedInAs: USER } })
  const instagram = await startInstagram()
  t.teardown(() => Promise.all([threads.close(), instagram.close()]))
  const cwd = tempFolder(t, 'threads-seeds')
  const env = { ...settingsFor(instagram), ...threadsSettings(threads), SERVER_KEYS: SERVER_KEY }
  const says = /It does not tell what it can do, so only servers get it until you allow pages to have it\./
  const seeded = await openAgent(t, { instagram, cwd, env: { ...env, THREADS_STARTING_TOKEN: threads.issue() } })
  t.match(seeded.stdout(), new RegExp(`THREADS_STARTING_TOKEN is stored. ${says.source}`))
  t.match(seeded.sql("select detail from events where kind = 'seeded'"), [{ detail: says }])
  await seeded.close()

  const run = (args: string, stdin = '') =>
    runCli(t, args.split(' '), { cwd, env: { DATABASE_URL: `sqlite:${cwd}/data/token-agent.sqlite`, ...env }, stdin })
  t.match(await run('accounts add talk --provider threads'), { code: 0 })
  t.match(await run('accounts set-pages talk allowed'), { code: 1, stdout: /has no token yet/ })
  t.match(await run('seed talk', threads.issue()), { code: 0, stdout: says })
  t.match(await run('seed', instagram.issue()), { code: 0, stdout: /^((?!only servers).)*$/s })
  t.match(await run('accounts set-pages default servers-only'), { code: 1, stdout: /does not tell what it can do: web pages get it/ })
  t.match(await run('accounts set-pages talk allowed'), {
    code: 0,
    stdout: /It does not tell its permissions\.\nEach visitor.*delete as @user.*take it back: .*accounts set-pages talk servers-only/s,
  })
  t.match(await run('accounts list'), { stdout: /talk +threads.* {2}web sites too, though/ })
  const agent = await openAgent(t, { instagram, cwd, env })
  t.match(await served(agent, '/accounts/talk/token.json'), { status: 200 })
  t.match(agent.sql("select actor, detail from events where account = 'talk' and kind = 'changed'"), [
    { actor: 'cli', detail: /may have the token/ },
  ])
  t.match(await run('accounts set-pages talk servers-only'), { code: 0, stdout: /Only servers get the token of “talk” now/ })
  await waitFor('pages to lose it', async () => (await served(agent, '/accounts/talk/token.json')).status === 403)
})

t.test('a provider that was never called has no tile on /status', async (t) => {
  const { owner } = await setUp(t)
  await connect(owner, 'talk')
  await owner.post('/admin/accounts/talk/refresh')
  t.notMatch(await owner.page('/status'), /<h3>Instagram<\/h3>/)
})

t.test('each fault on the way leaves the account as it was, with a sentence of Threads', async (t) => {
  const { owner, threads } = await setUp(t)
  await connect(owner, 'talk')
  const fails = async (says: RegExp, status = 422) => {
    const { text, ...answer } = await connect(owner, 'talk')
    t.equal(answer.status, status)
    t.match(text, says)
    t.notMatch(text, /AQ[\w-]{20}|THAA|a-secret|Instagram/)
    threads.heal()
  }
  for (const denialState of ['with', 'without'] as const) {
    Object.assign(threads.knobs, { consent: 'deny', denialState })
    await fails(/Threads says that the request was declined/)
  }
  threads.knobs.consent = 'approve'
  threads.fail('/oauth/access_token', 'wrongSecret')
  await fails(/Threads does not know this agent’s app ID and secret.*not those of the Meta app/s)
  threads.fail('/access_token', 'unsupported')
  await fails(/tester invitation is pending/)
  threads.fail('/v1.0/me', 'html502')
  await fails(/Threads did not answer/, 503)
  t.match(await owner.get('/admin/accounts/talk'), { text: /working/ })
})

t.test('a seed by THREADS_STARTING_TOKEN is the account threads, and is refreshed', async (t) => {
  const threads = await startThreads()
  t.teardown(() => threads.close())
  const seed = threads.issue()
  const agent = await openAgent(t, { env: { THREADS_STARTING_TOKEN: seed, SERVER_KEYS: SERVER_KEY, ...threadsSettings(threads) } })
  const read = await agent.fetch('/accounts/threads/token', { headers: { authorization: `Bearer ${SERVER_KEY}` } })
  t.equal(await read.text(), threads.issued.get(seed)?.replacedBy)
  t.match(await served(agent, '/accounts/threads/token.json'), { status: 403 }, 'its scopes are unknown, so pages do not get it')
  t.same(agent.sql("select provider from accounts where name = 'threads'"), [{ provider: 'threads' }])
})

t.test('no way in sends a token to another provider than the account’s', async (t) => {
  const [threads, instagram] = [await startThreads(), await startInstagram()]
  t.teardown(() => Promise.all([threads.close(), instagram.close()]))
  const cwd = tempFolder(t, 'both')
  const env = { ...settingsFor(instagram), ...threadsSettings(threads) }
  const before = await createOwner(t, { cwd, env, instagram })
  await connect(before.owner, 'threads', 'instagram')
  const row = before.agent.sql("select * from accounts where name = 'threads'")
  await before.agent.close()

  const seed = threads.issue()
  const { agent, owner } = await createOwner(t, { cwd, instagram, env: { ...env, THREADS_STARTING_TOKEN: seed } })
  t.match(agent.stdout(), /THREADS_STARTING_TOKEN has not taken over: The account “threads” belongs to instagram, not to threads/)
  t.match(await owner.post('/connect/threads', { account: 'threads' }), { status: 409, text: /belongs to instagram, not to threads/ })
  t.match(await owner.post('/admin/accounts/threads/token', { token: seed }), { status: 400, text: /is one of Threads/ })
  t.same(threads.calls, [])
  t.same(agent.sql("select * from accounts where name = 'threads'"), row, 'the row is unchanged')
  t.notOk(instagram.calls.some(({ token }) => token === seed))
})

t.test('the constant is named by the account, then by its provider, and a new default says that the name changes', async (t) => {
  const { agent, owner } = await setUp(t, { env: { JS_CONSTANT_NAME: 'ShopToken' } })
  await connect(owner, 'default', 'instagram')
  await connect(owner, 'talk')
  const script = async (path: string) => (await agent.fetch(path, { headers: { origin: SITE } })).text()
  t.match(await script('/token.js'), 'ShopToken')
  t.match(await script('/accounts/talk/token.js'), 'ThreadsToken')
  const before = await owner.page('/admin/accounts/talk')
  t.match(before, /then called <code>ThreadsToken<\/code>, no longer <code>ShopToken<\/code>/)
  t.match(before, /Name of the constant; empty: <code>ThreadsToken</)
  t.notMatch(await owner.page('/admin/accounts/default'), /no longer/)

  await owner.post('/admin/accounts/talk/constant', { constant: 'ShopToken' })
  t.match(await script('/accounts/talk/token.js'), 'ShopToken')
  t.notMatch(await owner.page('/admin/accounts/talk'), /no longer/, 'with the same name nothing changes')
  await owner.post('/admin/accounts/talk/constant', { constant: '' })
  await owner.post('/admin/accounts/talk/default')
  t.match(await script('/token.js'), 'ThreadsToken')
})

t.test('Meta’s calls about Threads users take permission and data back', async (t) => {
  const { agent, owner } = await setUp(t)
  let issuedAt = Math.floor(Date.now() / 1000) + 60
  const call = (path: string, secret = SECRET) => {
    const signed = signedRequest({ algorithm: 'HMAC-SHA256', user_id: USER, issued_at: issuedAt++ }, secret)
    return agent.fetch(`/callbacks/threads/${path}`, { method: 'POST', body: new URLSearchParams({ signed_request: signed }) })
  }
  await connect(owner, 'talk')
  t.equal((await call('deauthorize', 'a-secret-of-the-instagram-app')).status, 403)
  t.equal((await call('deauthorize')).status, 200)
  t.match(await owner.page('/admin/accounts/talk'), /Threads user has taken the permission back/)
  await connect(owner, 'talk')
  const { url } = (await (await call('delete')).json()) as { url: string }
  t.match(url, /\/callbacks\/threads\/deletions\/\w+$/)
  t.match(agent.sql("select access_token, username from accounts where name = 'talk'"), [{ access_token: null, username: null }])
})

t.test('the command line makes an account of the provider that is named', async (t) => {
  const threads = await startThreads()
  t.teardown(() => threads.close())
  const cwd = tempFolder(t, 'cli')
  const run = (args: string[], stdin = '') => runCli(t, args, { cwd, env: threadsSettings(threads), stdin })
  t.match(await run(['accounts', 'add', 'talk', '--provider', 'threads']), { code: 0 })
  t.match(await run(['seed', 'talk'], threads.issue()), { code: 0 })
  t.match(await run(['accounts', 'list']), { stdout: /^working +talk\* +threads +@user\.\d+/m })
  t.match(await run(['accounts', 'add', 'other', '--provider', 'nobody']), { code: 1, stderr: /does not know this provider/ })
})

t.test('the pages have Threads’ own steps, with the values to copy', async (t) => {
  const { owner } = await setUp(t, { env: { THREADS_APP_ID: '', THREADS_APP_SECRET: '' } })
  const setup = await owner.page('/setup')
  for (const words of ['Access the Threads API', '/connect/threads/callback', 'THREADS_STARTING_TOKEN', 'seed threads', 'THREADS_APP_ID'])
    t.match(setup, words)
  const admin = await owner.page('/admin')
  for (const words of ['/callbacks/threads/deauthorize', '/callbacks/threads/delete', 'error 4476002', '<option value="threads">Threads'])
    t.match(admin, words)
})

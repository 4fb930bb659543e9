import t from 'tap'
import { ask, createOwner, type Fetching, openServing } from '../../support/owner.ts'
import { waitFor } from '../../support/wait-for.ts'

const PAGES = ['/', '/setup', '/status']
const { agent, token } = await openServing(t)
/** Waits: the page reads the store at most once a second. */
async function statusOf(of: Fetching, words: RegExp): Promise<string> {
  return waitFor(`the status page to say ${words}`, async () => {
    const { body } = await ask(of, '/status')
    return words.test(body) && body
  })
}

t.test('the pages run only the agent’s own files, embed no frame and send nothing elsewhere', async (t) => {
  for (const page of PAGES) {
    const { status, headers, body } = await ask(agent, page)
    t.equal(status, 200, page)
    t.equal(headers['content-type'], 'text/html; charset=utf-8')
    t.match(headers['content-security-policy'], /default-src 'none'/)
    t.match(headers['content-security-policy'], /frame-ancestors 'none'/)
    t.notMatch(headers['content-security-policy'], /unsafe|\*/)
    t.equal(headers['referrer-policy'], 'no-referrer')
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.match(headers['strict-transport-security'], /^max-age=\d+$/, 'this host only, without subdomains')
    t.match(body, /^<!doctype html>/i)
    for (const [tag] of body.matchAll(/<script[^>]*>.{0,9}/gis))
      t.match(tag, /^<script src="\/[\w./?=-]+"[^>]*><\/script>/, 'every script is a file of the agent')
    t.notMatch(body, / on\w+=/i)
    t.notOk(body.includes(token))
  }
  t.match((await ask(agent, '/style.css')).headers['content-type'], 'text/css')
})

t.test('the snippet to copy has the agent’s own address, crossorigin and the name of the constant', async (t) => {
  const { body } = await ask(agent, '/', { headers: { host: 'evil.example' } })
  const code = body.replaceAll('&quot;', '"')
  t.match(code, '&lt;script src="https://agent.example/token.js" crossorigin="anonymous"\nonerror="fetch(this.src)')
  t.match(body, /accessToken: InstagramToken/)
  t.match(body, /shop\.example/)
})

t.test('the public status says that it works, or that it needs attention, and no more', async (t) => {
  const { body } = await ask(agent, '/status')
  t.match(body, /Working/)
  t.notMatch(body, /user\.|1784|\d{4}-\d{2}-\d{2}|default/, 'no user, no account, no time')

  agent.sql("update accounts set state = 'reconnect', last_error_code = 'reconnect', last_error = 'a-safe-sentence'")
  const ill = await statusOf(agent, /Needs attention/)
  t.notMatch(ill, /Working|a-safe-sentence/)
  agent.sql("update accounts set state = 'unverified', last_error_code = null, last_error = null")
  t.notMatch(await statusOf(agent, /Not set up yet/), /Working/, 'no token is confirmed yet')
  agent.sql("update accounts set state = 'active'")
  await statusOf(agent, /Working/)
})

t.test('without a token the pages list the steps', async (t) => {
  const serving = await openServing(t, { STARTING_TOKEN: '', ALLOWED_DOMAINS: '', APP_URL: '' })
  const { status, body } = await ask(serving.agent, '/setup')
  t.equal(status, 200)
  for (const word of ['STARTING_TOKEN', 'ALLOWED_DOMAINS', 'Generate token', 'token-agent seed', 'APP_URL', 'auth threads'])
    t.match(body, word)
  t.match((await ask(serving.agent, '/status')).body, /Not set up yet.*href="\/setup"/s)
  t.notMatch((await ask(serving.agent, '/status')).body, /Needs attention|Working/, 'a fresh agent is not called broken')
  t.match((await ask(serving.agent, '/')).body, /<h1>.*?<\/h1>\s*<p class="note">No token yet: <a href="\/setup">/s)
  t.match((await ask(serving.agent, '/')).body, `${serving.agent.url}/token.js`)
})

t.test('HIDE_HELP_PAGES hides the pages from visitors; the owner can still sign in and see them', async (t) => {
  const { agent, owner } = await createOwner(t, { env: { HIDE_HELP_PAGES: 'true' } })
  for (const page of PAGES) {
    const { status, body } = await ask(agent, page)
    t.equal(status, 204, page)
    t.equal(body, '')
    t.match(await owner.get(page, { accept: 'text/html' }), { status: 200, text: /Sign out/ }, page)
  }
  t.match((await ask(agent, '/admin')).headers['location'], '/admin/sign-in')
  t.match((await ask(agent, '/admin/sign-in')).body, /name="password"/)
})

t.test('shared pages hold no data of the owner and set no cookie, even right after the owner’s requests', async (t) => {
  const { agent, owner } = await createOwner(t)
  await owner.post('/admin/accounts', { name: 'canary-account', provider: 'instagram' })
  const odd = ['', 'token-agent-session=made-up', 'token-agent-device=made-up', `token-agent-session=${'A'.repeat(43)}`]
  const look = async (path: string, cookie: string): Promise<void> => {
    const encoding = cookie === '' ? {} : { cookie, 'accept-encoding': 'identity' }
    const { headers, body } = await ask(agent, path, { headers: { accept: 'text/html', ...encoding } })
    t.notMatch(body, /canary|Sign out/, `${path} with ${cookie}`)
    t.equal(headers['set-cookie'], undefined, path)
    t.equal(headers['cache-control'], 'no-store', path)
  }
  for (const path of [...PAGES, '/admin/sign-in', '/nothing-here']) {
    const mine = Array.from({ length: 4 }, () => owner.get(path, { accept: 'text/html' }))
    await Promise.all([...odd.map((cookie) => look(path, cookie)), ...mine])
    await Promise.all([...odd.map((cookie) => look(path, cookie)), owner.get(path, { accept: 'text/html' })])
  }
  t.match((await owner.get('/', { accept: 'text/html' })).text, /canary-account/)
})

t.test('/setup tries a read for each listed site, and counts none', async (t) => {
  const key = 'metrics-key-0123456789abcdef'
  const serving = await openServing(t, { METRICS_KEY: key })
  const reads = async (): Promise<string[]> => {
    const { body } = await ask(serving.agent, '/metrics', { headers: { authorization: `Bearer ${key}` } })
    return body.split('\n').filter((line) => /^token_agent_(reads_total|lookups_total|read_duration_seconds_count)/.test(line))
  }
  const before = await reads()
  t.ok(before.length > 4, before.join())
  for (let look = 0; look < 3; look++) {
    t.match(
      (await ask(serving.agent, '/setup')).body,
      /Works<\/span>\s+<code>https:\/\/shop\.example<.*Works<\/span>\s+<code>https:\/\/www\.shops\.example</s,
    )
    await ask(serving.agent, `/?account=default&look=${look}`)
  }
  t.strictSame(await reads(), before)
})

t.test('the pages work while the store is down', async (t) => {
  const serving = await openServing(t)
  serving.agent.sql('alter table accounts rename to gone')
  for (const page of PAGES) t.equal((await ask(serving.agent, page)).status, 200, page)
  await statusOf(serving.agent, /Needs attention/)
})

t.test('a token that no key opens is reported by the status page and by /readyz', async (t) => {
  const serving = await openServing(t)
  serving.agent.sql("update accounts set access_token = 'v1.unknown.AAAA.BBBB'")
  await statusOf(serving.agent, /Needs attention/)
  const isReported = async (): Promise<boolean> =>
    JSON.parse((await ask(serving.agent, '/readyz')).body).parts.tokens.state === 'need attention'
  t.ok(await waitFor('/readyz to report it', isReported))
  t.equal(serving.agent.sql<Record<string, unknown>>('select access_token from accounts')[0]?.['access_token'], 'v1.unknown.AAAA.BBBB')
})

import t from 'tap'
import { runCli } from '../support/agent.ts'
import { createClient, createOwner, openAgent, PASSWORD } from '../support/owner.ts'

const SECRETS = {
  SERVER_KEYS: 'server-key-of-a-test',
  METRICS_KEY: 'metrics-key-of-a-test',
  WEBHOOK_SECRET: 'webhook-secret-of-a-test',
  ENCRYPTION_KEY: 'encryption-key-of-a-test',
}
const { instagram, agent, owner } = await createOwner(t, { env: { ...SECRETS, STARTING_TOKEN: SECRETS.METRICS_KEY } })
const all = { ...SECRETS, ADMIN_PASSWORD: PASSWORD, INSTAGRAM_APP_SECRET: instagram.apps[0]?.clientSecret ?? '' }
const refusal = (name: string): RegExp =>
  new RegExp(`This is the value of ${name}, .*Nothing was stored or sent\\. Paste the access token alone`)

t.test('a secret of the configuration is refused as a token in every form: nothing is stored, and Instagram is not called', async (t) => {
  await owner.post('/admin/accounts', { name: 'empty', provider: 'instagram' })
  for (const [name, secret] of Object.entries(all)) {
    for (const token of [secret, `“${secret}” `, `access_token=${secret}`]) {
      const created = await owner.post('/admin/accounts', { name: 'shop', provider: 'instagram', token })
      t.match(created, { status: 400, text: refusal(name) }, name)
      t.notOk(created.text.includes(secret))
      t.match(await owner.post('/admin/accounts/empty/token', { token }), { status: 400, text: refusal(name) }, name)
    }
    t.equal((await owner.get('/admin/accounts/shop')).status, 404, 'the account is not created either')
  }
  const env = { ...all, INSTAGRAM_APP_ID: '1', INSTAGRAM_GRAPH_URL: instagram.url }
  const { code, stdout, stderr } = await runCli(t, ['seed'], { env, stdin: PASSWORD })
  t.equal(code, 1)
  t.match(stdout + stderr, refusal('ADMIN_PASSWORD'))
  t.equal(instagram.calls.length, 0)
})

t.test('a secret is refused as a public name', async (t) => {
  const says = /This is the value of SERVER_KEYS, and this field is public\. Nothing was saved/
  t.match(await owner.post('/admin/accounts', { name: SECRETS.SERVER_KEYS, provider: 'instagram' }), { status: 400, text: says })
})

t.test('a token is extracted from the pasted text, and text without a token is refused with its kind', async (t) => {
  const token = instagram.issue()
  t.match(await owner.post('/admin/accounts', { name: 'found', provider: 'instagram', token: `{"access_token":"${token}"}` }), {
    status: 303,
  })
  t.ok(instagram.calls.length > 0)
  const wrong = await owner.post('/admin/accounts', { name: 'lost', provider: 'instagram', token: instagram.issue({ family: 'facebook' }) })
  t.match(wrong, { status: 400, text: /The token is one of Facebook Login/ })
})

t.test('web sites are saved and shown in full; a shared host is saved with a warning', async (t) => {
  await owner.post('/admin/accounts/empty/domains', { domains: 'localhost:8080, Shop.example *.shops.example' })
  t.match((await owner.get('/admin/accounts/empty')).text, /http:\/\/localhost:8080 https:\/\/shop\.example https:\/\/\*\.shops\.example/)
  const { location } = await owner.post('/admin/accounts/empty/domains', { domains: '*.wordpress.com' })
  t.match((await owner.get(location ?? '')).text, /strangers can have pages under one of its entries/)
  await owner.post('/admin/accounts/empty/domains', { domains: '2026-99-99T99.99Z.example.com' })
  t.equal((await owner.get('/admin/accounts/empty')).status, 200, 'a name that looks like an instant breaks no page')
})

t.test('/setup shows warnings about settings to everyone, and a weak password only to the owner', async (t) => {
  const env = { ADMIN_PASSWORD: '"1234567"', ALLOWED_DOMAINS: '*.squarespace.com localhost:8080', LOG_LEVEL: 'warn' }
  const weak = await openAgent(t, { env })
  const visitor = createClient(weak)
  const seen = (await visitor.get('/setup')).text
  t.match(seen, /ADMIN_PASSWORD: stands in quotes/)
  t.match(seen, /\*\.squarespace\.com.* allows everybody’s site/)
  t.match(seen, /https:\/\/\*\.squarespace\.com/, 'in full')
  t.match(seen, /http:\/\/localhost:8080/)
  t.notMatch(seen, /guessed|1234567/)
  for (const word of ['stands in quotes', 'allows everybody’s site', 'which can be guessed']) t.ok(weak.stdout().includes(word), word)
  t.notOk(weak.stdout().includes('1234567'))
  t.match(await visitor.signIn('"1234567"'), { status: 303 }, 'as it was typed before')
  const own = (await visitor.get('/setup')).text
  t.match(own, /<li class="card wrong-step" id="step-password">/)
  t.match(own, /ADMIN_PASSWORD: has fewer than 12 characters/)
})

t.test('the one-time password is printed whatever LOG_LEVEL says, and is no token', async (t) => {
  for (const LOG_LEVEL of ['error', 'silent']) {
    const fresh = await openAgent(t, { env: { LOG_LEVEL, ADMIN_PASSWORD: '' } })
    const password = /use this password: ([\w-]+)/.exec(fresh.stdout())?.[1] ?? ''
    const client = createClient(fresh)
    t.match(await client.signIn(password), { status: 303 }, LOG_LEVEL)
    const pasted = await client.post('/admin/accounts', { name: 'shop', provider: 'instagram', token: password })
    t.match(pasted, { status: 400, text: /This is the value of the one-time password/ })
    t.equal(fresh.instagram.calls.length, 0)
  }
})

t.test('STARTING_TOKEN that is another secret is not used, and the agent runs', async (t) => {
  t.equal((await owner.get('/admin/accounts/default')).status, 404)
  t.match((await owner.get('/setup')).text, /STARTING_TOKEN: is the value of METRICS_KEY/)
  t.match(agent.stdout(), /STARTING_TOKEN has not taken over: This is the value of METRICS_KEY/)
})

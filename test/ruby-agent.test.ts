import t from 'tap'
import { startAgent } from './support/agent.ts'
import { startInstagram } from './support/instagram.ts'
import { ask, runScript } from './support/owner.ts'
import { missing } from './support/services.ts'
import { createDatabase } from './support/shared-postgres.ts'

const SITE = 'https://yourshop.com'

// The variables of the older agent's app.json and documentation.
const VARIABLES = {
  APP_NAME: 'my-token-agent',
  ALLOWED_DOMAINS: 'yourshop.com www.yourshop.com',
  WEBHOOK_SECRET: '0f'.repeat(32),
  HIDE_HELP_PAGES: '',
  JS_CONSTANT_NAME: 'InstagramToken',
  REFRESH_MODE: 'cron',
  REFRESH_FREQUENCY: 'weekly',
  // Set by its add-on; the agent ignores it.
  TEMPORIZE_URL: 'https://user:password@api.temporize.net',
  RACK_ENV: 'production',
}

t.test('the Ruby agent’s variables and addresses work', { skip: missing('postgres') }, async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const starting = instagram.issue()
  const database = await createDatabase(t)
  const env = { ...VARIABLES, STARTING_TOKEN: starting, DATABASE_URL: database.url, INSTAGRAM_GRAPH_URL: instagram.url }
  // The only new variable with Postgres.
  const agent = await startAgent(t, { ready: '/readyz', env: { ...env, ENCRYPTION_KEY: 'an-encryption-key-of-a-test' } })
  const token = instagram.issued.get(starting)?.replacedBy

  await t.test('by script, JSON and text, with CORS', async (t) => {
    const referer = { headers: { referer: `${SITE}/` } }
    const script = await ask(agent, '/token.js', referer)
    t.match(script.headers['content-type'], 'text/javascript')
    t.equal(runScript(script.body, 'InstagramToken').value, token)
    const named = await ask(agent, '/token.js?const=MyToken', referer)
    t.equal(runScript(named.body, 'MyToken').value, token)
    for (const origin of [SITE, 'https://www.yourshop.com']) {
      const json = await ask(agent, '/token.json', { headers: { origin } })
      t.same(JSON.parse(json.body), { token })
      t.equal(json.headers['access-control-allow-origin'], origin)
    }
    t.equal((await ask(agent, '/token', referer)).body, token)
    const preflight = { method: 'OPTIONS', headers: { origin: SITE, 'access-control-request-method': 'GET' } }
    const { status, headers } = await ask(agent, '/token', preflight)
    t.equal(status, 204)
    t.equal(headers['access-control-allow-origin'], SITE)
  })

  await t.test('the help pages keep their addresses', async (t) => {
    for (const page of ['/', '/setup', '/status']) t.equal((await ask(agent, page)).status, 200, page)
    t.match((await ask(agent, '/')).body, 'https://my-token-agent.herokuapp.com/token.js')
  })

  await t.test('the scheduler’s old address is gone, and the new one accepts the same secret', async (t) => {
    t.equal((await ask(agent, '/hooks/refresh/0123456789abcdef', { method: 'POST' })).status, 404)
    const headers = { authorization: `Bearer ${VARIABLES.WEBHOOK_SECRET}` }
    t.equal((await ask(agent, '/hooks/refresh', { method: 'POST', headers })).status, 200)
  })

  await t.test('another site gets nothing, not by script either', async (t) => {
    for (const headers of [{ origin: 'https://evil.example' }, { referer: 'https://evil.example/' }]) {
      const { status, body } = await ask(agent, '/token.js', { headers })
      t.equal(status, 403)
      t.notMatch(body, token)
    }
  })
})

t.test('placeholders of the Ruby agent’s deploy button count as unset', async (t) => {
  const placeholders = { STARTING_TOKEN: 'copy_token_here', APP_NAME: 'copy_app_name_here', ALLOWED_DOMAINS: 'yourwebsite.com' }
  const agent = await startAgent(t, { env: { ...VARIABLES, ...placeholders } })
  t.equal((await ask(agent, '/setup')).status, 200)
  const { status } = await ask(agent, '/token.json', { headers: { origin: 'https://yourwebsite.com' } })
  t.equal(status, 403, 'no site is on the list')
})

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FACEBOOK_APP, startFacebook } from '../support/facebook.ts'
import { FAULTS, type FaultName } from '../support/instagram-faults.ts'
import { approve, authorizeUrlIn, createOwner, facebookSettings, SERVER_KEY } from '../support/owner.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { APP } from '../support/tiktok-oauth.ts'

// Instagram's flows are part of test/secrets.test.ts.

interface StandIn {
  readonly env: Record<string, string>
  readonly secrets: () => readonly string[]
  /** Pasted by the owner, one after the other. */
  readonly pasted: readonly string[]
  fail(fault: FaultName): void
  heal(): void
  /** How many addresses of calls held a secret, where the provider's calls need none there. */
  secretsInUrl(): number
}

async function tiktok(t: Test): Promise<StandIn> {
  const standIn = await startTikTok({ knobs: { rotation: 'grace' } })
  t.teardown(() => standIn.close())
  const [seed, refresh, access] = [standIn.issue().refresh, standIn.issue().refresh, standIn.issue().access]
  return {
    env: { ...tiktokSettings(standIn), TIKTOK_REFRESH_TOKEN: seed, TIKTOK_SCOPES: 'user.info.basic,video.publish' },
    secrets: () => [APP.secret, ...standIn.tokens.keys()],
    pasted: [refresh, access],
    fail(fault) {
      for (const one of ['exchange', 'refresh', 'user', 'creator', 'revoke'] as const) standIn.fail(one, fault)
    },
    heal: () => void standIn.heal(),
    secretsInUrl: () => standIn.wrong.secretsInUrl,
  }
}

async function facebook(t: Test): Promise<StandIn> {
  const standIn = await startFacebook()
  t.teardown(() => standIn.close())
  return {
    env: { ...facebookSettings(standIn), FACEBOOK_STARTING_TOKEN: standIn.issue() },
    secrets: () => [FACEBOOK_APP.secret, ...standIn.tokens.keys()],
    pasted: [standIn.issue(), standIn.issue({ kind: 'page' })],
    fail(fault) {
      for (const path of ['/oauth/access_token', '/debug_token', '/me/accounts', '/me', '/me/permissions']) standIn.fail(path, fault)
    },
    heal: () => void standIn.heal(),
    // Graph calls have the token among their parameters.
    secretsInUrl: () => 0,
  }
}

t.jobs = 2
for (const [provider, start] of Object.entries({ tiktok, facebook })) {
  t.test(`no token, code or secret of ${provider} is in any page, log or row, through every flow and fault`, async (t) => {
    const standIn = await start(t)
    const { agent, owner, stranger } = await createOwner(t, { env: { SERVER_KEYS: SERVER_KEY, LOG_LEVEL: 'trace', ...standIn.env } })
    const shown: string[] = []
    const codes: string[] = []
    const keep = (one: { text: string; headers: Headers }) => void shown.push(one.text, JSON.stringify([...one.headers]))
    const trip = async (account: string): Promise<void> => {
      const back = await approve(authorizeUrlIn(await owner.post(`/connect/${provider}`, { account })))
      codes.push(new URL(back, 'http://x').searchParams.get('code') ?? '')
      keep(await owner.get(back))
    }
    await trip('shop')
    for (const fault of (Object.keys(FAULTS) as FaultName[]).filter((name) => name !== 'hang' && name !== 'flood')) {
      standIn.fail(fault)
      await trip('another')
      keep(await owner.post('/admin/accounts/shop/refresh'))
      keep(await owner.get('/admin/accounts/shop?done=connected'))
      standIn.heal()
      await owner.post('/admin/accounts/shop/refresh')
    }
    for (const path of ['/', '/setup', '/status', '/admin', '/admin/accounts/shop?done=connected', '/admin/accounts/shop/history'])
      for (const client of [owner, stranger]) keep(await client.get(path))
    keep(await stranger.get('/accounts/shop/token.json', { origin: 'https://shop.example' }))
    for (const token of standIn.pasted) keep(await owner.post('/admin/accounts/shop/token', { token }))
    keep(await owner.post('/admin/accounts/shop/remove', { name: 'shop', revoke: 'yes' }))
    const rows = readdirSync(join(agent.cwd, 'data')).map((name) => readFileSync(join(agent.cwd, 'data', name), 'latin1'))
    const outputs = { pages: shown.join('\n'), log: agent.stdout(), store: rows.join('\n') }
    const secrets = [SERVER_KEY, ...codes.filter((code) => code !== ''), ...standIn.secrets()]
    t.ok(secrets.length > 25, `${secrets.length} secrets`)
    for (const [where, text] of Object.entries(outputs)) {
      const forms = (one: string): string[] => [one, encodeURIComponent(one), Buffer.from(one).toString('base64').slice(0, -4)]
      const found = secrets.filter((secret) => forms(secret).some((one) => text.includes(one))).map((secret) => secret.slice(0, 6))
      t.same(found, [], where)
    }
    t.equal(standIn.secretsInUrl(), 0)
  })
}

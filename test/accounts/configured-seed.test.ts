import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { PROVIDERS } from '../../src/providers/registry.ts'
import { createOwner, openAgent } from '../support/owner.ts'
import { tempFolder } from '../support/temp-folder.ts'

const TOKENS: Readonly<Record<string, string>> = {
  STARTING_TOKEN: `IGAA${'x'.repeat(120)}`,
  THREADS_STARTING_TOKEN: `THAA${'x'.repeat(120)}`,
  FACEBOOK_STARTING_TOKEN: `EAAC${'x'.repeat(120)}`,
  TIKTOK_REFRESH_TOKEN: `rft.${'x'.repeat(60)}`,
}
const SEEDS = PROVIDERS.map(({ name, seed }) => ({ provider: name, ...seed, token: TOKENS[seed.variable] ?? '' }))

/** Takes the place of every provider, and refuses or gives no answer. */
async function setUp(t: Test, isSilent = false) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    if (isSilent) request.socket.destroy()
    else
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"no","type":"OAuthException","code":190}}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close().closeAllConnections())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const addresses = PROVIDERS.flatMap(({ variables }) => Object.keys(variables).filter((name) => /_(GRAPH|API|WEB)_URL$/.test(name)))
  const credentials = {
    THREADS_APP_ID: '1234567890',
    THREADS_APP_SECRET: 'a-secret-of-an-app-of-Threads',
    FACEBOOK_APP_ID: '1234567890',
    FACEBOOK_APP_SECRET: 'a-secret-of-an-app-of-Facebook',
    TIKTOK_CLIENT_KEY: 'awabcdefgh0123456789',
    TIKTOK_CLIENT_SECRET: 'a-secret-of-an-app-of-TikTok',
  }
  return { asked, env: { ...Object.fromEntries(addresses.map((name) => [name, url])), ...credentials } }
}

for (const { variable, account: name, provider, token } of SEEDS) {
  t.test(`${variable} leaves an account of each other provider alone, and log and /setup name both`, async (t) => {
    const { asked, env } = await setUp(t)
    for (const other of PROVIDERS.map((one) => one.name).filter((one) => one !== provider)) {
      const cwd = tempFolder(t, 'other-provider')
      const before = await openAgent(t, { cwd, env, accounts: [{ name }] })
      before.sql(`update accounts set provider = '${other}' where name = '${name}' returning name`)
      const row = () => before.sql(`select provider, access_token, refresh_token, version, revision, seed_fingerprint from accounts`)
      const kept = row()
      await before.close()
      asked.length = 0
      const { agent, owner, stranger } = await createOwner(t, {
        cwd,
        env: { ...env, ENCRYPTION_KEY: 'the-key-of-the-accounts-of-these-tests', [variable]: token },
      })
      t.strictSame(row(), kept, other)
      t.strictSame(asked, [], `no call, to ${other} neither`)
      const says = `${variable} has not taken over: The account “${name}” belongs to ${other}, not to ${provider}.`
      t.match(agent.stdout(), says)
      t.match(await owner.page('/setup'), says)
      t.notMatch(await stranger.page('/setup'), /belongs to/)
      t.notMatch(agent.stdout() + (await owner.page('/setup')), token)
      await agent.close()
    }
  })
}

t.test('each seed runs alone: where all providers are silent, each is kept and tried again', async (t) => {
  const { env } = await setUp(t, true)
  const { agent } = await createOwner(t, { env: { ...env, ...TOKENS } })
  t.strictSame(
    agent.sql<{ name: string; provider: string }>('select name, provider from accounts order by name').map((row) => ({ ...row })),
    SEEDS.map(({ account, provider }) => ({ name: account, provider })).sort((a, b) => (a.name < b.name ? -1 : 1)),
  )
  t.match(agent.sql('select count(distinct seed_fingerprint) as n from accounts'), [{ n: SEEDS.length }], 'one fingerprint an account')
})

t.test('a seed whose account was removed does not bring it back, and /setup says why', async (t) => {
  const { env } = await setUp(t)
  const cwd = tempFolder(t, 'removed')
  const all = { ...env, ...TOKENS }
  const { agent, owner } = await createOwner(t, { cwd, env: all })
  for (const { account } of SEEDS)
    t.match(await owner.post(`/admin/accounts/${account}/remove`, { name: account }), { location: /removed/ })
  const page = await owner.page('/setup')
  for (const { variable, account } of SEEDS)
    t.match(page, `${variable}: its account “${account}” was removed, so the token is not taken again`)
  await agent.close()
  const again = await createOwner(t, { cwd, env: all })
  t.strictSame(again.agent.sql('select name from accounts where removed_at is null'), [])
  t.match(await again.owner.page('/setup'), /STARTING_TOKEN: its account “default” was removed/)
  await again.owner.post('/admin/accounts', { name: 'default', provider: 'instagram' })
  t.notMatch(await again.owner.page('/setup'), /“default” was removed/, 'the owner has created it')
})

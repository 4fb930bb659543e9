import { fileURLToPath } from 'node:url'
import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { createKnownSecrets } from '../../src/config/known-secrets.ts'
import { PROVIDERS as ALL } from '../../src/providers/registry.ts'
import { runCli, startAgent } from '../support/agent.ts'
import { approve, authorizeUrlIn, createClient, PASSWORD, served } from '../support/owner.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { PROVIDERS } from './postbox/registry.ts'
import { startPostbox } from './postbox/stand-in.ts'

const cli = fileURLToPath(new URL('postbox/cli.ts', import.meta.url))

t.test('the configuration reads a second provider: variables, problems, secrets, its token', async (t) => {
  const env = { POSTBOX_URL: 'http://127.0.0.1:1', POSTBOX_APP_ID: '1', POSTBOX_APP_SECRET: '"secret of the box"' }
  const config = readConfig({ ...env, POSTBOX_TOKEN: 'PB0123456789' }, PROVIDERS)
  t.same(
    config.providers.map(({ module }) => module.name),
    ['instagram', 'postbox'],
  )
  t.match(config.seeds, [{ variable: 'POSTBOX_TOKEN', account: 'postbox', provider: 'postbox' }])
  t.match(config.warnings, [{ text: /^POSTBOX_APP_SECRET: stands in quotes/ }])
  t.equal(createKnownSecrets(config).nameIn('secret of the box'), 'POSTBOX_APP_SECRET')
  t.same(
    readConfig({}, PROVIDERS).providers.map(({ module }) => module.name),
    ['instagram'],
    'without its variables it is off',
  )
  for (const [wrong, problem] of [
    [{ POSTBOX_APP_SECRET: '' }, 'POSTBOX_APP_SECRET: is missing'],
    [{ POSTBOX_TOKEN: 'IG ü' }, 'POSTBOX_TOKEN: is one of another provider'],
    [{ POSTBOX_URL: 'x' }, 'POSTBOX_URL: must be an address'],
  ] as const) {
    t.throws(() => readConfig({ ...env, ...wrong }, PROVIDERS), { name: 'ConfigError', message: problem })
  }
})

t.test('a start loads no code of a provider whose variables are not set', async (t) => {
  const loading = fileURLToPath(new URL('loaded-cli.ts', import.meta.url))
  const loadedWith = async (env: Record<string, string>) => {
    const agent = await startAgent(t, { cli: loading, ready: '/readyz', env })
    await agent.fetch('/setup')
    await agent.stop()
    const files = [...agent.stderr().matchAll(/^loaded (\w+)\/([\w-]+\.ts)$/gm)]
    return (name: string) => files.some(([, folder, file]) => folder === name && file === `${name}.ts`)
  }
  const isLoaded = await loadedWith({})
  const used = readConfig({}).providers.map(({ module }) => module.name)
  for (const { name } of ALL) t.equal(isLoaded(name), used.includes(name), name)
  t.notOk((await loadedWith({ WITH_POSTBOX: 'yes' }))('postbox'))
  t.ok((await loadedWith({ WITH_POSTBOX: 'yes', POSTBOX_URL: 'http://127.0.0.1:1' }))('postbox'))
})

t.test('a folder and a line of the registry make a provider that is seeded, refreshed, connected and shown', async (t) => {
  const postbox = await startPostbox(t)
  const cwd = tempFolder(t, 'second-provider')
  const seed = postbox.issue()
  const env = {
    ADMIN_PASSWORD: PASSWORD,
    ALLOWED_DOMAINS: 'shop.example',
    POSTBOX_URL: postbox.url,
    POSTBOX_APP_ID: '1',
    POSTBOX_APP_SECRET: 'a secret of the box',
  }
  const empty = await startAgent(t, { cli, cwd, env, ready: '/readyz' })
  const setup = await (await empty.fetch('/setup')).text()
  for (const words of ['>A token ', 'href="/connect/postbox"', 'Connect PostBox', 'PostBox prints tokens', '>POSTBOX_TOKEN<'])
    t.match(setup, words)
  t.match(setup, 'Connect with Instagram')
  await empty.stop()

  const agent = await startAgent(t, { cli, cwd, ready: '/readyz', env: { ...env, POSTBOX_TOKEN: seed } })
  const { token } = await served(agent, '/accounts/postbox/token.json')
  t.not(token, seed, 'refreshed')
  t.ok(postbox.isCurrent(token ?? ''))

  const owner = createClient(agent)
  await owner.signIn(PASSWORD)
  const admin = (await owner.get('/admin')).text
  for (const words of ['<option value="postbox">PostBox', 'at the PostBox office, for PostBox', 'Connect PostBox']) t.match(admin, words)
  t.match((await owner.get('/status')).text, '<h3>PostBox</h3>')

  const page = await owner.post('/connect/postbox', { account: 'connected' })
  t.match(await owner.get(await approve(authorizeUrlIn(page))), { location: '/admin/accounts/connected?done=connected' })
  t.match(await served(agent, '/accounts/connected/token.json'), { status: 200 })
  t.match((await owner.post('/admin/accounts/connected/remove', { name: 'connected', revoke: 'yes' })).text, 'nothing was removed')
  t.equal(
    (await agent.fetch('/callbacks/postbox/delete', { method: 'POST', body: new URLSearchParams({ signed_request: 'x' }) })).status,
    404,
  )

  const run = (args: string[], stdin = '') => runCli(t, args, { cli, cwd, env, stdin })
  t.match(await run(['accounts', 'add', 'shop', 'postbox']), { code: 0 })
  t.match(await run(['seed', 'shop'], postbox.issue()), { code: 0 })
  t.match(await run(['accounts', 'list']), { stdout: /^working +shop +postbox +@counter /m })
  t.match(await run(['accounts', 'add', 'other', 'nobody']), { code: 1, stderr: /does not know this provider/ })
})

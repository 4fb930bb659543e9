import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli as run } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { tempFolder } from '../support/temp-folder.ts'

/** A folder with its own store, and the command line in it. */
async function createShell(t: Test, more: Record<string, string> = {}) {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const cwd = tempFolder(t, 'cli')
  const env = { INSTAGRAM_GRAPH_URL: instagram.url, ...more }
  return { instagram, cwd, env, cli: (args: string[], stdin = '') => run(t, args, { cwd, env, stdin }) }
}

t.test('help goes to standard output with exit code 0', async (t) => {
  for (const args of [['--help'], ['help']]) {
    const { code, stdout, stderr } = await run(t, args)
    t.equal(code, 0, args.join(' '))
    t.equal(stderr, '')
    for (const command of ['serve', 'migrate', 'seed', 'refresh', 'status', 'rotate-keys', '--force', '--json', 'Exit codes'])
      t.match(stdout, command)
  }
  t.match(await run(t, ['status', '-h']), {
    stdout: /^Usage: npx --no -- token-agent status .*\n\nShow every account.*\n\n {2}--attention .*\n {2}--json .*\n\nExit codes/s,
  })
})

t.test('a misunderstood command ends with code 2 and points to the help', async (t) => {
  const mistakes: [string[], RegExp][] = [
    [[], /Usage/],
    [['sing'], /no command “sing”/],
    [['refresh', '--frobnicate'], /^Unknown option '--frobnicate'\.?\n\nSee: npx --no -- token-agent --help\n$/],
  ]
  await Promise.all(
    mistakes.map(async ([args, words]) => {
      const { code, stdout, stderr } = await run(t, args)
      t.equal(code, 2, args.join(' '))
      t.match(stdout + stderr, words)
      t.match(stdout + stderr, /token-agent/)
      t.notMatch(stderr, /\n {4}at /, 'no stack trace')
    }),
  )
})

t.test('with a wrong configuration each command prints all problems and ends with code 1', async (t) => {
  for (const command of ['serve', 'seed', 'status']) {
    const { code, stderr } = await run(t, [command], { env: { REFRESH_MODE: 'x', ALLOWED_DOMAINS: '*.github.io' } })
    t.equal(code, 1, command)
    t.match(stderr, /2 problems:\n {2}- ALLOWED_DOMAINS: .*github\.io.*\n {2}- REFRESH_MODE: /)
    t.notMatch(stderr, /\n {4}at /)
  }
})

t.test('the life of a token by the command line', async (t) => {
  const { instagram, cwd, cli } = await createShell(t)

  for (const words of ['status', 'refresh', 'status --json', 'accounts list', 'accounts pause shop', 'rotate-keys'])
    t.match(await cli(words.split(' ')), { code: 1, stdout: '', stderr: /^There is no store at \/.*\/data\/token-agent\.sqlite\. / }, words)
  t.notOk(existsSync(join(cwd, 'data')), 'they make none')
  t.match(await cli(['migrate']), { code: 0, stdout: /^Applied 001/ })
  t.match(await cli(['status']), { code: 0, stdout: /no account yet.*token-agent seed/, stderr: '' })
  t.match(await cli(['status', '--json']), { code: 0, stdout: '[]\n' })
  t.match(await cli(['refresh']), { code: 0, stdout: /no account yet/ })
  t.match(await cli(['refresh', 'shop']), { code: 1, stderr: /no account “shop”/ })
  t.match(await cli(['migrate']), { code: 0, stdout: 'The database is up to date.\n' })
  for (const file of ['token-agent.sqlite', 'encryption.key']) t.equal(statSync(join(cwd, 'data', file)).mode & 0o777, 0o600, file)

  const token = instagram.issue({ username: 'the.shop' })
  const seeded = await cli(['seed'], `  ${token}\n`)
  t.match(seeded, {
    code: 0,
    stdout: /stored as “default”\. The token was refreshed; it is good until/,
    stderr: /^Store: \/.*token-agent\.sqlite\n$/,
  })
  t.notMatch(seeded.stdout, token)

  const { stdout, code } = await cli(['status'])
  t.equal(code, 0)
  t.match(stdout, /^working {2}default {2}instagram {2}@the\.shop {2}good until \d+ [A-Z]\w+ \d{4} {2}next refresh in 7 days\n$/)
  t.notMatch(stdout, /IGAA/)
  const [account, ...more] = JSON.parse((await cli(['status', '--json'])).stdout)
  t.same(more, [])
  t.same(Object.keys(account).toSorted(), [
    'account',
    'condition',
    'expiresAt',
    'failureCount',
    'lastError',
    'lastRefreshAt',
    'needsPerson',
    'nextRefreshAt',
    'provider',
    'reconnectBy',
    'refreshExpiresAt',
    'state',
    'username',
  ])
  t.match(account, {
    account: 'default',
    provider: 'instagram',
    username: 'the.shop',
    state: 'active',
    condition: 'working',
    lastError: null,
  })
  for (const name of ['expiresAt', 'lastRefreshAt', 'nextRefreshAt']) t.equal(new Date(account[name]).toISOString(), account[name])

  t.match(await cli(['refresh']), { code: 0, stdout: /default: not due until \d+ [A-Z]\w+ \d{4}, \d\d:\d\d UTC/ })
  instagram.clock.advance(2 * 86_400_000)
  t.match(await cli(['refresh', '--force']), { code: 0, stdout: /default: verified|default: refreshed/ })

  instagram.fail('/refresh_access_token', 'html502')
  t.match(await cli(['refresh', 'default', '--force']), { code: 1, stdout: /default: failed\..*tries again by itself/ })
  t.match(await cli(['status']), { code: 0, stdout: /^trying again {2}default .* {2}next try in .* {2}Instagram/ }, 'no person is needed')
})

t.test('a pasted text without a token is refused with a reason, and nothing is stored', async (t) => {
  const { instagram, cli } = await createShell(t)
  const pasted: [string, RegExp][] = [
    // The other reasons: test/core/pasted-token.test.ts and test/core/token.test.ts.
    ['\n\n', /is empty/],
    ['IGAA abc', /space or a line break/],
    ['IGAA\u0000abc', /character that no token has/],
    ['x'.repeat(10_240), /10240 characters/],
    ['x'.repeat(1_000_000), /far too long/],
  ]
  await Promise.all(
    pasted.map(async ([text, words]) => {
      const { code, stderr, stdout } = await cli(['seed'], text)
      t.equal(code, 1, text.slice(0, 10))
      t.match(stderr, words)
      t.notMatch((stdout + stderr).replace('it begins with IGAA', ''), /IGAA/)
    }),
  )
  t.match(await cli(['status', '--json']), { stdout: '[]\n' })
  t.equal(instagram.calls.length, 0)
})

t.test('a token in place of a name is not repeated, and the message says where it goes', async (t) => {
  const { code, stdout, stderr } = await run(t, ['seed', 'IGAAsecretSECRET'])
  t.equal(code, 2)
  t.match(stderr, /goes to standard input/)
  t.notMatch(stdout + stderr, /IGAA/)
})

t.test('--version prints the version', async (t) => {
  for (const option of ['--version', '-v']) t.match(await run(t, [option]), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
})

t.test('a paused or empty account is no failure and is named', async (t) => {
  const { instagram, cli } = await createShell(t)
  await cli(['seed'], instagram.issue())
  await cli(['accounts', 'add', 'empty'])
  t.match(await cli(['refresh', 'empty', '--force']), { stdout: 'empty: without a token, so there is nothing to refresh.\n' })
  await cli(['refresh', '--force'])
  t.match(
    await cli(['status']),
    { code: 0, stdout: /^empty {4}empty {4}instagram .*waits for its first token: npx --no -- token-agent seed empty\nworking/ },
    'a forced refresh does not touch it',
  )
  await cli(['accounts', 'remove', 'empty'])
  await cli(['accounts', 'pause', 'default'])
  t.match(await cli(['refresh', '--force']), { code: 0, stdout: 'default: paused, so there is nothing to refresh.\n' })
  t.match(await cli(['status']), { code: 0, stdout: /^paused {2}default((?!next refresh).)*\n$/ })
  t.match(JSON.parse((await cli(['status', '--json'])).stdout), [{ state: 'active', nextRefreshAt: null }])
  t.match(await cli(['accounts', 'remove', 'default', '--revoke']), { code: 1, stderr: /INSTAGRAM_APP_ID.*nothing was removed/ })
})

t.test('a token that the provider refuses never replaces one that works', async (t) => {
  const { instagram, cli } = await createShell(t)
  t.match(await cli(['seed'], instagram.issue({ username: 'works' })), { code: 0 })
  t.match(await cli(['seed'], instagram.issue({ ageSeconds: 61 * 86_400 })), {
    code: 1,
    stdout: /expired.*\n.*not taken; the one that works stays/,
  })
  t.match(await cli(['status']), { code: 0, stdout: /@works/ })
  t.match(await cli(['seed', 'second'], instagram.issue({ family: 'basic_display' })), { code: 1, stdout: /stored, but: .*Basic Display/ })
  t.match(await cli(['status']), { code: 1, stdout: /^needs you {2}second .*Basic Display.*\nworking {4}default/ })
  t.match(await cli(['refresh', 'default']), { code: 0 }, 'another account’s trouble does not count')
})

t.test('keys are rotated, and a lost key is reported', async (t) => {
  const [one, two, three] = ['1'.repeat(32), '2'.repeat(32), '3'.repeat(32)]
  const { instagram, cwd, env } = await createShell(t)
  const cli = (key: string, args: string[], stdin = '') => run(t, args, { cwd, stdin, env: { ...env, ENCRYPTION_KEY: key } })
  await cli(one, ['seed'], instagram.issue())
  t.match(await cli(`${two},${one}`, ['rotate-keys']), { code: 0, stdout: '1 account sealed again, 0 had the newest key already.\n' })
  t.match(await cli(two, ['status']), { code: 0 })
  t.match(await cli(three, ['rotate-keys']), { code: 1, stdout: /default: no key in ENCRYPTION_KEY opens it/ })
  t.match(await cli(three, ['status']), { code: 1, stdout: /No key in ENCRYPTION_KEY opens/ })
  t.match(await cli(three, ['refresh', '--force']), { code: 1, stdout: /ENCRYPTION_KEY/ })
  t.match(await cli(two, ['rotate-keys']), { code: 0, stdout: /1 had the newest key already/ }, 'the value was not overwritten')
})

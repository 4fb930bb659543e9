import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ENCRYPTION_KEY, inDays, type Kept, keepAccounts, tokenOf } from '../support/accounts.ts'
import { runCli } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { settingsFor, threadsSettings } from '../support/owner.ts'
import { launch } from '../support/process.ts'
import { tempFolder } from '../support/temp-folder.ts'

const CLI = join(import.meta.dirname, '../../src/cli/main.ts')
const SOON = inDays(3 / 1440)

async function createShell(t: Test, accounts: readonly Kept[], more: Record<string, string> = {}) {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const cwd = tempFolder(t, 'token')
  const env = { ENCRYPTION_KEY, INSTAGRAM_GRAPH_URL: instagram.url, ...more }
  const keep = (kept: readonly Kept[]) => keepAccounts(cwd, kept)
  await keep(accounts)
  return { instagram, cwd, env, keep, run: (...args: string[]) => runCli(t, args, { cwd, env }) }
}

t.test('the token is printed alone, or as a header, from the store alone', async (t) => {
  const { instagram, run } = await createShell(t, [{ name: 'shop' }, { name: 'bakery' }], { INSTAGRAM_ACCESS_TOKEN: tokenOf('another') })
  t.match(await run('token'), { code: 0, stdout: `${tokenOf('shop')}\n`, stderr: /^INSTAGRAM_ACCESS_TOKEN is set and not used: [^\n]*\n$/ })
  t.match(await run('token', 'bakery', '--header'), { code: 0, stdout: `Authorization: Bearer ${tokenOf('bakery')}\n` })
  t.equal(instagram.calls.length, 0)
})

t.test('an account that must not be served gives a sentence and never a token', async (t) => {
  const refused = { state: 'reconnect', lastErrorCode: 'reconnect', lastError: 'Instagram refuses the token.' } as const
  const { run } = await createShell(t, [
    { name: 'paused', pausedAt: inDays(-1) },
    { name: 'refused', ...refused },
    { name: 'empty', token: null, state: 'unverified', providerUserId: null, expiresAt: null },
    { name: 'unsealed', providerUserId: null, state: 'unverified' },
  ])
  const says: Record<string, RegExp> = {
    paused: /it is paused.*accounts resume paused/,
    refused: /Instagram refuses the token/,
    empty: /waits for its first one.*seed empty/,
    unsealed: /Instagram no longer accepts the token/,
    pausd: /no account of this name\. Did you mean “paused”\?/,
  }
  for (const [name, sentence] of Object.entries(says)) t.match(await run('token', name), { code: 1, stdout: '', stderr: sentence }, name)
})

t.test('a token that ends within five minutes is renewed first, once for two commands at a time', async (t) => {
  const { instagram, run, keep } = await createShell(t, [])
  const token = instagram.issue({ username: 'shop', ageSeconds: 59 * 86_400 })
  await keep([{ name: 'shop', token, expiresAt: SOON, issuedAt: inDays(-59), providerUserId: instagram.issued.get(token)?.userId ?? '' }])
  instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 400 })
  const both = await Promise.all([run('token', 'shop'), run('token')])
  const renewed = instagram.issued.get(token)?.replacedBy ?? 'none'
  for (const one of both) t.match(one, { code: 0, stdout: `${renewed}\n`, stderr: '' })
  t.equal(instagram.calls.filter(({ path }) => path === '/refresh_access_token').length, 1)
})

t.test('a token that cannot be renewed is given as long as it lives', async (t) => {
  const { instagram, run } = await createShell(t, [
    { name: 'shop', expiresAt: SOON, issuedAt: inDays(-59) },
    { name: 'old', expiresAt: inDays(-1), issuedAt: inDays(-61) },
  ])
  instagram.fail('/refresh_access_token', 'html502')
  t.match(await run('token', 'shop'), {
    code: 0,
    stdout: `${tokenOf('shop')}\n`,
    stderr: /^The token ends in \d minutes, and could not be renewed: /,
  })
  t.match(await run('token', 'old'), { code: 1, stdout: '', stderr: /^“old” has no token to give: / })
})

t.test('a terminal is shown no token without --show', async (t) => {
  const { cwd, env } = await createShell(t, [{ name: 'shop' }])
  const shown = async (options: string) => {
    const terminal = await launch('script', ['-qec', `'${process.execPath}' '${CLI}' token ${options}`, '/dev/null'], {
      cwd,
      env: { ...env, HOME: cwd },
    })
    t.teardown(() => terminal.end('SIGKILL'))
    terminal.stdin.end()
    return { ...(await terminal.exited), stdout: terminal.stdout() }
  }
  t.match(await shown(''), { code: 2, stdout: /this is a terminal.*--show/ })
  t.match(await shown('--show'), { code: 0, stdout: tokenOf('shop') })
})

t.test('the header goes to curl by a pipe: no process has the token among its arguments, nor does “set -x” print it', async (t) => {
  const { cwd, env, instagram } = await createShell(t, [{ name: 'shop' }])
  const script = `set -x
"$NODE" "$CLI" token shop --header | { read -r line; ps -eo args; echo "$line" | curl --silent --output /dev/null --header @- "$URL/me"; ps -eo args; }`
  const shell = await launch('bash', ['--norc', '-c', script], { cwd, env: { ...env, NODE: process.execPath, CLI, URL: instagram.url } })
  t.equal((await shell.exited).code, 0)
  t.match(shell.stdout(), /bash --norc/)
  // `echo` is a word of the shell, but “set -x” prints it: the documented line has no such step.
  t.notMatch(shell.stdout(), /IGAA-shop/)
})

t.test('refresh lists one line an account; --dry-run calls nobody; `auth refresh` is the same', async (t) => {
  const { instagram, run, keep } = await createShell(t, [])
  const token = instagram.issue({ username: 'due' })
  await keep([
    { name: 'due', token, nextRefreshAt: inDays(-1), providerUserId: instagram.issued.get(token)?.userId ?? '' },
    { name: 'later' },
    { name: 'paused', pausedAt: inDays(-1) },
    { name: 'refused', state: 'reconnect', lastError: 'Instagram refuses the token.', nextRefreshAt: null },
  ])
  const others = [
    'later: not due until \\d+ \\w+ \\d{4}, \\d\\d:\\d\\d UTC\\.',
    'paused: paused, so there is nothing to refresh\\.',
    'refused: it waits for a person\\.',
  ]
  const lines = (first: string) => new RegExp(`^${[first, ...others].join('\n')}\n$`)
  t.match(await run('refresh', '--dry-run'), { code: 1, stdout: lines('due: would be refreshed now\\.') })
  t.equal(instagram.calls.length, 0)
  t.match(JSON.parse((await run('auth', 'refresh', '--dry-run', '--json')).stdout), [
    { account: 'due', outcome: 'due', needsPerson: false },
    { account: 'later', outcome: 'not_due' },
    { account: 'paused', outcome: 'idle', nextRefreshAt: null },
    { account: 'refused', outcome: 'not_due', needsPerson: true },
  ])
  t.match(await run('refresh'), {
    code: 1,
    stdout: lines('due: refreshed\\. The token was refreshed; it is good until \\d+ \\w+ \\d{4}\\.'),
  })
  t.match(JSON.parse((await run('auth', 'refresh', 'due', '--force', '--json')).stdout), [{ account: 'due', outcome: 'refreshed' }])
  t.match(await run('auth', 'refresh', 'later', '--dry-run'), { code: 0, stdout: /^later: not due.*\n$/ })
})

t.test('auth providers says what is set up, what is missing and what to register', async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const listed = async (env: Record<string, string>) => {
    const { code, stdout } = await runCli(t, ['auth', 'providers', '--json'], { env: { APP_URL: 'https://agent.example', ...env } })
    return { code, providers: JSON.parse(stdout) }
  }
  const { code, providers } = await listed({ ...settingsFor(instagram), ...threadsSettings(instagram) })
  t.equal(code, 0)
  t.match(providers[0], {
    provider: 'instagram',
    canConnect: true,
    missing: [],
    register: { web: 'https://agent.example/connect/instagram/callback' },
    seed: { variable: 'STARTING_TOKEN', kind: 'access' },
  })
  t.same(
    providers[0].register.terminal,
    [3764, 3765, 3766, 3767, 3768, 3769].map((port) => `https://localhost:${port}/`),
  )
  const none = await listed({})
  t.equal(none.code, 1)
  t.match(none.providers.slice(0, 2), [
    { missing: ['INSTAGRAM_APP_ID', 'INSTAGRAM_APP_SECRET'] },
    { missing: ['THREADS_APP_ID', 'THREADS_APP_SECRET'] },
  ])
  const text = await runCli(t, ['auth', 'providers'], { env: settingsFor(instagram) })
  t.match(
    text.stdout,
    /^instagram: Instagram, set up\n {2}register .*\n.*https:\/\/localhost:3764\/ .* 3765, .*3769\n {2}first token {2}STARTING_TOKEN/,
  )
  t.notMatch(text.stdout, /a-secret-of/)
})

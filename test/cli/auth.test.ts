import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { runCli } from '../support/agent.ts'
import { approved, ask, createDesktop, PORTS, printedAddress, resultOf } from '../support/desktop.ts'
import { settingsFor } from '../support/owner.ts'
import { waitFor } from '../support/wait-for.ts'

// The ports are fixed, so one flow at a time.
t.jobs = 1

t.test('the browser is opened after the listener and brings the answer; a hundred stray requests end nothing', async (t) => {
  const { start, cwd, sql } = await createDesktop(t)
  const command = await start('auth instagram shop')
  const address = await printedAddress(command)
  await waitFor('the browser', async () => readFileSync(join(cwd, 'opened'), 'utf8') === address)
  const target = await approved(address)
  t.match(target, /^https:\/\/localhost:3764\/\?code=/)
  const own = new URL(target)
  const changed = (change: (url: URL) => unknown): string => {
    const url = new URL(target)
    change(url)
    return url.href
  }
  const strays: [string, Parameters<typeof ask>[1], number][] = [
    [changed((url) => url.searchParams.set('state', 'another')), {}, 400],
    [changed((url) => url.searchParams.delete('state')), {}, 400],
    [changed((url) => Object.assign(url, { search: '?error=access_denied' })), {}, 400],
    [changed((url) => Object.assign(url, { search: '?error=access_denied&state=another' })), {}, 400],
    [changed((url) => Object.assign(url, { search: '' })), {}, 400],
    [changed((url) => Object.assign(url, { pathname: '/favicon.ico' })), {}, 404],
    [changed((url) => Object.assign(url, { pathname: '//' })), {}, 404],
    [target, { method: 'HEAD' }, 405],
    [target, { method: 'POST' }, 405],
    [target, { headers: { 'sec-purpose': 'prefetch' } }, 503],
    ...['evil.example', 'localhost', 'localhost:3765', '127.0.0.1:3764', 'LOCALHOST:3764', 'localhost:3764.'].map(
      (host): [string, Parameters<typeof ask>[1], number] => [target, { headers: { host } }, 421],
    ),
  ]
  for (let turn = 0; turn < 100; turn++) {
    const [url, how, status] = strays[turn % strays.length] ?? ['', {}, 0]
    const answer = await ask(url, how)
    t.equal(answer.status, status, `${turn} ${url.replace(own.search, '')} ${JSON.stringify(how)}`)
    t.notOk('access-control-allow-origin' in answer.headers || 'strict-transport-security' in answer.headers)
    if (status !== 400) t.equal(answer.text, '')
  }
  const page = await ask(target)
  t.match(page, { status: 200, text: /<h1>Connected<\/h1>/ })
  t.match(page.headers, {
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    'content-security-policy': /^default-src 'none'; .*frame-ancestors 'none'/,
  })
  const result = await resultOf(command)
  t.match(result, {
    code: 0,
    stdout:
      /^Connected @\S+ as “shop”\. Good until \d+ \w+ \d{4}, next refresh \d+ \w+ \d{4}\.\nRead it at \/accounts\/shop\/token\.js from https:\/\/shop\.example\.\n$/,
  })
  t.match(
    result.stderr,
    /Store {7}\/.*\(created\)\nKey {9}in a file beside the store; to move it into the system’s keychain: .* keychain enable\nAccount {5}shop \(new\)\nCallback {4}https:\/\/localhost:3764\/ .*\nPermission {2}instagram_business_basic\n/,
  )
  t.match(result.stderr, /says that the access was not given\. Waiting on\.[\s\S]*accounts remove shop/, 'nobody could be asked')
  const code = own.searchParams.get('code') ?? 'none'
  for (const secret of [code, 'IGAA', 'a-secret-of-the-instagram-app'])
    t.notOk((result.stdout + result.stderr + page.text).includes(secret), secret.slice(0, 4))
  t.match(sql("select actor, detail from events where kind = 'connected'"), [{ actor: 'cli' }])
  t.match(sql('select sealed from oauth_states'), [{ sealed: '' }])
})

t.test('at a terminal the address is pasted, and a first user is asked about', async (t) => {
  const { atTerminal, run, sql } = await createDesktop(t)
  for (const [answer, code] of [
    ['n', 1],
    ['y', 0],
  ] as const) {
    const command = await atTerminal('auth instagram shop --no-browser')
    const target = await approved(await printedAddress(command))
    for (const [typed, says] of [
      ['https://evil.example/?code=abcdefgh', /must begin with https:\/\/localhost:3764\//],
      [target.replace(/state=[^#]+/, 'state=another'), /belongs to another attempt\. Paste the one/],
      [new URL(target).searchParams.get('code') ?? '', /Connect @\S+ as shop\? \[y\/N\]/],
    ] as const) {
      command.stdin.write(`${typed}\n`)
      await waitFor(String(says), async () => says.test(command.stdout()))
    }
    t.same(sql('select provider_user_id from accounts where provider_user_id is not null'), [], 'nothing takes effect before the answer')
    command.stdin.write(`${answer}\n`)
    t.match(await resultOf(command), { code, stdout: code === 0 ? /Connected @/ : /Nothing was changed\./ })
    t.equal(sql("select * from oauth_states where sealed <> ''").length, 0)
  }
  t.match(await run('status'), { code: 0, stdout: /^working {2}shop/ })
})

t.test('another user takes an account over only where the person says so', async (t) => {
  const { start, run, instagram } = await createDesktop(t)
  t.match(await run('seed shop', instagram.issue({ username: 'the.shop' })), { code: 0 })
  for (const [option, says] of [
    ['', { code: 1, stderr: /“shop” is connected as @the\.shop, and @\S+ has approved now\. Nothing was changed\..*--other-user/ }],
    [' --other-user --json', { code: 0 }],
  ] as const) {
    const command = await start(`auth instagram shop${option}`)
    const page = await ask(await approved(await printedAddress(command)))
    t.match(page.text, option === '' ? /Nothing was changed/ : /Connected/)
    const result = await resultOf(command)
    t.match(result, says)
    if (option !== '')
      t.match(JSON.parse(result.stdout), {
        account: 'shop',
        provider: 'instagram',
        pages: true,
        sites: ['https://shop.example'],
        notes: [],
      })
  }
})

t.test('a request is begun by one process and finished by another', async (t) => {
  const { run } = await createDesktop(t)
  t.match(await run('auth instagram shop --code -', 'x'), { code: 1, stderr: /No request for “shop” is open/ })
  const begun = await run('auth instagram shop --start')
  t.match(begun, { code: 0, stdout: /^http:\S+state=\S+\n$/, stderr: /Callback {4}https:\/\/localhost:3764\// })
  const target = await approved(begun.stdout.trim())
  t.match(await run('auth instagram shop --code -', new URL(target).searchParams.get('code') ?? ''), {
    code: 1,
    stderr: /A code alone does not say/,
  })
  t.match(await run('auth instagram shop --code -', target.replace(/state=[^#]+/, 'state=another')), { code: 1, stderr: /another attempt/ })
  t.match(await run('auth instagram other --code -', target), { code: 1, stderr: /No request for “other”/ })
  t.match(await run('auth instagram shop --code -', `${target}\n`), { code: 0, stdout: /^Connected @/ })
  t.match(await run('auth instagram shop --code -', `${target}\n`), { code: 1, stderr: /No request for “shop” is open/ })
})

t.test('two at once have a port each; taken ports are named', async (t) => {
  const { start, run, env } = await createDesktop(t)
  t.match(await run('migrate'), { code: 0 })
  const [first, second] = [await start('auth instagram one'), await start('auth instagram two')]
  const addresses = [await printedAddress(first), await printedAddress(second)]
  const ports = addresses.map((address) => new URL(new URL(address).searchParams.get('redirect_uri') ?? '').port)
  t.same(ports.toSorted(), ['3764', '3765'])
  for (const address of addresses) t.match(await ask(await approved(address)), { status: 200 })
  for (const command of [first, second]) t.equal((await command.exited).code, 0)
  // One family is enough to be taken.
  const blockers = await Promise.all(
    PORTS.map(async (port, at) => {
      const server = createServer()
      t.teardown(() => server.close())
      await new Promise<void>((resolve) => server.listen(port, at % 2 === 0 ? '127.0.0.1' : '::1', resolve))
      return server
    }),
  )
  t.equal(blockers.length, 6)
  t.match(await resultOf(await start('auth instagram three')), {
    code: 1,
    stderr: /All of the ports 3764 to 3769 are taken\. Close .* --redirect\./,
  })
  t.match(await runCli(t, ['auth', 'instagram', '--redirect', 'http://localhost:3764/'], { env }), {
    code: 2,
    stderr: /Instagram accepts https only, on localhost too: https:\/\/localhost:3764\/\./,
  })
})

t.test('what is not understood ends with code 2 and repeats nothing', async (t) => {
  const { run } = await createDesktop(t)
  await run('migrate')
  const mistakes: [string, RegExp][] = [
    ['auth', /auth takes the name of a provider: one of instagram, threads/],
    ['auth instagran', /no provider “instagran”.*Did you mean “instagram”\?/],
    ['auth provider', /Did you mean “auth providers”\?/],
    ['auth threads', /Threads is not set up here: set THREADS_APP_ID and THREADS_APP_SECRET/],
    ['auth instagram IGAAsecretsecret', /not an account’s name/],
    ['auth instagram --code AQsecretsecret', /--code takes “-” alone/],
    ['auth instagram --start --code -', /two commands/],
    ['auth instagram --listen secret.example', /--listen takes/],
    ['auth instagram --redirect secret', /--redirect takes the redirect URI/],
    ['auth instagram --object-id secret', /--object-id takes the number/],
    ['auth instagram --no-browser', /Nobody can approve here\. Run with --start/],
  ]
  for (const [args, says] of mistakes) {
    const { code, stdout, stderr } = await run(args)
    t.equal(code, 2, args)
    t.match(stderr, says)
    t.notMatch(stdout + stderr, /secretsecret|secret\.example/)
  }
  t.match(
    await runCli(t, ['auth', 'instagram'], {
      env: { ...settingsFor((await createDesktop(t)).instagram), DISPLAY: ':9', SSH_CONNECTION: '192.0.2.1 5000 192.0.2.7 22' },
    }),
    { code: 2 },
  )
})

t.test('Ctrl-C and the time limit leave no usable request', async (t) => {
  const quick = '{ isContainer: false, authTimes: { limitMs: 1500, silenceMs: 300 } }'
  const { start, sql } = await createDesktop(t, {}, quick)
  const late = await start('auth instagram shop')
  t.match(await resultOf(late), {
    code: 1,
    stderr:
      /Nothing yet\. If the page shows “Invalid redirect_uri”, register this line in the dashboard: https:\/\/localhost:3764\/[\s\S]*Nobody approved within ten minutes\. Nothing was changed\./,
  })
  t.same(sql('select * from oauth_states'), [])
  const desktop = await createDesktop(t)
  const command = await desktop.start('auth instagram shop')
  const other = await approved(await printedAddress(command))
  command.signal('SIGINT')
  t.match(await resultOf(command), { signal: 'SIGINT', stderr: /Nothing was changed\./ })
  t.same(desktop.sql('select * from oauth_states'), [])
  // A program that takes the port over gets an answer that is worth nothing.
  t.match(await desktop.run('auth instagram shop --code -', other), { code: 1, stderr: /No request/ })
})

t.test('Ctrl-C during the exchange saves it; kill -9 there leaves the account as it was, and the next try works', async (t) => {
  const { start, instagram, sql } = await createDesktop(t)
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    const account = signal === 'SIGINT' ? 'saved' : 'killed'
    const command = await start(`auth instagram ${account}`)
    const target = await approved(await printedAddress(command))
    instagram.fail('/oauth/access_token', { kind: 'slowAnswer', ms: 800 })
    const before = instagram.calls.length
    const page = ask(target).catch(() => null)
    await waitFor('the exchange', async () => instagram.calls.length > before)
    command.signal(signal)
    t.match(await resultOf(command), { signal })
    await page
    instagram.heal()
    t.equal(sql(`select name from accounts where name = '${account}'`).length, signal === 'SIGINT' ? 1 : 0)
  }
  t.equal(sql("select * from oauth_states where sealed <> ''").length, 0)
  const again = await start('auth instagram killed')
  t.match(await ask(await approved(await printedAddress(again))), { status: 200 })
  t.equal((await again.exited).code, 0)
})

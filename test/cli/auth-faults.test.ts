import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { approved, ask, createDesktop, PORTS, printedAddress, resultOf } from '../support/desktop.ts'
import { startFacebook } from '../support/facebook.ts'
import { facebookSettings } from '../support/owner.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

t.jobs = 1
const CONTAINER = '{ isContainer: true }'
const OUTSIDE = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.internal === false && one.family === 'IPv4')?.address

async function createTikTokDesktop(t: Test) {
  const tiktok = await startTikTok({ knobs: { kind: 'desktop' } })
  t.teardown(() => tiktok.close())
  tiktok.redirectUris.push('http://127.0.0.1:*/callback/')
  const own = { ...tiktokSettings(tiktok, 'http://localhost:3000'), TIKTOK_APP_KIND: 'desktop' }
  return { tiktok, ...(await createDesktop(t, own)) }
}

const isOpen = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host, () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

t.test('over SSH and in a container the text says how the browser gets here, and none is opened', async (t) => {
  const SSH_CONNECTION = '192.0.2.1 5000 192.0.2.7 22'
  for (const [env, options, says] of [
    [{ SSH_CONNECTION }, undefined, /run this there first\.\s+ssh -L 3764:localhost:3764 \S+@192\.0\.2\.7/],
    [{}, CONTAINER, /This computer listens on \S+:3764.*; the browser must call it localhost:3764\./],
    [{ CI: 'true' }, undefined, /Open this address and allow the access/],
  ] as const) {
    const { atTerminal, cwd, sql } = await createDesktop(t, env, options)
    const command = await atTerminal('auth instagram shop')
    const target = await approved(await printedAddress(command))
    t.match(command.stdout(), says)
    command.stdin.write(`${target}\n`)
    await waitFor('the question', async () => command.stdout().includes('[y/N]'))
    t.notOk(existsSync(join(cwd, 'opened')))
    // The terminal itself sends the signal.
    command.stdin.write('\u0003')
    await command.exited
    t.same(sql('select name from accounts'), [], 'Ctrl-C at the question')
    t.same(sql("select id from oauth_states where sealed <> ''"), [])
  }
})

t.test('Ctrl-C at each line of the output leaves no usable request', async (t) => {
  const { start, sql } = await createDesktop(t)
  for (const line of ['Store ', 'Account ', 'Callback ', 'Waiting']) {
    const command = await start('auth instagram shop')
    await waitFor(line, async () => command.stderr().includes(line), { timeoutMs: 60_000, everyMs: 1 })
    command.signal('SIGINT')
    t.match(await command.exited, { signal: 'SIGINT' }, line)
    t.same(sql('select id from oauth_states'), [], line)
  }
})

t.test('--listen says where it listens, and never changes the redirect URI', async (t) => {
  const { start, run } = await createDesktop(t)
  for (const [where, isOutside] of [
    ['all', true],
    ['127.0.0.1', false],
    ['loopback', false],
  ] as const) {
    const command = await start(`auth instagram ${where.replaceAll('.', '-')} --listen ${where}`)
    const target = await approved(await printedAddress(command))
    t.match(target, /^https:\/\/localhost:3764\/\?code=/)
    const host = OUTSIDE !== undefined && isOutside ? OUTSIDE : '127.0.0.1'
    if (OUTSIDE !== undefined) t.equal(await isOpen(OUTSIDE, 3764), isOutside, where)
    t.equal((await ask(target.replace('localhost', host))).status, 421, 'by another name')
    t.match(await ask(target.replace('localhost', host), { headers: { host: 'localhost:3764' } }), { status: 200, text: /Connected/ })
    t.equal((await command.exited).code, 0)
  }
  t.match(await run('accounts list'), { code: 0 })
  const crowded = await start('auth instagram crowded')
  const target = await approved(await printedAddress(crowded))
  const strangers = Array.from({ length: 16 }, () => connect(3764, '127.0.0.1').on('error', () => {}))
  await Promise.all(strangers.map((socket) => once(socket, 'connect')))
  await t.rejects(ask(target.replace('localhost', '127.0.0.1'), { headers: { host: 'localhost:3764' } }), 'the seventeenth connection')
  for (const socket of strangers) socket.destroy()
  await waitFor('room', async () => (await ask(target).catch(() => null))?.status === 200)
  t.equal((await crowded.exited).code, 0)
  t.match(await resultOf(await start('auth instagram shop --listen 192.0.2.1')), { code: 1, stderr: /has no such address/ })
})

t.test('--redirect is the port or the host that is registered; another host means paste alone', async (t) => {
  const { start, atTerminal, instagram } = await createDesktop(t)
  const elsewhere = 'https://agent.example/connect/instagram/callback'
  instagram.apps[0]?.redirectUris.push(elsewhere)
  const fixed = await start('auth instagram fixed --redirect https://localhost:3767/')
  const target = await approved(await printedAddress(fixed))
  t.match(target, /^https:\/\/localhost:3767\/\?code=/)
  t.match(await resultOf(await start('auth instagram other --redirect https://localhost:3767/')), {
    code: 1,
    stderr: /^The port 3767 is taken\./m,
  })
  t.match(await ask(target), { status: 200 })
  t.equal((await fixed.exited).code, 0)
  const pasted = await atTerminal(`auth instagram pasted --redirect ${elsewhere}`)
  const answer = await approved(await printedAddress(pasted))
  t.match(answer, /^https:\/\/agent\.example\/connect\/instagram\/callback\?code=/)
  for (const port of PORTS) t.notOk(await isOpen('127.0.0.1', port), 'nothing listens')
  t.match(pasted.stdout(), /has ended on another page, copy the address/)
  t.notMatch(pasted.stdout(), /certificate/)
  pasted.stdin.write(`${answer}\n`)
  await waitFor('the question', async () => pasted.stdout().includes('[y/N]'))
  pasted.stdin.write('y\n')
  t.match(await resultOf(pasted), { code: 0, stdout: /Connected @\S+ as “pasted”/ })
})

t.test('--object-id chooses one of the accounts that a login leads to; without it nobody is connected', async (t) => {
  const facebook = await startFacebook({ knobs: { pages: 3 } })
  t.teardown(() => facebook.close())
  const { start, sql } = await createDesktop(t, facebookSettings(facebook))
  facebook.redirectUris.push(...PORTS.map((port) => `https://localhost:${port}/`))
  const { id, username } = facebook.instagramOf(facebook.knobs.signedInAs, 1)
  for (const [option, code, says] of [
    [
      '',
      1,
      /leads to these accounts:[\s\S]*3 {2}@shop\.3 [\s\S]*No account was chosen, and nothing was changed\. Name one with --object-id/,
    ],
    [' --object-id 123', 1, /does not lead to this --object-id\. The login leads/],
    [` --object-id ${id}`, 0, new RegExp(`Connected @${username.replace('.', '\\.')} as “facebook”`)],
  ] as const) {
    const command = await start(`auth facebook${option}`)
    const page = await ask(await approved(await printedAddress(command)))
    t.equal(page.status, code === 0 ? 200 : 422)
    const result = await resultOf(command)
    t.equal(result.code, code, result.stderr)
    t.match(result.stdout + result.stderr, says)
    t.equal(sql('select name from accounts').length, code === 0 ? 1 : 0)
    t.same(sql("select id from oauth_states where sealed <> ''"), [], 'nothing waits')
  }
})

t.test('the first grant of a rotating account is sealed before the question, and counts only after a yes', async (t) => {
  const { atTerminal, sql, tiktok, cwd } = await createTikTokDesktop(t)
  for (const typed of ['n', 'killed', 'y']) {
    const command = await atTerminal('auth tiktok')
    const page = ask(await approved(await printedAddress(command)))
    await waitFor('the question', async () => command.stdout().includes('[y/N]'))
    t.match((await page).text, /One question is left/)
    const [refresh] = [...tiktok.tokens.keys()].filter((token) => token.startsWith('rft.')).slice(-1)
    t.equal(sql("select id from oauth_states where sealed <> ''").length, 1, 'the grant waits sealed')
    t.same(sql('select name from accounts where access_token is not null'), [])
    for (const file of readdirSync(join(cwd, 'data'))) t.notOk(readFileSync(join(cwd, 'data', file), 'latin1').includes(refresh ?? 'none'))
    if (typed === 'killed') await command.end('SIGKILL')
    else command.stdin.write(`${typed}\n`)
    const { code } = await command.exited
    if (typed !== 'killed') t.equal(code, typed === 'y' ? 0 : 1)
    t.equal(sql('select name from accounts where access_token is not null').length, typed === 'y' ? 1 : 0)
    if (typed === 'n') t.same(sql("select id from oauth_states where sealed <> ''"), [], 'a no erases it')
    if (typed === 'killed') sql('delete from oauth_states returning id')
  }
  t.equal(tiktok.wrong.usesOfDead, 0)
})

t.test('a store that takes no grant: it is kept until it does; kill -9 there leaves the account as it was', async (t) => {
  const { start, run, sql, tiktok, cwd } = await createTikTokDesktop(t)
  await run('migrate')
  for (const how of ['killed', 'saved']) {
    const command = await start('auth tiktok')
    const target = await approved(await printedAddress(command))
    const db = new DatabaseSync(join(cwd, 'data/token-agent.sqlite'), { timeout: 5_000 })
    tiktok.fail('exchange', { kind: 'slowAnswer', ms: 500 }, 1)
    const before = tiktok.calls.length
    const page = ask(target).catch(() => null)
    await waitFor('the exchange', async () => tiktok.calls.slice(before).includes('exchange'))
    db.exec('begin immediate')
    await waitFor(
      'the sentence',
      async () => /has given a token that could not be saved: .*trying again until Ctrl-C/.test(command.stderr()),
      {
        timeoutMs: 60_000,
      },
    )
    if (how === 'killed') await command.end('SIGKILL')
    db.exec('rollback')
    db.close()
    await page
    t.match(await command.exited, how === 'killed' ? { signal: 'SIGKILL' } : { code: 0 }, command.stderr())
    t.equal(sql('select name from accounts').length, how === 'killed' ? 0 : 1)
    t.notMatch(command.stdout() + command.stderr(), /act\.|rft\./)
  }
  t.match(await run('token tiktok'), { code: 0, stdout: /^act\./ })
})

t.test('no code, token or secret stands in the output, the page, the history or the list of processes', async (t) => {
  const { start, sql, tiktok } = await createTikTokDesktop(t)
  let processes = ''
  const command = await start('auth tiktok')
  // The command and its children; the test's own `env` names the settings while it starts the command.
  const sampling = setInterval(() => {
    for (const pid of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
      try {
        const parent = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1])
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        if ((Number(pid) === command.pid || parent === command.pid) && !line.startsWith('env\0')) processes += line
      } catch {
        // It has ended.
      }
    }
  }, 5)
  const target = await approved(await printedAddress(command))
  const page = await ask(target)
  const result = await resultOf(command)
  clearInterval(sampling)
  t.equal(result.code, 0)
  t.match(processes, /main\.mjs/)
  t.match(target, /^http:\/\/127\.0\.0\.1:\d+\/callback\/\?code=/)
  t.match(
    result.stdout,
    /as “tiktok”\..*\nRead it at \/accounts\/tiktok\/token\.json, with a key of SERVER_KEYS alone\.\n[\s\S]*Never use its/,
  )
  const code = new URL(target).searchParams.get('code') ?? 'none'
  const shown =
    result.stdout + result.stderr + page.text + JSON.stringify(page.headers) + JSON.stringify(sql('select * from events')) + processes
  for (const secret of [code, encodeURIComponent(code), 'a-secret-of-the-tiktok-app', ...tiktok.tokens.keys()])
    t.notOk(shown.includes(secret), secret.slice(0, 4))
})

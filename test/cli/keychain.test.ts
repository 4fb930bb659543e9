import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli, startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { startKeychain } from '../support/keychain.ts'
import { oldRelease } from '../support/old-release.ts'
import { settingsFor } from '../support/owner.ts'
import { launch } from '../support/process.ts'
import { missing } from '../support/services.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

const CLI = join(import.meta.dirname, '../../src/cli/main.ts')
const MARKER = /^keychain [0-9a-f]{20}\n$/
const skip = missing('keyring', 'dbus')
t.jobs = 3

/** A desktop with a keychain, and an agent with a token and a key file. */
async function createDesktop(t: Test) {
  const [instagram, keychain] = await Promise.all([startInstagram(), startKeychain(t)])
  t.teardown(() => instagram.close())
  const folder = tempFolder(t, 'desktop')
  const env = { ...settingsFor(instagram), ...keychain.env }
  const file = join(folder, 'data/encryption.key')
  const run = (args: string, { cwd = folder, ...more }: { cwd?: string; env?: Record<string, string> } = {}) =>
    runCli(t, args.split(' '), { cwd, env: { ...env, ...more.env } })
  const { code } = await runCli(t, ['seed', 'shop'], { cwd: folder, env, stdin: instagram.issue() })
  t.equal(code, 0)
  const key = readFileSync(file, 'utf8').trim()
  return { keychain, folder, env, file, key, run, content: () => readFileSync(file, 'utf8') }
}

t.test('enable shows the key once and moves it; the folder may move; disable moves it back', { skip }, async (t) => {
  const { run, key, file, folder, content, env } = await createDesktop(t)
  t.match(await run('keychain status'), {
    code: 0,
    stdout: /^The key lies in \S+encryption\.key\.\nThe system’s keychain answers\. .* keychain enable\n$/,
  })
  t.match(await run('keychain enable'), {
    code: 0,
    stdout: `${key}\n`,
    stderr: /safe place[\s\S]*Before you go back to an older release.* keychain disable\n$/,
  })
  t.match(content(), MARKER)
  t.ok(content().length < 32)
  const status = await run('keychain status')
  t.match(status, { code: 0, stdout: /^The key lies in the system’s keychain, as “encryption-key [0-9a-f]{20}” of token-agent, and/ })
  t.match(await run('keychain enable'), { code: 0, stdout: /lies in the system’s keychain/ }, 'a second time nothing is shown')
  t.match(await run('token shop'), { code: 0, stdout: /^IGAA/ })
  t.match(await run('rotate-keys'), { code: 0, stdout: /1 had the newest key/ })
  t.equal(
    (await run('keychain status', { env: { ENCRYPTION_KEY: 'k'.repeat(32) } })).stdout,
    'The key of the store comes from ENCRYPTION_KEY.\n',
  )
  t.match(await run('keychain enable', { env: { ENCRYPTION_KEY: 'k'.repeat(32) } }), { code: 1, stderr: /unset the variable/ })
  const old = await runCli(t, ['status'], { cwd: folder, env, cli: oldRelease(t).cli })
  t.match(old, { code: 1, stderr: /damaged/ }, 'the release before stops, and leaves the file')
  t.match(content(), MARKER)
  renameSync(folder, `${folder}-moved`)
  t.teardown(() => rmSync(`${folder}-moved`, { recursive: true, force: true }))
  const moved = { cwd: `${folder}-moved` }
  t.match(await run('token shop', moved), { code: 0, stdout: /^IGAA/ })
  t.match(await run('keychain disable', moved), { code: 0, stdout: /encryption\.key again\.\nThe keychain keeps “encryption-key/ })
  t.equal(readFileSync(file.replace(folder, moved.cwd), 'utf8'), `${key}\n`)
  t.match(await run('token shop', moved), { code: 0 })
  for (const name of readdirSync(join(moved.cwd, 'data'))) t.notMatch(name, /encryption\.key\./, 'no draft is left')
})

t.test('a keychain that fails changes nothing, and gives a sentence in time', { skip }, async (t) => {
  const { run, key, keychain, content, file } = await createDesktop(t)
  const faults: [what: string, break_: () => Promise<unknown>, says: RegExp, env?: Record<string, string>][] = [
    ['locked', () => keychain.serve('locked'), /it is locked, or/],
    // The library itself gives up after a while.
    ['service stopped', async () => (await keychain.serve('unlocked'))?.freeze(), /it does not answer|it is locked/],
    ['bus stopped', async () => keychain.bus.freeze(), /it does not answer; unlock it/],
    ['no service', () => keychain.serve(null), /it is locked, or/],
    ['no bus', async () => {}, /it is locked, or/, { DBUS_SESSION_BUS_ADDRESS: '' }],
    ['dead bus', () => keychain.bus.end('SIGKILL'), /it is locked, or/],
  ]
  t.match(await run('keychain enable'), { code: 0 })
  const marker = content()
  for (const [what, break_, says, env = {}] of faults) {
    await break_()
    for (const args of ['token shop', 'status', 'keychain status', 'keychain disable'].slice(0, /stopped/.test(what) ? 1 : 4)) {
      const result = await run(args, { env })
      t.match(result, { code: 1, stdout: '', stderr: says }, `${what}: ${args}`)
      t.notOk(result.stderr.includes(key))
    }
    t.equal(content(), marker)
    writeFileSync(file, key)
    t.match(await run('keychain enable', { env }), { code: 1, stdout: '', stderr: /does not take the key.*Nothing was changed/ }, what)
    t.match(
      await run('keychain status', { env }),
      { code: 0, stdout: what === 'locked' ? /keychain answers/ : /cannot be used here: / },
      what,
    )
    t.equal(content(), key)
    writeFileSync(file, marker)
  }
  const empty = tempFolder(t, 'alone')
  copyFileSync(join(import.meta.dirname, '../../src/storage/keychain-child.ts'), join(empty, 'child.ts'))
  t.equal((await (await launch(process.execPath, [join(empty, 'child.ts'), 'get', 'x'])).exited).code, 3, 'without the library')
})

t.test('an agent that starts while the keychain is locked waits, and serves once it is unlocked', { skip }, async (t) => {
  const { run, keychain, folder, env, content } = await createDesktop(t)
  await run('keychain enable')
  await keychain.serve('locked')
  const agent = await startAgent(t, { cwd: folder, env })
  const ready = await agent.fetch('/readyz')
  t.equal(ready.status, 503)
  t.match(await ready.json(), {
    ready: false,
    parts: { store: { state: 'down', message: /lies in the system’s keychain .*it is locked/ } },
  })
  for (const path of ['/', '/token.json', '/admin']) t.equal((await agent.fetch(path)).status, 503)
  t.match(agent.stdout(), /the system’s keychain does not give the key yet; trying again/)
  await keychain.serve('unlocked')
  await waitFor('the agent', async () => (await agent.fetch('/readyz')).ok)
  t.equal((await agent.fetch('/accounts/shop/token.js', { headers: { origin: 'https://shop.example' } })).status, 200)
  t.match(content(), MARKER)
  t.match(await agent.stop(), { code: 0 })
  await keychain.serve('locked')
  const again = await startAgent(t, { cwd: folder, env })
  t.match(await again.stop(), { code: 0 }, 'a stop while it waits')
})

t.test('a store with sealed tokens never gets a new key', { skip }, async (t) => {
  const { run, file, folder, env, key } = await createDesktop(t)
  await run('keychain enable')
  rmSync(file)
  for (const args of ['status', 'token shop', 'seed other'])
    t.match(
      await run(args),
      { code: 1, stderr: /is missing, and the store holds sealed tokens.*write the key that “keychain enable” showed/ },
      args,
    )
  t.match(await runCli(t, ['serve'], { cwd: folder, env: { ...env, PORT: '0' } }), { code: 1 })
  t.notOk(readdirSync(join(folder, 'data')).includes('encryption.key'))
  writeFileSync(file, key)
  t.match(await run('token shop'), { code: 0, stdout: /^IGAA/ })
})

t.test('kill -9 at each step of enable and disable loses no key; a person may say no', { skip }, async (t) => {
  const { run, folder, env, file, content, key } = await createDesktop(t)
  const childrenOf = (pid: number) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  for (const name of ['enable', 'enable', 'disable', 'enable', 'disable']) {
    for (const until of ['first child', 'later child', 'output', 'draft', 'file']) {
      const before = content()
      const command = await launch(process.execPath, [CLI, 'keychain', name], { cwd: folder, env })
      t.teardown(() => command.end('SIGKILL'))
      command.stdin.end()
      const seen = new Set<string>()
      const isThere = async (): Promise<boolean> => {
        if (!command.running) return true
        for (const child of childrenOf(command.pid)) seen.add(child)
        if (until === 'draft') return readdirSync(join(folder, 'data')).some((one) => /key\./.test(one))
        if (until === 'file') return content() !== before
        return until === 'output' ? command.stdout() !== '' : seen.size >= (until === 'first child' ? 1 : 2)
      }
      await waitFor(until, isThere, { timeoutMs: 60_000, everyMs: 1 }).catch(() => {})
      await command.end('SIGKILL')
      t.match(await run('token shop'), { code: 0, stdout: /^IGAA/ }, `${name}, ${until}`)
    }
    t.match(await run(`keychain ${name}`), { code: 0 })
  }
  t.equal(content(), `${key}\n`)
  const person = await launch('script', ['-qec', `'${process.execPath}' '${CLI}' keychain enable`, '/dev/null'], { cwd: folder, env })
  t.teardown(() => person.end('SIGKILL'))
  await waitFor('the question', async () => person.stdout().includes('[y/N]'))
  person.stdin.write('n\n')
  t.match(await person.exited, { code: 1 })
  t.equal(readFileSync(file, 'utf8'), `${key}\n`)
})

t.test('a start without a keychain loads nothing of it', async (t) => {
  const cwd = tempFolder(t, 'plain')
  const hook = `import { registerHooks } from 'node:module'
    registerHooks({ load: (url, context, next) => (/keychain|keyring/.test(url) && process.stderr.write('loaded ' + url), next(url, context)) })`
  const options = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, CLI]
  for (const args of ['migrate', 'status', 'keychain status']) {
    const command = await launch(process.execPath, [...options, ...args.split(' ')], { cwd, env: { HOME: cwd } })
    t.match(await command.exited, { code: 0 })
    t.equal(/loaded/.test(command.stderr()), args === 'keychain status', args)
  }
})

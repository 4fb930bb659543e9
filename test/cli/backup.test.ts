import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { AccountEvent } from '../../src/core/account-store.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { type Engine, eachEngine, openEngine } from '../storage/engines.ts'
import { runCli, startCli } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { approve, authorizeUrlIn, createClient, openAgent, PASSWORD, served, settingsFor, signedRequest } from '../support/owner.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

t.setTimeout(600_000)

const KEY = 'the-key-of-the-agent-that-makes-backups'
const USERS = { shop: '17841400000000001', gone: '17841400000000002', removed: '17841400000000003' }
const names = Object.keys(USERS) as (keyof typeof USERS)[]
const changed = (account: string): AccountEvent => ({ account, kind: 'changed', actor: 'owner', outcome: 'ok', detail: null })

/** An agent's store with three accounts, and the command line on it and on others. */
async function setUp(t: Test, { name, address }: Pick<Engine, 'name' | 'address'>) {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const folder = tempFolder(t, 'backups')
  const urlOf = (where: string): string => (where.startsWith('postgres') ? where : `sqlite:${where}`)
  const envOf = (where: string) => ({
    ...settingsFor(instagram),
    DATABASE_URL: urlOf(where),
    ENCRYPTION_KEY: KEY,
    ALLOWED_DOMAINS: 'shop.example',
  })
  const cli = (args: string[], where = address, more: Record<string, string> = {}, stdin = '') =>
    runCli(t, args, { env: { ...envOf(where), ...more }, stdin, cwd: folder })
  for (const [account, userId] of Object.entries(USERS))
    t.match(await cli(['seed', account], address, {}, instagram.issue({ userId })), { code: 0 })
  return {
    instagram,
    cli,
    envOf,
    file: (of: string): string => join(folder, of),
    open: (where = address) => openAgent(t, { instagram, env: envOf(where), cwd: folder }),
    /** An empty store of the same kind. */
    another: async () => (name === 'sqlite' ? join(tempFolder(t), 'agent.db') : (await createDatabase(t)).url),
    /** All rows of a table, as of another process. */
    async rows(table: string, where = address): Promise<Record<string, unknown>[]> {
      const db = await openEngine(where.startsWith('postgres') ? 'postgres' : 'sqlite', where)
      return db.query<Record<string, unknown>>(`select * from ${table}`).finally(() => db.close())
    },
  }
}

eachEngine(t, 'a backup under load, erasures since, and a restore with and without their list', async (t, engine) => {
  const { instagram, cli, file, open, another, rows } = await setUp(t, engine)
  const agent = await open()
  const owner = createClient(agent)
  t.equal((await owner.signIn(PASSWORD)).status, 303)
  const state = await approve(authorizeUrlIn(await owner.post('/connect/instagram', { account: 'shop' })))

  // Two accounts change together all the time: a backup has both changes or none.
  const db = await engine.open()
  const store = createAccountStore(db)
  let [writes, isOver] = [0, false]
  const writer = (async () => {
    while (!isOver) {
      await setImmediate()
      const jsConstant = `Name${++writes}`
      await store.atomically(async (within) => {
        for (const name of ['shop', 'removed']) await within.update(name, { jsConstant }, changed(name))
      })
    }
  })()
  const backup = file('agent.backup')
  for (let turn = 0; turn < 3; turn++) {
    const before = writes
    const { code, stdout, stderr } = await cli(['backup', backup])
    t.equal(code, 0, stderr)
    t.match(stdout, /agent\.backup holds 3 accounts and \d+ events\. Only you may read it\.\n.*need the key too.*ENCRYPTION_KEY/)
    t.ok(writes > before, 'writers went on')
    const lines = readFileSync(backup, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const rowsOf = (of: string) => lines.filter(({ table }) => table === of).map(({ row }) => row)
    const [first = '', ...others] = rowsOf('accounts').flatMap(({ name, js_constant }) => (name === 'gone' ? [] : [js_constant]))
    t.strictSame(others, [first], 'of one instant')
    const events = rowsOf('events').filter(({ account, actor }) => account === 'shop' && actor === 'owner')
    t.equal(`Name${events.length}`, first ?? 'Name0', 'over all tables')
    t.strictSame([...new Set(lines.map(({ table }) => table))].filter(Boolean).sort(), ['accounts', 'events', 'installation'])
  }
  isOver = true
  await writer
  t.equal(statSync(backup).mode & 0o777, 0o600)
  t.strictSame(
    readdirSync(file('.')).filter((name) => name.startsWith('agent.backup')),
    ['agent.backup'],
    'no draft is left',
  )
  for (const one of instagram.issued.keys()) t.notMatch(readFileSync(backup, 'utf8'), one)

  // Since the backup one user has the data erased, and the owner removes an account.
  const call = signedRequest({ algorithm: 'HMAC-SHA256', user_id: USERS.gone, issued_at: Math.floor(Date.now() / 1000) })
  const erased = await agent.fetch('/callbacks/instagram/delete', { method: 'POST', body: new URLSearchParams({ signed_request: call }) })
  t.equal(erased.status, 200)
  t.equal((await owner.post('/admin/accounts/removed/remove', { name: 'removed' })).status, 303)
  const log = agent.stdout()
  t.notMatch(log, USERS.gone, 'no user can be looked up in the log')
  t.notMatch(log, USERS.removed)
  writeFileSync(file('log'), log.replace(/^/gm, '2026-11-26T19:00:00Z app[web.1]: '))
  await agent.close()

  const kept = await rows('accounts')
  for (const [args, more, why] of [
    [[], {}, /This store has accounts.*--replace.*Nothing was changed/],
    [['--replace'], { ENCRYPTION_KEY: 'quite-another-key-than-the-one-of-it' }, /No key here opens the tokens.*Nothing was changed/],
  ] as const)
    t.match(await cli(['restore', backup, ...args], engine.address, more), { code: 1, stdout: '', stderr: why })
  t.strictSame(await rows('accounts'), kept)

  await t.test('without the list all is back, and nothing is served before Instagram has confirmed it', async (t) => {
    const place = await another()
    const { code, stdout, stderr } = await cli(['restore', backup], place)
    t.equal(code, 0, stderr)
    t.match(stdout, /^3 accounts of .* restored into .*\n(?:.*\n)*Start the agent now/)
    t.match(stderr, /No list of erasures was given/)
    instagram.fail('*', 'empty500')
    const restored = await open(place)
    for (const name of names) t.match(await served(restored, `/accounts/${name}/token.json`), { status: 503, token: null }, name)
    const browser = createClient(restored, new Map(owner.cookies))
    t.match(await browser.get('/admin'), { status: 303, location: '/admin/sign-in' }, 'the old session')
    t.equal((await browser.signIn(PASSWORD)).status, 303)
    t.ok((await browser.get(state)).status >= 400, 'the old state')
    t.ok((await rows('installation', place))[0]?.['signed_out_at'], 'the cookies of known browsers')
    instagram.heal()
    t.match(await cli(['refresh', '--force'], place), { code: 0 })
    for (const name of names) await waitFor(name, async () => (await served(restored, `/accounts/${name}/token.json`)).status === 200)
  })

  await t.test('with the list what was erased is empty, and what was removed stays removed', async (t) => {
    const place = engine.name === 'postgres' ? join(tempFolder(t), 'moved.db') : await another()
    const { code, stdout, stderr } = await cli(['restore', backup, '--erased', file('log')], place)
    t.equal(code, 0, stderr)
    t.match(stdout, /gone: its user had the data erased since.*\nremoved: it was removed since/)
    const restored = await open(place)
    const codes = await Promise.all(names.map(async (name) => (await served(restored, `/accounts/${name}/token.json`)).status))
    t.strictSame(codes, [200, 503, 404])
    const [gone] = (await rows('accounts', place)).filter(({ name }) => name === 'gone')
    t.match(gone, { access_token: null, provider_user_id: null, provider_app_user_id: null, username: null })
  })

  await t.test('over the store itself its own history counts as a list of erasures, and versions do not fall', async (t) => {
    t.match(await cli(['restore', backup, '--replace']), { code: 0, stdout: /gone: its user had the data erased since/ })
    for (const row of await rows('accounts'))
      t.ok(Number(row['revision']) > Number(kept.find(({ name }) => name === row['name'])?.['revision']), String(row['name']))
    t.ok(
      (await rows('events')).some(({ kind }) => kind === 'removed'),
      'the history of before stays',
    )
  })
})

eachEngine(t, 'a restore that is killed half-way leaves the store as it was', async (t, engine) => {
  const { cli, file, another, rows, envOf } = await setUp(t, engine)
  t.match(await cli(['backup', file('whole')]), { code: 0 })
  const lines = readFileSync(file('whole'), 'utf8').split('\n')
  const place = await another()
  execFileSync('mkfifo', [file('pipe')])
  const restore = await startCli(t, ['restore', file('pipe')], { env: envOf(place) })
  // The first reading checks it all. The second one stops in the middle of the accounts.
  const first = createWriteStream(file('pipe'))
  first.end(lines.join('\n'))
  await once(first, 'close')
  const second = createWriteStream(file('pipe'))
  second.write(`${lines.slice(0, 4).join('\n')}\n`)
  await waitFor('the transaction', async () => second.bytesWritten > 0 && restore.running)
  t.match(await restore.end('SIGKILL'), { signal: 'SIGKILL' })
  second.destroy()
  t.strictSame(await rows('accounts', place), [])
  t.match(await cli(['restore', file('whole')], place), { code: 0 }, 'and takes the whole backup afterwards')
  t.equal((await rows('accounts', place)).length, 3)
})

t.test('a rotating token of a backup is held until a person asks for it', async (t) => {
  const tiktok = await startTikTok()
  t.teardown(() => tiktok.close())
  const folder = tempFolder(t)
  const env = (of: string) => ({ ...tiktokSettings(tiktok), DATABASE_URL: `sqlite:${of}/agent.db`, ENCRYPTION_KEY: KEY })
  const cli = (args: string[], of: string, stdin = '') => runCli(t, args, { env: env(of), cwd: folder, stdin })
  t.match(await cli(['seed', 'tiktok', '--refresh-token'], 'old', tiktok.issue().refresh), { code: 0 })
  t.match(await cli(['backup', 'backup'], 'old'), { code: 0 })
  t.match(await cli(['restore', 'backup'], 'new'), { code: 0 })
  const calls = tiktok.calls.length
  t.match(await cli(['refresh'], 'new'), { code: 1, stdout: /is a copy of another one.*refresh this account by hand/ })
  t.equal(tiktok.calls.length, calls, 'its only token is not spent')
  t.match(await cli(['refresh', 'tiktok', '--force'], 'new'), { code: 0 })
  t.match(await cli(['status', '--json'], 'new'), { stdout: /"condition": "working"/ })
})

t.test('what cannot be restored is refused with a sentence, and changes nothing', async (t) => {
  const folder = tempFolder(t)
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const env = { INSTAGRAM_GRAPH_URL: instagram.url }
  const cli = (args: string[], more: Record<string, string> = {}, stdin = '') =>
    runCli(t, args, { env: { ...env, ...more }, cwd: folder, stdin })
  const elsewhere = { DATABASE_URL: 'sqlite:other/agent.db' }
  t.match(await cli(['seed'], {}, instagram.issue()), { code: 0 })
  t.match(await cli(['backup', 'backup']), { code: 0, stdout: /it lies in \/.*data\/encryption\.key\. Keep a copy apart/ })
  t.match(await cli(['restore', 'backup'], elsewhere), { code: 1, stderr: /There is no key here yet\..*Nothing was changed/ })
  t.notOk(existsSync(join(folder, 'other')), 'no store and no key are made')

  const keyed = { ...elsewhere, ENCRYPTION_KEY: readFileSync(join(folder, 'data/encryption.key'), 'utf8').trim() }
  const text = readFileSync(join(folder, 'backup'), 'utf8')
  const put = (name: string, content: string): void => writeFileSync(join(folder, name), content)
  put('altered', text.replace('"allowed_domains":null', '"allowed_domains":"evil.example"'))
  put('short', text.split('\n').slice(0, -2).join('\n'))
  put('newer', text.replace('"migrations":[', '"migrations":["999-later",'))
  put('text', 'a file of something else')
  put('half', '{"level":"info","erasedUser":"abc')
  put('foreign', '{"erasedUser":"AAAA.00","connectedBefore":"2026-11-26T19:00:00Z"}')
  put('log', '{"level":"info","msg":"hello"}')
  for (const [args, why] of [
    [['restore', 'altered'], /was altered.*Nothing was changed/],
    [['restore', 'short'], /cut off/],
    [['restore', 'newer'], /newer release \(it has 999-later\)/],
    [['restore', 'text'], /no backup of token-agent/],
    [['restore', 'nowhere'], /nowhere: there is no such file/],
    [['restore', 'backup', '--erased', 'half'], /Line 1 .*cut off/],
    [['restore', 'backup', '--erased', 'foreign'], /Line 1 .*older key/],
    [['restore', 'backup', '--erased', 'log'], /names no erasure/],
    [['backup', 'text'], /text exists and is no backup/],
    [['backup', 'no/such/folder'], /no such file or folder/],
  ] as const)
    t.match(await cli([...args], keyed), { code: 1, stdout: '', stderr: why }, args.join(' '))
  for (const args of [['backup'], ['restore'], ['restore', 'backup', '--erased=']])
    t.match(await cli(args, keyed), { code: 2 }, args.join(' '))
  t.equal(readFileSync(join(folder, 'text'), 'utf8'), 'a file of something else')
  t.match(await cli(['restore', 'backup'], keyed), { code: 0, stdout: /^1 account of/ })

  const { stderr } = await cli(['accounts', 'remove', 'default'], keyed)
  put('log', stderr)
  t.match(await cli(['restore', 'backup', '--erased', 'log'], keyed), { code: 0, stdout: /default: it was removed since/ })
})

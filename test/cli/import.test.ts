import t, { type Test } from 'tap'
import { runCli } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'

t.setTimeout(300_000)

const skip = missing('postgres')
const KEY = 'an-encryption-key-of-a-test'
const DAY_MS = 24 * 3600_000

/** An old app's database and the command line of a new agent on it, in another time zone. */
async function setUp(t: Test, table = 'expires_at timestamp') {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const db = await createDatabase(t)
  if (table !== '')
    await db.query(
      `create table tokens (value varchar(256), created_at timestamp default current_timestamp, ${table}, success boolean, response_body text)`,
    )
  const env = { DATABASE_URL: db.url, ENCRYPTION_KEY: KEY, INSTAGRAM_GRAPH_URL: instagram.url, TZ: 'Pacific/Chatham' }
  return {
    instagram,
    db,
    /** An instant as the Ruby agent wrote it: UTC without a zone. */
    keep: (token: string | null, expiresAt: Date | null, success = true) =>
      db.query('insert into tokens (value, expires_at, success) values ($1, $2::text::timestamp, $3)', [
        token,
        expiresAt?.toISOString().slice(0, -1) ?? null,
        success,
      ]),
    cli: (args: string[], more: Record<string, string> = {}) => runCli(t, args, { env: { ...env, ...more } }),
    account: async () =>
      (await db.query<{ expires_at: Date; state: string; access_token: string; version: number }>('select * from accounts'))[0],
    oldRows: () => db.query('select * from tokens'),
  }
}

const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS)

t.test('import takes over the old app’s token and does not change its table', { skip }, async (t) => {
  const { instagram, keep, cli, oldRows, account } = await setUp(t)
  const token = instagram.issue()
  await keep(token, inDays(40))
  const before = await oldRows()
  const { code, stdout, stderr } = await cli(['import'])
  t.equal(stderr, '')
  t.equal(code, 0)
  t.match(
    stdout,
    /The old app has a token, good until \d+ [A-Z]\w+ \d{4}\.\n.*stored as “default”.*refreshed.*\n.*old table was left as it is.*drop it/s,
  )
  t.notMatch(stdout, token)
  t.same(await oldRows(), before)
  t.match(await account(), { state: 'active', version: 2 })
  t.notMatch((await account())?.access_token, token, 'sealed')

  await t.test('a second import changes nothing without --force', async (t) => {
    const again = await cli(['import'])
    t.equal(again.code, 1)
    t.match(again.stderr, /has a token that works.*--force/)
    t.match(await account(), { version: 2 })
    instagram.revoke(token)
    const refused = await cli(['import', '--force'])
    t.equal(refused.code, 1)
    t.match(refused.stdout, /The token was not taken; the one that works stays/)
    t.match(await account(), { version: 2, state: 'active' })
    const other = instagram.issue({ userId: instagram.issued.get(token)?.userId ?? '' })
    await keep(other, inDays(50))
    t.equal((await cli(['import', '--force'])).code, 0)
    t.ok(((await account())?.version ?? 0) > 2)
  })
})

t.test('while Instagram is silent the old table’s expiry counts, to the second, in any time zone', { skip }, async (t) => {
  const { instagram, keep, cli, account } = await setUp(t)
  instagram.fail('*', 'empty500')
  const expiresAt = inDays(40)
  await keep(instagram.issue(), expiresAt)
  const { code, stdout } = await cli(['import'])
  t.equal(code, 1)
  t.match(stdout, 'The token is stored, but:')
  t.equal((await account())?.expires_at.getTime(), expiresAt.getTime())
})

t.test('after a failed refresh of the old app the token is tried and its expiry ignored', { skip }, async (t) => {
  const { instagram, keep, cli, account } = await setUp(t)
  await keep(instagram.issue(), inDays(-30), false)
  const { code, stdout } = await cli(['import'])
  t.equal(code, 0, stdout)
  t.match(stdout, /^The old app has a token\.\n/)
  t.ok(((await account())?.expires_at.getTime() ?? 0) > Date.now())
})

t.test('an expired token is refused with a remedy', { skip }, async (t) => {
  const { instagram, keep, cli, account } = await setUp(t)
  await keep(instagram.issue(), inDays(-3))
  const { code, stderr } = await cli(['import'])
  t.equal(code, 1)
  t.match(stderr, /expired on \d{4}-\d{2}-\d{2}.*\/setup/)
  t.equal(await account(), undefined)
})

t.test('an infinite expiry is ignored: the token is taken and Instagram gives its life', { skip }, async (t) => {
  for (const written of ['infinity', '-infinity', '0044-03-15 BC', '294276-12-31']) {
    const { instagram, db, cli, account } = await setUp(t)
    await db.query('insert into tokens (value, expires_at, success) values ($1, $2::text::timestamp, true)', [instagram.issue(), written])
    const { code, stderr } = await cli(['import'])
    t.equal(code, 0, `${written}: ${stderr}`)
    t.ok(((await account())?.expires_at.getTime() ?? 0) > Date.now(), written)
  }
})

t.test('of several rows the last to expire is taken; a time with a zone is read as it is', { skip }, async (t) => {
  const { instagram, db, cli, account } = await setUp(t, 'expires_at timestamptz')
  instagram.fail('*', 'empty500')
  const longest = inDays(50)
  for (const [token, at] of [
    [instagram.issue(), inDays(10)],
    ['  ', inDays(59)],
    [` ${instagram.issue()} `, longest],
    [instagram.issue(), null],
  ] as const) {
    await db.query('insert into tokens (value, expires_at) values ($1, $2)', [token, at])
  }
  await cli(['import'])
  t.equal((await account())?.expires_at.getTime(), longest.getTime())
})

t.test('another database than the old app’s is refused in a sentence, and nothing changes', { skip }, async (t) => {
  const { db, cli, keep } = await setUp(t, '')
  const says = async (words: RegExp) => {
    const { code, stderr } = await cli(['import'])
    t.equal(code, 1)
    t.match(stderr, words)
    t.notMatch(stderr, /\n {4}at |select|pg_attribute/)
    t.same(await db.query('select * from accounts'), [])
  }
  await says(/There is no table “tokens”.*DATABASE_URL/)
  for (const columns of [
    'id integer',
    'value text',
    'value integer, expires_at timestamp',
    'value text, expires_at text',
    'expires_at timestamp',
  ]) {
    await db.query(`create table tokens (${columns})`)
    await says(/not the Ruby agent’s/)
    await db.query('drop table tokens')
  }
  await db.query('create table tokens (value varchar(256), expires_at timestamp, success boolean)')
  await says(/holds no token/)
  await keep('', inDays(1))
  await keep(null, inDays(1))
  await says(/holds no token/)
  await db.query('truncate tokens')
  await keep('two words', inDays(1))
  await says(/The token has a space/)
})

t.test('with the embedded store import explains where the old token is', async (t) => {
  const { code, stderr } = await runCli(t, ['import'])
  t.equal(code, 1)
  t.match(stderr, /Postgres; set DATABASE_URL/)
  const wrong = await runCli(t, ['import', 'default'])
  t.equal(wrong.code, 2)
})

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import Papa from 'papaparse'
import t, { type Test } from 'tap'
import { readCells, readList, toLine } from '../../src/cli/accounts-csv.ts'
import { ENCRYPTION_KEY } from '../support/accounts.ts'
import { runCli } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { PASSWORD, settingsFor } from '../support/owner.ts'
import { launch } from '../support/process.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

const CLI = join(import.meta.dirname, '../../src/cli/main.ts')

async function createShell(t: Test) {
  const [instagram, tiktok] = await Promise.all([startInstagram(), startTikTok()])
  for (const one of [instagram, tiktok]) t.teardown(() => one.close())
  const cwd = tempFolder(t, 'csv')
  const env = { ENCRYPTION_KEY, ...settingsFor(instagram), ...tiktokSettings(tiktok) }
  const run = (args: string, stdin = '', own = cwd) => runCli(t, args.split(' '), { cwd: own, env, stdin })
  const sql = <Row>(statement: string): Row[] => {
    const db = new DatabaseSync(join(cwd, 'data/token-agent.sqlite'), { timeout: 5_000 })
    const rows = db.prepare(statement).all()
    db.close()
    return rows as Row[]
  }
  return { instagram, tiktok, cwd, run, sql }
}

const piece = fc.constantFrom('=', '+', '-', '@', '\t', '\r', '\n', "'", '"', ',', ';', ' ', '=HYPERLINK("http://evil.example")', 'ä', '€')
const cell = fc.oneof(fc.string({ unit: piece, maxLength: 6 }), fc.string())

t.test('each of 100,000 cells comes back as it was, and none is a formula in between', async () => {
  const comesBack = (cells: string[]): boolean => {
    const line = toLine(cells)
    const [shown = []] = Papa.parse<string[]>(line, { delimiter: ',' }).data
    const { rows, errors } = readCells(line, ',')
    const isPlain = errors.length === 0 && shown.every((one) => !/^[=+\-@\t\r]/.test(one))
    return isPlain && JSON.stringify(rows.map((row) => row.cells)) === JSON.stringify([cells])
  }
  fc.assert(fc.property(fc.array(cell, { minLength: 4, maxLength: 4 }), comesBack), { numRuns: 25_000 })
})

const LIST = `name,provider,domains,constant
bakery,instagram,https://bakery.example https://*.bakery.example,BakeryToken
clips,tiktok,,
shop,instagram,http://localhost:8080,`

t.test('export, import and export again: the same; an account that exists is changed by --replace alone', async (t) => {
  const { run, sql } = await createShell(t)
  t.match(await run('accounts import', `\uFEFF${LIST.replace('name,', 'NAME , ')}\n\n`), {
    code: 0,
    stdout: '3 accounts created, 0 changed.\n',
  })
  const exported = await run('accounts export')
  t.match(exported, { code: 0, stdout: `${LIST}\n` })
  const other = tempFolder(t, 'other')
  t.match(await run('accounts import', exported.stdout, other), { code: 0 })
  t.equal((await run('accounts export', '', other)).stdout, exported.stdout)
  t.match(await run('accounts import', exported.stdout), {
    code: 1,
    stderr: /Line 2, column name: there is an account of this name\..*--replace/,
  })
  const changed = 'name;domains\nshop;www.shop.example\nnew;\n'
  t.match(await run('accounts import', changed), { code: 1, stdout: '', stderr: /Nothing was imported/ })
  t.match(await run('accounts import --replace', changed), { code: 0, stdout: '1 account created, 1 changed.\n' })
  t.match((await run('accounts export')).stdout, /shop,instagram,https:\/\/www\.shop\.example,\n$/)
  t.match(sql("select actor from events where kind in ('created', 'changed')"), Array(5).fill({ actor: 'cli' }))
  t.match(sql('select default_account from installation'), [{ default_account: 'bakery' }], 'the first account of an empty store')
})

t.test('tokens come from their own column: sealed, asked about, never shown', async (t) => {
  const { instagram, tiktok, run, sql } = await createShell(t)
  const [good, dead, refresh] = [instagram.issue({ username: 'the.shop' }), `IGAA${'x'.repeat(150)}`, tiktok.issue().refresh]
  const list = `token,name,provider\n${good},shop,\n${dead},dead,\n"${refresh}",clips,tiktok\n,empty,\n`
  const result = await run('accounts import', list)
  t.match(result, { code: 1, stdout: /^4 accounts created, 0 changed\.\ndead: .*\n2 of 3 tokens work\.\n$/ })
  t.match(
    (await run('status')).stdout,
    /needs you|checking {2}dead[\s\S]*working {4}clips[\s\S]*working {4}shop {4}instagram {2}@the\.shop/,
  )
  const shown = result.stdout + result.stderr + (await run('accounts export')).stdout + JSON.stringify(sql('select * from events'))
  for (const token of [good, dead, refresh]) t.notOk(shown.includes(token))
  const again = await run('accounts import --replace', `name,token\nshop,${instagram.issue()}\nempty,${instagram.issue()}\n`)
  t.match(again, { code: 1, stderr: /Line 2, column token: the account has a token\. Give it another one with “seed”/ })
  t.match(sql("select access_token from accounts where name = 'empty'"), [{ access_token: null }], 'all or nothing')
  t.equal(tiktok.wrong.usesOfDead, 0)
})

t.test('what is wrong is named by line and column, never quoted, and nothing is taken', async (t) => {
  const { instagram, tiktok, run, sql } = await createShell(t)
  await run('accounts add clips --provider tiktok')
  const [token, refresh] = [instagram.issue(), tiktok.issue().refresh]
  const secrets = [token, refresh, 'EAABsbCS1234ZCpO', '0123456789abcdef0123456789abcdef', 'a-secret-of-the-instagram-app', 'hunter2“igaa']
  const fine = 'fine,instagram,www.shop.example,ShopToken'
  const header = 'name,provider,domains,constant'
  const problems: [list: string, says: RegExp][] = [
    [`${header}\n${fine}\n${fine}`, /^Line 3, column name: stands on another line too/m],
    [`${header}\n${fine}\nshop,myspace,,`, /^Line 3, column provider: is none of instagram, threads/m],
    [`${header}\n"fine",,"www.shop.example\nwww.other.example",\nshop,,*.github.io,`, /^Line 4, column domains: /m],
    [`${header}\nshop,,bad/path,`, /^Line 2, column domains: holds what is no web site\. Write/m],
    [`${header}\nshop,,,class`, /^Line 2, column constant: is a reserved word/m],
    [`${header}\nshop,,,,extra`, /^Line 2: has more cells/m],
    [`${header}\nshop,"instagram`, /^Line 2: a quotation mark is missing/m],
    [`name,colour\nshop,red`, /^Line 1, column 2: the first line names the columns/m],
    [`name,name\nshop,red`, /^Line 1, column 2: /m],
    [`provider\ninstagram`, /^Line 1: the first line names the columns/m],
    [header, /has no account/],
    ['', /^Line 1/m],
    ['name\n\u0000\u0000', /column name/],
    ['name,provider\nclips,instagram', /column provider: the account belongs to another/],
    [`name,token\none,${token}\ntwo,${token}`, /^Line 3, column token: stands on another line too/m],
    [`name,provider,token\none,tiktok,${token}`, /^Line 2, column token: The token is one of Meta/m],
    [`name,token\none,${PASSWORD}`, /column token: This is the value of ADMIN_PASSWORD/],
    // A shifted column: each secret in each place.
    ...[0, 1, 2, 3, 4].flatMap((at): [string, RegExp][] => {
      const shifted = (line: string, cell: string) =>
        line
          .split(',')
          .toSpliced(at, at < 4 ? 1 : 0, cell)
          .join(',')
      const lines = secrets.map((secret, n) => shifted(fine.replace('fine', `fine-${n}`), secret))
      return [
        [`${header}\n${lines.join('\n')}`, new RegExp(secrets.map((_, n) => `Line ${n + 2}[,:]`).join('[^]*'))],
        [`${shifted(header, token)}\n${fine}`, /Line 1/],
      ]
    }),
  ]
  const { length } = sql('select * from events')
  for (const [list, says] of problems) {
    const { code, stdout, stderr } = await run('accounts import --replace', list)
    t.match({ code, stdout, stderr }, { code: 1, stdout: '', stderr: says }, list.slice(0, 60))
    for (const secret of secrets) t.notOk(stderr.includes(secret), `${secret}: ${stderr}`)
  }
  t.equal(sql('select * from events').length, length)
  t.equal(readList(`name\n${[...Array(10_001).keys()].map((at) => `a${at}`).join('\n')}`).accounts.length, 0)
})

t.test('kill -9 in the middle leaves no account', { skip: missing('postgres') }, async (t) => {
  const database = await createDatabase(t)
  const env = { DATABASE_URL: database.url, ENCRYPTION_KEY }
  t.match(await runCli(t, ['migrate'], { env }), { code: 0 })
  await database.query(`create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$`)
  await database.query(`create trigger wait before insert on accounts for each row when (new.name = 'shop-30') execute function wait()`)
  const command = await launch(process.execPath, [CLI, 'accounts', 'import'], { cwd: tempFolder(t, 'killed'), env })
  t.teardown(() => command.end('SIGKILL'))
  command.stdin.end(`name\n${[...Array(50).keys()].map((at) => `shop-${at}`).join('\n')}`)
  const sleeping = "select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
  await waitFor('the middle', async () => (await database.query(sleeping)).length > 0 || !command.running)
  await command.end('SIGKILL')
  await database.query(`select pg_terminate_backend(pid) from (${sleeping}) one`)
  await waitFor('the roll-back', async () => (await database.query(sleeping)).length === 0)
  t.same(await database.query('select name from accounts'), [])
  t.same(await database.query('select id from events'), [])
})

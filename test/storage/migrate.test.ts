import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AppError } from '../../src/core/errors.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { launch } from '../support/process.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { eachEngine, MIGRATIONS } from './engines.ts'

const FIRST = '-- expand\ncreate table one (a text);\n'

function folderOf(t: Test, files: Record<string, string>): string {
  const folder = join(tempFolder(t), 'migrations')
  mkdirSync(folder)
  for (const [name, sql] of Object.entries(files)) writeFileSync(join(folder, name), sql)
  return folder
}

eachEngine(t, 'applies each file once, in order', async (t, engine) => {
  const db = await engine.open()
  const folder = folderOf(t, { '002-two.sql': '-- expand\nalter table one add column b text;', '001-one.sql': FIRST, 'README.md': '' })
  t.strictSame(await migrate(db, folder), ['001-one', '002-two'])
  t.strictSame(await migrate(db, folder), [])
  writeFileSync(join(folder, '003-three.sql'), "-- contract\nupdate one set b = ''; insert into one values ('x', 'y');\n")
  t.strictSame(await migrate(db, folder), ['003-three'])
  t.strictSame(
    (await db.query<{ a: string }>('select a from one')).map(({ a }) => a),
    ['x'],
    'all statements of a file',
  )
  t.strictSame(
    (await db.query<{ name: string; kind: string }>('select name, kind from schema_migrations order by number')).map(({ name, kind }) => [
      name,
      kind,
    ]),
    [
      ['001-one', 'expand'],
      ['002-two', 'expand'],
      ['003-three', 'contract'],
    ],
  )
})

eachEngine(t, 'a failing file leaves the store unchanged', async (t, engine) => {
  const db = await engine.open()
  await t.rejects(
    migrate(db, folderOf(t, { '001-one.sql': FIRST, '002-two.sql': '-- expand\ncreate tabel two (a text);' })),
    /syntax error/,
  )
  await t.rejects(db.query('select * from one'), /one/)
  t.strictSame(await migrate(db, folderOf(t, { '001-one.sql': FIRST })), ['001-one'])
})

eachEngine(t, 'refuses files that have no mark or leave a gap', async (t, engine) => {
  const db = await engine.open()
  await t.rejects(migrate(db, folderOf(t, { '001-one.sql': 'create table one (a text);' })), /first line must be/)
  await t.rejects(migrate(db, folderOf(t, { '001-one.sql': FIRST, '003-three.sql': '-- expand\n' })), /without a gap/)
})

eachEngine(t, 'works beside a newer release that has only expanded the store', async (t, engine) => {
  const db = await engine.open()
  await migrate(db, folderOf(t, { '001-one.sql': FIRST, '002-two.sql': '-- expand\nalter table one add column b text;' }))
  t.strictSame(await migrate(db, folderOf(t, { '001-one.sql': FIRST })), [])
})

eachEngine(t, 'refuses a store that a newer release has contracted, and says what to do', async (t, engine) => {
  const db = await engine.open()
  await migrate(db, folderOf(t, { '001-one.sql': FIRST, '002-two.sql': '-- expand\n', '003-three.sql': '-- contract\ndrop table one;' }))
  const error = await migrate(db, folderOf(t, { '001-one.sql': FIRST })).catch((error) => error)
  t.type(error, AppError)
  t.match(error, { code: 'conflict', message: /newer release.*003-three.*deploy that release again/ })
})

eachEngine(t, '20 processes start at once on an empty store', async (t, engine) => {
  const children = await Promise.all(
    Array.from({ length: 20 }, () =>
      launch(process.execPath, [join(import.meta.dirname, 'child.ts'), 'migrate', engine.name, engine.address, MIGRATIONS]),
    ),
  )
  t.teardown(() => Promise.all(children.map((child) => child.end('SIGKILL'))))
  await Promise.all(children.map((child) => waitFor('a child to be ready', () => child.stdout().includes('ready') || !child.running)))
  for (const child of children) child.stdin.write('go\n')
  const exits = await Promise.all(children.map((child) => child.exited))
  t.strictSame(
    exits.map(({ code }) => code),
    children.map(() => 0),
    children.map((child) => child.stderr()).join(''),
  )
  const all = readdirSync(MIGRATIONS).filter((name) => name.endsWith('.sql')).length
  const applied = children.map((child) => JSON.parse(/applied (.*)/.exec(child.stdout())?.[1] ?? '[]').length).sort()
  t.strictSame(applied, [...Array(19).fill(0), all], 'one process applied them')
})

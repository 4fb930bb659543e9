import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { AppError } from '../../src/core/errors.ts'
import { createKeyFile, readKeyFile } from '../../src/storage/key-file.ts'
import { launch } from '../support/process.ts'
import { tempFolder } from '../support/temp-folder.ts'

const load = async (path: string): Promise<readonly string[]> => {
  const found = (await readKeyFile(path)) ?? (await createKeyFile(path))
  return found !== null && 'keys' in found ? found.keys : []
}

t.test('the first start creates a key that only its owner may read', async (t) => {
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const path = join(tempFolder(t), 'data', 'agent.key')
  const keys = await load(path)
  t.match(keys, [/^[\w-]{43}$/])
  t.strictSame(await load(path), keys)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(dirname(path)).mode & 0o777, 0o700)
  t.strictSame(readdirSync(dirname(path)), ['agent.key'], 'no draft is left')
})

t.test('processes that start at once agree on one key', async (t) => {
  for (let round = 0; round < 20; round++) {
    const path = join(tempFolder(t), 'agent.key')
    const all = await Promise.all(Array.from({ length: 8 }, () => load(path)))
    t.equal(new Set(all.flat()).size, 1)
    t.match(readFileSync(path, 'utf8').trim(), all[0]?.[0])
  }
  const path = join(tempFolder(t), 'agent.key')
  const source = JSON.stringify(join(import.meta.dirname, '../../src/storage/key-file.ts'))
  const script = `const { createKeyFile } = await import(${source}); console.log(await createKeyFile(${JSON.stringify(path)}))`
  const children = await Promise.all(Array.from({ length: 8 }, () => launch(process.execPath, ['--input-type=module', '-e', script])))
  const exits = await Promise.all(children.map((child) => child.exited))
  t.ok(exits.every(({ code }) => code === 0))
  t.equal(new Set(children.map((child) => child.stdout())).size, 1)
})

t.test('reads several keys, newest first', async (t) => {
  const path = join(tempFolder(t), 'agent.key')
  writeFileSync(path, `${'n'.repeat(43)} ,\n${'o'.repeat(43)}\n`)
  t.strictSame(await load(path), ['n'.repeat(43), 'o'.repeat(43)])
})

t.test('an empty or damaged file is never replaced, and the error says what to do', async (t) => {
  const path = join(tempFolder(t), 'agent.key')
  for (const content of ['', '\n', 'short', '\0'.repeat(43), `${'k'.repeat(43)},`, `${'k'.repeat(20)} ${'k'.repeat(22)}`]) {
    writeFileSync(path, content)
    const error = await load(path).catch((error: Error) => error)
    if (!(error instanceof AppError)) return t.fail('no error')
    t.match(error.message, /is (?:empty|damaged): put a backup of it in its place/)
    t.notMatch(error.message, /kkk/)
    t.equal(readFileSync(path, 'utf8'), content)
  }
  writeFileSync(join(dirname(path), 'file'), '')
  await t.rejects(load(join(dirname(path), 'file', 'agent.key')), { message: /a part of its folder’s path is a file/ })
})

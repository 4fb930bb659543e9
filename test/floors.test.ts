import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { launch } from './support/process.ts'
import { tempFolder } from './support/temp-folder.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BIOME = join(ROOT, 'node_modules/.bin/biome')

/** What the linter says of one more file in `src/`. */
async function lint(t: Test, path: string, text: string): Promise<{ code: number | null; output: string }> {
  const folder = tempFolder(t, 'floors')
  cpSync(join(ROOT, 'biome.json'), join(folder, 'biome.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  mkdirSync(join(folder, dirname(path)), { recursive: true })
  writeFileSync(join(folder, path), text)
  const biome = await launch(process.execPath, [BIOME, 'lint', '--error-on-warnings', '--vcs-enabled=false', path], { cwd: folder })
  const { code } = await biome.exited
  return { code, output: biome.stdout() + biome.stderr() }
}

const uses = (name: string, from: string): string => `import { ${name} } from '${from}'\n\nexport const planted = ${name}\n`

// Where a violation is planted, and what it must not import there.
const FORBIDDEN: Record<string, string[]> = {
  'src/domain/planted.ts': [
    'node:fs',
    'fastify',
    'pg',
    '../application/read-token.ts',
    '../storage/vault.ts',
    '../http/app.ts',
    '../config.ts',
  ],
  'src/application/planted.ts': [
    'node:fs',
    'pg',
    '../storage/vault.ts',
    '../cache/memcached.ts',
    '../providers/instagram.ts',
    '../http/app.ts',
    '../services.ts',
  ],
  'src/storage/planted.ts': [
    '../application/read-token.ts',
    '../http/app.ts',
    '../providers/instagram.ts',
    '../cache/memcached.ts',
    '../config.ts',
  ],
  'src/cache/planted.ts': [
    '../application/read-token.ts',
    '../http/app.ts',
    '../storage/vault.ts',
    '../providers/instagram.ts',
    '../services.ts',
  ],
  'src/providers/planted.ts': [
    '../application/read-token.ts',
    '../http/app.ts',
    '../storage/vault.ts',
    '../cache/memcached.ts',
    '../logger.ts',
  ],
  'src/http/planted.ts': ['../storage/vault.ts', '../cache/memcached.ts', '../providers/instagram.ts', '../services.ts', '../config.ts'],
  'src/planted.ts': ['./storage/vault.ts', './cache/memcached.ts', './providers/instagram.ts'],
}
const ALLOWED: Record<string, string[]> = {
  'src/domain/planted.ts': ['./account.ts'],
  'src/application/planted.ts': ['./read-token.ts', '../domain/account.ts', 'node:crypto'],
  'src/storage/planted.ts': ['./vault.ts', '../domain/account.ts', 'pg', 'node:fs'],
  'src/cache/planted.ts': ['./memcached.ts', '../domain/row-cache.ts', 'memjs'],
  'src/providers/planted.ts': ['./http.ts', '../domain/provider.ts'],
  'src/http/planted.ts': ['./app.ts', '../application/read-token.ts', '../domain/account.ts', 'fastify'],
  'src/agent.ts': ['./storage/vault.ts', './cache/memcached.ts', './providers/instagram.ts'],
}

for (const [path, imports] of Object.entries(FORBIDDEN)) {
  t.test(`an import that points up or sideways is refused in ${dirname(path)}`, async (t) => {
    for (const from of imports) {
      const { code, output } = await lint(t, path, uses('thing', from))
      t.equal(code, 1, from)
      t.match(output, /noRestrictedImports/, from)
    }
    const { code, output } = await lint(t, path, imports.map((from, n) => `export { thing as thing${n} } from '${from}'\n`).join(''))
    t.equal(code, 1, 're-exports too')
    t.equal(output.match(/noRestrictedImports/g)?.length ?? 0, imports.length)
  })
}

t.test('imports that point down, and libraries where they belong, are fine', async (t) => {
  for (const [path, imports] of Object.entries(ALLOWED)) {
    const text = imports.map((from, n) => `import { thing as thing${n} } from '${from}'\n`).join('')
    const { code, output } = await lint(t, path, `${text}\nexport const planted = [${imports.map((_, n) => `thing${n}`).join(', ')}]\n`)
    t.equal(code, 0, `${path}\n${output}`)
  }
})

t.test('a default export is refused everywhere', async (t) => {
  t.match(await lint(t, 'src/planted.ts', 'export default 1\n'), { code: 1, output: /noDefaultExport/ })
})

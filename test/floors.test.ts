import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { filesUnder } from './support/files-under.ts'
import { launch } from './support/process.ts'
import { tempFolder } from './support/temp-folder.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BIOME = join(ROOT, 'node_modules/.bin/biome')

/** What the linter says of one more file in `src/`; `others` stand beside it. */
async function lint(
  t: Test,
  path: string,
  text: string,
  others: Record<string, string> = {},
): Promise<{ code: number | null; output: string }> {
  const folder = tempFolder(t, 'floors')
  cpSync(join(ROOT, 'biome.json'), join(folder, 'biome.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  for (const [file, content] of Object.entries({ ...others, [path]: text })) {
    mkdirSync(join(folder, dirname(file)), { recursive: true })
    writeFileSync(join(folder, file), content)
  }
  const biome = await launch(process.execPath, [BIOME, 'lint', '--error-on-warnings', '--vcs-enabled=false', path], { cwd: folder })
  const { code } = await biome.exited
  return { code, output: biome.stdout() + biome.stderr() }
}

const uses = (name: string, from: string): string => `import { ${name} } from '${from}'\n\nexport const planted = ${name}\n`

// Where a violation is planted, and what it must not import there.
const FORBIDDEN: Record<string, string[]> = {
  'src/core/planted.ts': ['node:fs', 'fastify', 'pg', '../reading/allow-list.ts', '../storage/vault.ts', '../config/config.ts'],
  'src/reading/planted.ts': ['node:fs', 'pg', '../alerts/alert.ts', '../accounts/seed.ts', '../storage/vault.ts', '../cache/memcached.ts'],
  'src/alerts/planted.ts': ['fastify', '../refreshing/refresh-due.ts', '../status/health.ts', '../webhook/webhook.ts', '../agent.ts'],
  'src/refreshing/planted.ts': ['pg', '../accounts/seed.ts', '../sign-in/sign-in.ts', '../providers/http.ts', '../http/app.ts'],
  'src/accounts/planted.ts': ['../sign-in/sign-in.ts', '../status/report.ts', '../storage/vault.ts', '../config/config.ts', '../agent.ts'],
  'src/sign-in/planted.ts': ['@fastify/cookie', '../status/report.ts', '../storage/vault.ts', '../http/app.ts'],
  'src/status/planted.ts': ['../storage/vault.ts', '../http/app.ts', '../agent.ts', '../config/config.ts'],
  'src/storage/planted.ts': ['../http/app.ts', '../providers/http.ts', '../cache/memcached.ts', '../config/config.ts', '../agent.ts'],
  'src/cache/planted.ts': ['../http/app.ts', '../storage/vault.ts', '../providers/http.ts', '../agent.ts'],
  'src/webhook/planted.ts': ['../http/app.ts', '../storage/vault.ts', '../config/config.ts'],
  'src/providers/planted.ts': ['../http/app.ts', '../storage/vault.ts', '../config/config.ts', '../logger.ts'],
  'src/providers/instagram/planted.ts': ['../tiktok/tiktok.ts', '../../http/app.ts', '../../storage/vault.ts', '../../config/config.ts'],
  'src/config/planted.ts': [
    '../storage/vault.ts',
    '../providers/http.ts',
    '../providers/instagram/instagram.ts',
    '../http/app.ts',
    '../agent.ts',
  ],
  'src/http/planted.ts': ['../storage/vault.ts', '../cache/memcached.ts', '../providers/http.ts', '../agent.ts', '../config/config.ts'],
  'src/http/admin/planted.ts': ['../../storage/vault.ts', '../../providers/http.ts', '../../agent.ts', '../../config/config.ts'],
  'src/cli/planted.ts': ['../storage/vault.ts', '../http/app.ts', '../providers/http.ts', '../webhook/webhook.ts'],
  'src/planted.ts': ['./storage/vault.ts', './cache/memcached.ts', './providers/http.ts', './webhook/webhook.ts'],
}
const ALLOWED: Record<string, string[]> = {
  'src/core/planted.ts': ['./account.ts', 'node:crypto', 'node:timers/promises'],
  'src/reading/planted.ts': ['./allow-list.ts', '../core/account.ts', 'node:crypto'],
  'src/refreshing/planted.ts': ['../core/account.ts', '../reading/allow-list.ts', '../alerts/alert.ts'],
  'src/status/planted.ts': ['../accounts/view.ts', '../sign-in/sign-in.ts', 'prom-client'],
  'src/storage/planted.ts': ['./vault.ts', '../core/account.ts', '../accounts/overview.ts', 'pg', 'node:fs'],
  'src/providers/instagram/planted.ts': ['./answer.ts', '../http.ts', '../../core/provider.ts'],
  'src/config/planted.ts': ['../core/secret.ts', '../reading/allow-list.ts', '../providers/registry.ts', 'node:fs'],
  'src/http/planted.ts': ['./admin/owner-scope.ts', '../accounts/view.ts', 'fastify'],
  'src/http/admin/planted.ts': ['../errors.ts', '../pages/pages.ts', '../../accounts/view.ts', 'fastify'],
  'src/cli/planted.ts': ['../config/config.ts', '../agent.ts', '../accounts/manage.ts'],
  'src/agent.ts': ['./storage/vault.ts', './cache/memcached.ts', './providers/http.ts', './webhook/webhook.ts'],
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

t.test('a circle of imports is refused, one of types alone too', async (t) => {
  for (const word of ['import', 'import type']) {
    const back = `${word} { A } from './planted.ts'\n\nexport type B = A | 2\n`
    const { code, output } = await lint(t, 'src/reading/planted.ts', `${word} { B } from './other.ts'\n\nexport type A = B | 1\n`, {
      'src/reading/other.ts': back,
    })
    t.equal(code, 1, word)
    t.match(output, /noImportCycles/, word)
  }
})

t.test('a default export is refused everywhere', async (t) => {
  t.match(await lint(t, 'src/planted.ts', 'export default 1\n'), { code: 1, output: /noDefaultExport/ })
})

t.test('a template has one tag a line, no line over 140 characters, and no code of several lines', async (t) => {
  for (const path of filesUnder(join(ROOT, 'views'), '.eta')) {
    for (const [at, line] of readFileSync(path, 'utf8').split('\n').entries()) {
      const place = `${relative(ROOT, path)}:${at + 1}`
      t.ok(line.length <= 140, `${place} has ${line.length} characters`)
      const code = /<%(?![=~])/.test(line)
      if (code || line.includes('%>'))
        t.ok(!code || /^<% (?:(?!%>).)+ %>$/.test(line), `${place}: a tag with code stands alone in its line`)
    }
  }
})

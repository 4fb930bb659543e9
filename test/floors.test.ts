import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { filesUnder } from './support/files-under.ts'
import { launch } from './support/process.ts'
import { tempFolder } from './support/temp-folder.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BIOME = join(ROOT, 'node_modules/.bin/biome')

interface Diagnostic {
  category: string
  location: { path: string; start?: { line: number } }
}

/** Runs the linter on these files alone: `rule:line` for each violation, by file. */
async function lint(t: Test, files: Record<string, string>): Promise<Record<string, string[]>> {
  const folder = tempFolder(t, 'floors')
  cpSync(join(ROOT, 'biome.json'), join(folder, 'biome.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(folder, dirname(file)), { recursive: true })
    writeFileSync(join(folder, file), content)
  }
  const options = ['--error-on-warnings', '--vcs-enabled=false', '--reporter=json', '--max-diagnostics=none', ...Object.keys(files)]
  const biome = await launch(process.execPath, [BIOME, 'lint', ...options], { cwd: folder })
  const { code } = await biome.exited
  const { diagnostics }: { diagnostics: Diagnostic[] } = JSON.parse(biome.stdout())
  t.equal(code, diagnostics.length > 0 ? 1 : 0, biome.stderr())
  const broken: Record<string, string[]> = Object.fromEntries(Object.keys(files).map((file) => [file, []]))
  for (const { category, location } of diagnostics) broken[location.path]?.push(`${category.replace(/^.*\//, '')}:${location.start?.line}`)
  return broken
}

// Planted files, with imports that are forbidden there.
const FORBIDDEN: Record<string, string[]> = {
  'src/core/planted.ts': ['node:fs', 'fastify', 'pg', '../reading/allow-list.ts', '../storage/vault.ts', '../config/config.ts'],
  'src/reading/planted.ts': ['node:fs', 'pg', '../alerts/alert.ts', '../accounts/seed.ts', '../storage/vault.ts', '../cache/memcached.ts'],
  'src/alerts/planted.ts': [
    'fastify',
    '../refreshing/refresh-due.ts',
    '../status/health.ts',
    '../webhook/webhook.ts',
    '../mail/mail.ts',
    'nodemailer',
  ],
  'src/refreshing/planted.ts': ['pg', '../accounts/seed.ts', '../sign-in/sign-in.ts', '../providers/http.ts', '../http/app.ts'],
  'src/feeds/planted.ts': ['pg', 'fastify', '../accounts/seed.ts', '../storage/vault.ts', '../providers/http.ts', '../http/app.ts'],
  'src/accounts/planted.ts': ['../sign-in/sign-in.ts', '../status/report.ts', '../storage/vault.ts', '../config/config.ts', '../agent.ts'],
  'src/sign-in/planted.ts': ['@fastify/cookie', '../status/report.ts', '../storage/vault.ts', '../http/app.ts'],
  'src/status/planted.ts': ['../storage/vault.ts', '../http/app.ts', '../agent.ts', '../config/config.ts'],
  'src/storage/planted.ts': ['../http/app.ts', '../providers/http.ts', '../cache/memcached.ts', '../config/config.ts', '../agent.ts'],
  'src/cache/planted.ts': ['../http/app.ts', '../storage/vault.ts', '../providers/http.ts', '../agent.ts'],
  'src/webhook/planted.ts': ['../http/app.ts', '../storage/vault.ts', '../config/config.ts', '../mail/mail.ts'],
  'src/mail/planted.ts': ['../http/app.ts', '../storage/vault.ts', '../config/mail.ts', '../webhook/webhook.ts'],
  'src/providers/planted.ts': ['../http/app.ts', '../storage/vault.ts', '../config/config.ts', '../logger.ts'],
  'src/providers/instagram/planted.ts': ['../tiktok/tiktok.ts', '../../http/app.ts', '../../storage/vault.ts', '../../config/config.ts'],
  'src/providers/graph/planted.ts': ['../instagram/instagram.ts', '../../http/app.ts', '../../storage/vault.ts'],
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
  'src/planted.ts': ['./storage/vault.ts', './cache/memcached.ts', './providers/http.ts', './webhook/webhook.ts', './mail/mail.ts'],
}
const ALLOWED: Record<string, string[]> = {
  'src/core/planted.ts': ['./account.ts', 'node:crypto', 'node:timers/promises'],
  'src/reading/planted.ts': ['./allow-list.ts', '../core/account.ts', 'node:crypto'],
  'src/refreshing/planted.ts': ['../core/account.ts', '../reading/allow-list.ts', '../alerts/alert.ts'],
  'src/feeds/planted.ts': ['../core/account.ts', '../reading/allow-list.ts', '../refreshing/rate-limit.ts', 'node:zlib'],
  'src/status/planted.ts': ['../accounts/view.ts', '../sign-in/sign-in.ts', 'prom-client'],
  'src/storage/planted.ts': ['./vault.ts', '../core/account.ts', '../accounts/overview.ts', 'pg', 'node:fs'],
  'src/providers/instagram/planted.ts': ['./setup.ts', '../graph/answer.ts', '../http.ts', '../../core/provider.ts'],
  'src/config/planted.ts': ['../core/secret.ts', '../reading/allow-list.ts', '../providers/registry.ts', 'node:fs'],
  'src/http/planted.ts': ['./admin/owner-scope.ts', '../accounts/view.ts', 'fastify'],
  'src/http/admin/planted.ts': ['../errors.ts', '../pages/pages.ts', '../../accounts/view.ts', 'fastify'],
  'src/cli/planted.ts': ['../config/config.ts', '../agent.ts', '../accounts/manage.ts'],
  'src/agent.ts': ['./storage/vault.ts', './cache/memcached.ts', './providers/http.ts', './webhook/webhook.ts', './mail/mail.ts'],
}

/** One statement a line, each of another module. */
const planted = (table: Record<string, string[]>, line: (from: string, n: number) => string): Record<string, string> =>
  Object.fromEntries(Object.entries(table).map(([path, imports]) => [path, `${imports.map(line).join('\n')}\n`]))
const asImport = (from: string, n: number): string => `import { thing as thing${n} } from '${from}'`
const asExport = (from: string, n: number): string => `export { thing as thing${n} } from '${from}'`

t.test('an import or re-export that points up or sideways is refused in each folder', async (t) => {
  for (const line of [asImport, asExport]) {
    const broken = await lint(t, planted(FORBIDDEN, line))
    for (const [path, imports] of Object.entries(FORBIDDEN)) {
      const restricted = broken[path]?.filter((what) => what.startsWith('noRestrictedImports')).toSorted()
      t.same(
        restricted,
        imports.map((_, n) => `noRestrictedImports:${n + 1}`),
        path,
      )
    }
  }
})

t.test('imports down, and libraries where they belong, are allowed', async (t) => {
  const broken = await lint(t, planted(ALLOWED, asExport))
  for (const [path, rules] of Object.entries(broken)) t.same(rules, [], path)
})

t.test('an import cycle is refused, even one of types only', async (t) => {
  for (const word of ['import', 'import type']) {
    const broken = await lint(t, {
      'src/reading/planted.ts': `${word} { B } from './other.ts'\n\nexport type A = B | 1\n`,
      'src/reading/other.ts': `${word} { A } from './planted.ts'\n\nexport type B = A | 2\n`,
    })
    for (const rules of Object.values(broken)) t.ok(rules.includes('noImportCycles:1'), word)
  }
})

t.test('a default export is refused everywhere', async (t) => {
  t.same(await lint(t, { 'src/planted.ts': 'export default 1\n' }), { 'src/planted.ts': ['noDefaultExport:1'] })
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

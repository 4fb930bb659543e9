import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { PROVIDERS } from '../../src/providers/registry.ts'
import { constantNameProblem } from '../../src/reading/js-constant.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const filesIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path))

t.test('general code names no provider', async (t) => {
  const names = new RegExp(PROVIDERS.map(({ name }) => name).join('|'), 'i')
  const general = [
    ...filesIn('src').filter((path) => path.endsWith('.ts') && !path.startsWith('src/providers/')),
    // The home page shows the code of a feed.
    ...filesIn('views').filter((path) => path.endsWith('.eta') && !path.startsWith('views/home')),
  ]
  t.ok(general.length > 50)
  const found = general.flatMap((path) =>
    readFileSync(join(ROOT, path), 'utf8')
      .split('\n')
      .filter((line) => names.test(line.replace('developers.facebook.com', '')))
      .map((line) => `${path}: ${line}`),
  )
  t.same(found, ["src/accounts/import-ruby.ts: const PROVIDER = 'instagram'", "src/core/vault.ts: const FIRST_PROVIDER = 'instagram'"])
})

t.test('browsers do not define the constant of any provider', async (t) => {
  for (const { constantName } of PROVIDERS) t.equal(constantNameProblem(constantName), null, constantName)
})

t.test('README and app.json know each provider of the registry', async (t) => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const deployed: string[] = Object.keys(JSON.parse(readFileSync(join(ROOT, 'app.json'), 'utf8')).env)
  for (const { module, config } of readConfig({}).providers) {
    const { name, title, variables } = module
    const provider = (await module.load())(config, { fetch, now: Date.now })
    t.ok(Object.keys(variables).every((variable) => variable.startsWith(`${name.toUpperCase()}_`)))
    t.match(readme, title)
    const { appVariables } = provider.setup
    t.same(
      deployed.filter((variable) => variable in variables),
      appVariables,
      'app.json asks for the app’s credentials',
    )
    t.ok(appVariables.every((variable) => variable in variables))
  }
})

t.test('the registry loads no provider’s code', async (t) => {
  const statics = (path: string): string[] => {
    const text = readFileSync(path, 'utf8')
    const next = [...text.matchAll(/^import (?!type)[^\n]*from '(\.[^']+)'/gm)].map(([, from = '']) => join(path, '..', from))
    return [path, ...next.flatMap(statics)]
  }
  const found = [...new Set(statics(join(ROOT, 'src/providers/registry.ts')))].map((path) => path.slice(ROOT.length))
  t.same(found.filter((path) => path.startsWith('src/providers/')).sort(), [
    'src/providers/facebook/module.ts',
    'src/providers/graph/app.ts',
    'src/providers/graph/mistakes.ts',
    'src/providers/instagram/module.ts',
    'src/providers/registry.ts',
    'src/providers/threads/module.ts',
    'src/providers/tiktok/app.ts',
    'src/providers/tiktok/module.ts',
  ])
})

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROVIDERS } from '../src/providers/registry.ts'
import { filesUnder } from './support/files-under.ts'

const ROOT = join(import.meta.dirname, '..')
const PAGES = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...filesUnder(join(ROOT, 'docs'), '.md').map((path) => path.slice(ROOT.length + 1)),
]
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const { scripts, devDependencies, repository } = JSON.parse(read('package.json'))

t.test('each path, link and script that the documents name exists', async (t) => {
  for (const page of PAGES) {
    const text = read(page)
    const paths = [...text.matchAll(/(?<![\w./:-])((?:src|test|views|migrations|docs|bench|deploy|bin|\.ci)\/[\w./-]*)/g)].map(
      ([path]) => path,
    )
    for (const path of new Set(paths)) t.ok(existsSync(join(ROOT, path.replace(/\.$/, ''))), `${page}: ${path}`)
    for (const [, link = ''] of text.matchAll(/\]\(((?!https?:|#)[^)#]+)/g))
      t.ok(existsSync(join(ROOT, page, '..', link)), `${page} links to ${link}`)
    for (const [, script = ''] of text.matchAll(/npm run ([\w:]+)/g)) t.ok(script in scripts, `${page}: npm run ${script}`)
  }
})

t.test('each link to a heading has its target', async (t) => {
  const anchorsOf = (page: string): string[] =>
    [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    )
  for (const page of PAGES)
    for (const [, file, anchor = ''] of read(page).matchAll(/\]\(((?!https?:)[^)#]*)#([^)]+)\)/g))
      t.ok(anchorsOf(file ? join(page, '..', file) : page).includes(anchor), `${page}: ${file}#${anchor}`)
})

t.test('ARCHITECTURE.md names every folder of src, in 120 lines at most', async (t) => {
  const text = read('ARCHITECTURE.md')
  t.ok(text.split('\n').length <= 121)
  const folders = new Set(filesUnder(join(ROOT, 'src'), '.ts').map((path) => path.slice(ROOT.length + 1).split('/')[1]))
  for (const name of folders) t.match(text, name?.endsWith('.ts') ? `src/${name}` : `\`src/${name}/\``)
})

t.test('every address of the repository is the one in package.json', async (t) => {
  const own = repository.replace('github:', 'https://github.com/')
  const { website, repository: deployed } = JSON.parse(read('app.json'))
  t.strictSame([website, deployed], [own, own])
  const named = PAGES.flatMap((page) =>
    [...read(page).matchAll(/https:\/\/github\.com\/[\w-]+\/token-agent\b/g)].map(([address]) => ({ page, address })),
  )
  t.ok(named.length >= 2)
  for (const { page, address } of named) t.equal(address, own, page)
})

t.test('each provider has its row in the pages that list them', async (t) => {
  for (const { title } of PROVIDERS)
    for (const page of ['docs/tokens-in-pages.md', 'docs/reliability.md']) t.match(read(page), `\n| ${title}`, `${page}: ${title}`)
})

t.test('CONTRIBUTING.md has the version of each package that is held back', async (t) => {
  const held = [...read('CONTRIBUTING.md').matchAll(/^\| ([@a-z][\w/@, -]*) \| ([\d.]+) \|/gm)]
  t.ok(held.length >= 3)
  for (const [, names = '', version = ''] of held)
    for (const name of names.split(', ')) t.ok(`${devDependencies[name]}.`.startsWith(`${version}.`), `${name} ${version}`)
})

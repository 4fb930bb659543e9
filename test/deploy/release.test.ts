import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { tempFolder } from '../support/temp-folder.ts'
import { ROOT, readRoot } from './rehearsal.ts'

interface Job {
  needs?: string
  if?: string
  permissions?: Record<string, string>
  steps: { uses?: string; name?: string; run?: string; env?: Record<string, string> }[]
}
const { on, permissions, jobs }: { on: object; permissions: object; jobs: Record<string, Job> } = parse(
  readRoot('.github/workflows/release.yml'),
)
const runsOf = (name: string): string => jobs[name]?.steps.map(({ run = '' }) => run).join('\n') ?? ''

t.test('a tag is checked first, and published only where a name is set', async (t) => {
  t.strictSame(on, { push: { tags: ['v*'] } })
  t.strictSame(permissions, { contents: 'read' })
  t.strictSame(Object.keys(jobs), ['check', 'image', 'package'])
  t.match(runsOf('check'), '.ci/run')
  for (const [name, variable] of [
    ['image', 'IMAGE_NAME'],
    ['package', 'NPM_NAME'],
  ] as const)
    t.match(jobs[name], { needs: 'check', if: `vars.${variable} != ''` }, name)
  t.match(runsOf('image'), /buildx build --platform linux\/amd64,linux\/arm64 .*--push/)
  t.match(runsOf('package'), /npm pkg delete private\nnpm publish --access public --provenance/)
  t.match(JSON.parse(readRoot('package.json')), { private: true }, 'no name is owned')
  for (const { run = '' } of Object.values(jobs).flatMap(({ steps }) => steps)) t.notMatch(run, /\$\{\{/, 'nothing is pasted into a script')
})

t.test('the workflows name each action by commit, with its version', async (t) => {
  for (const name of readdirSync(join(ROOT, '.github/workflows')))
    for (const [, action] of readRoot(`.github/workflows/${name}`).matchAll(/^ *- uses: (.*)$/gm))
      t.match(action, /^actions\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, name)
})

t.test('a release refuses without hashes, and without its own section of the changelog', async (t) => {
  const steps = jobs['check']?.steps ?? []
  const folder = tempFolder(t)
  const passes = (name: RegExp, files: Record<string, string>, tag = ''): boolean => {
    execFileSync('mkdir', ['-p', join(folder, '.github/workflows')])
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
    const script = steps.find((step) => name.test(step.name ?? ''))?.run ?? 'exit 3'
    try {
      // As the runner does it.
      execFileSync('bash', ['-e', '-o', 'pipefail', '-c', script], {
        cwd: folder,
        env: { ...process.env, GITHUB_REF_NAME: tag },
        stdio: 'pipe',
      })
      return true
    } catch {
      return false
    }
  }
  const [hash, digest] = ['a'.repeat(40), 'b'.repeat(64)]
  const workflow = '.github/workflows/release.yml'
  const pinned = { [workflow]: `- uses: actions/checkout@${hash} # v5\n`, Dockerfile: `ARG BASE=node:26@sha256:${digest}\n` }
  t.ok(passes(/pinned/, pinned))
  t.notOk(passes(/pinned/, { ...pinned, [workflow]: `- uses: actions/checkout@${hash}\n- uses: actions/setup-node@v5\n` }))
  t.notOk(passes(/pinned/, { ...pinned, Dockerfile: 'ARG BASE=node:26\n' }))
  const dated = { 'package.json': '{"version":"1.1.0"}', 'CHANGELOG.md': '## 1.1.0 (2026-12-01)\n' }
  t.ok(passes(/tag/, dated, 'v1.1.0'))
  t.notOk(passes(/tag/, dated, 'v1.2.0'))
  t.notOk(passes(/tag/, { ...dated, 'CHANGELOG.md': '## 1.1.0 (unreleased)\n' }, 'v1.1.0'))
})

t.test('the version is that of the newest section of CHANGELOG.md, everywhere', async (t) => {
  const newest = /^## (\S+) /m.exec(readRoot('CHANGELOG.md'))?.[1]
  const { version, packages } = JSON.parse(readRoot('package-lock.json'))
  t.strictSame([JSON.parse(readRoot('package.json')).version, version, packages[''].version], [newest, newest, newest])
})

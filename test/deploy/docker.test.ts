import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { startInstagram } from '../support/instagram.ts'
import { accountFor } from '../support/run-as.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { readStages, words } from './dockerfile.ts'
import { cleanClone, NPM, platform, ROOT, readRoot, readToken, shell, startDyno } from './rehearsal.ts'

t.setTimeout(600_000)
const MODULES = `'${join(ROOT, 'node_modules')}'`
/** By hard links, where the two lie on one disk; without what these tests keep there. */
const LINK = `{ cp -al ${MODULES} . 2>/dev/null || cp -a ${MODULES} .; } && rm -rf node_modules/.compiled node_modules/.tap-built`
const stages = readStages(readRoot('Dockerfile'))
const [build, agent] = [stages.get('build') ?? [], stages.get('agent') ?? []]

t.test('the image is built in two stages, has a health check, and does not run as root', async (t) => {
  t.same([...stages.keys()], ['build', 'agent', 'volume-of-root', ''])
  t.match(readRoot('Dockerfile').trim(), /\nFROM agent$/, 'the default target')
  t.match(readRoot('Dockerfile'), /^ARG BASE=node:26-bookworm-slim\nFROM \$\{BASE\} AS build$/m)
  t.equal(agent.findLast(({ verb }) => verb === 'USER')?.rest, 'node')
  t.notOk(
    [...stages.values()].flat().some(({ verb }) => verb === 'VOLUME'),
    'Railway builds no image with one',
  )
  const health = agent.find(({ verb }) => verb === 'HEALTHCHECK')?.rest ?? ''
  t.match(health, /^--interval=\d+s --timeout=\d+s --start-period=\d+s CMD \[/)
  const ignored = readRoot('.dockerignore').trim().split('\n')
  const copied = [...build, ...agent]
    .filter(({ verb, rest }) => verb === 'COPY' && !rest.startsWith('--from'))
    .flatMap(({ rest }) => words(rest).slice(0, -1))
  for (const name of copied) {
    t.ok(existsSync(join(ROOT, name)), `${name} is there`)
    t.notOk(ignored.includes(basename(name)), `${name} is part of the build context`)
  }
})

t.test('the steps of the Dockerfile give an agent that writes only its data', async (t) => {
  const context = await cleanClone(t)
  const source = tempFolder(t, 'build')
  const image = tempFolder(t, 'image')
  const user = accountFor('nobody')
  const env: Record<string, string> = {}

  async function follow(steps: typeof build, app: string): Promise<void> {
    for (const { verb, rest } of steps) {
      if (verb === 'COPY') {
        const [from, names, to] = copyOf(rest)
        for (const name of names)
          cpSync(join(from === 'build' ? source : context, name), join(app, names.length > 1 || to === './' ? basename(name) : to), {
            recursive: true,
          })
      } else if (verb === 'RUN') {
        // Here there is no user “node”. heroku.test.ts runs npm ci; here its result is what this tree has from the same lock file.
        const line = rest
          .replace('chown node:node', `chown ${user.uid}:${user.gid}`)
          .replace('npm ci', `${LINK} && npm install ${NPM}`)
          .replace('npm prune', `npm prune ${NPM}`)
        await shell(line, app, platform(t, env))
      } else if (verb === 'ENV') {
        const [name = '', value = ''] = rest.split('=')
        env[name] = value
      }
    }
  }
  await follow(build, source)
  await follow(agent, image)
  t.notOk(existsSync(join(image, 'node_modules/typescript')))
  t.notOk(existsSync(join(image, 'src')), 'no sources, no tests')
  const kilobytes = Number(execFileSync('du', ['-sk', image], { encoding: 'utf8' }).split('\t')[0])
  t.ok(kilobytes < 80_000, `${kilobytes} KB on top of Node's own image`)
  chmodSync(image, 0o755)
  if (process.getuid?.() !== 0)
    execFileSync('chmod', ['-R', 'a-w', '--', ...['node_modules', 'dist', 'bin', 'views', 'migrations'].map((name) => join(image, name))])

  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const starting = instagram.issue()
  const variables = {
    ...platform(t, env).env,
    STARTING_TOKEN: starting,
    ALLOWED_DOMAINS: 'shop.example',
    INSTAGRAM_GRAPH_URL: instagram.url,
  }
  const home = tempFolder(t, 'home')
  chownSync(home, user.uid, user.gid)
  const [command = ''] = agent.filter(({ verb }) => verb === 'CMD').map(({ rest }) => quoted(rest))
  const options = { cwd: image, env: { ...variables, HOME: home }, ...user }
  const one = await startDyno(t, command, options)
  const token = await readToken(one)
  t.equal(token, instagram.issued.get(starting)?.replacedBy)
  for (const file of ['token-agent.sqlite', 'encryption.key']) t.ok(existsSync(join(image, 'data', file)), file)

  const check = quoted(agent.find(({ verb }) => verb === 'HEALTHCHECK')?.rest.replace(/^.*?CMD /, '') ?? '')
  const health = () => shell(check, image, { env: { ...variables, PORT: new URL(one.url).port } })
  await health()
  t.match(await one.stop(), { code: 0 })
  await t.rejects(health(), 'a stopped agent is not healthy')

  const again = await startDyno(t, command, options)
  t.equal(await readToken(again), token, 'the volume keeps the token')
  await again.stop()
})

function copyOf(rest: string): [from: string | null, names: string[], to: string] {
  const [first = '', ...others] = words(rest)
  const from = /^--from=(.*)$/.exec(first)?.[1] ?? null
  const all = (from === null ? [first, ...others] : others).map((name) => name.replace(/^\/app\//, ''))
  return [from, all.slice(0, -1), all.at(-1) ?? '']
}

/** The exec form as a shell line. */
function quoted(list: string): string {
  return (JSON.parse(list) as string[]).map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
}

// npm run test:image: builds the Dockerfile with buildah and runs the image as its user. Needs root and Debian's buildah and
// debootstrap, and no Docker. The base image comes from Debian's archive and has the Node and the npm that run this.
import { execFileSync } from 'node:child_process'
import { chownSync, cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './support/free-port.ts'
import { startInstagram } from './support/instagram.ts'
import { launch } from './support/process.ts'
import { waitFor } from './support/wait-for.ts'

const ROOT = join(import.meta.dirname, '..')
const TOOLS = ['buildah', 'debootstrap']
const ARCHIVE = 'http://deb.debian.org/debian'
const MOST_MB = 80

const missing = TOOLS.filter((tool) => {
  try {
    return execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: ['ignore', 'pipe', 'ignore'] }).length === 0
  } catch {
    return true
  }
})
if (missing.length > 0 || process.getuid?.() !== 0) {
  console.error(`Skipped: the image is built as root with ${TOOLS.join(' and ')}. Run: sudo apt-get install ${TOOLS.join(' ')}`)
  process.exit(0)
}

const folder = mkdtempSync(join(tmpdir(), 'image-'))
// Their own folder, so that nothing of this machine's images is touched.
const storage = ['--storage-driver', 'vfs', '--root', join(folder, 'storage'), '--runroot', join(folder, 'run')]
const env = { ...process.env, BUILDAH_ISOLATION: 'chroot' }
const buildah = (...args: string[]): string =>
  execFileSync('buildah', [...storage, ...args], { cwd: ROOT, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim()

function makeBase(name: string): void {
  const root = join(folder, 'base')
  execFileSync('debootstrap', ['--variant=minbase', '--include=ca-certificates,libatomic1,libstdc++6', 'bookworm', root, ARCHIVE], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [bin, modules] = [join(root, 'usr/local/bin'), join(root, 'usr/local/lib/node_modules')]
  mkdirSync(modules, { recursive: true })
  cpSync(realpathSync(process.execPath), join(bin, 'node'))
  const npm = realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim())
  cpSync(join(npm, '../..'), join(modules, 'npm'), { recursive: true })
  for (const tool of ['npm', 'npx']) symlinkSync(`../lib/node_modules/npm/bin/${tool}-cli.js`, join(bin, tool))
  // How npm reaches its registry from this machine. It stands in the base alone.
  const settings = [`registry=${execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()}`]
  if (process.env['NODE_EXTRA_CA_CERTS'] !== undefined) {
    cpSync(process.env['NODE_EXTRA_CA_CERTS'], join(root, 'usr/local/etc/ca.pem'), { dereference: true })
    settings.push('cafile=/usr/local/etc/ca.pem')
  }
  writeFileSync(join(root, 'usr/local/etc/npmrc'), settings.join('\n'))
  execFileSync('chroot', [root, 'useradd', '--uid', '1000', '--create-home', '--user-group', 'node'])
  const container = buildah('from', 'scratch')
  buildah('add', '--quiet', container, root, '/')
  buildah('commit', '--quiet', container, name)
  buildah('rm', container)
}

const megabytes = (path: string): number => Number(execFileSync('du', ['-sm', path], { encoding: 'utf8' }).split('\t')[0])
const check = (what: string, isTrue: boolean): void => {
  if (!isTrue) throw new Error(`The image is wrong: ${what}.`)
  console.log(`ok: ${what}`)
}

const instagram = await startInstagram()
try {
  makeBase('localhost/node:base')
  const startedAtMs = performance.now()
  buildah('build', '--quiet', '--format', 'docker', '--build-arg', 'BASE=localhost/node:base', '--tag', 'token-agent', '.')
  console.log(`built in ${Math.round((performance.now() - startedAtMs) / 1000)} s`)
  const container = buildah('from', '--pull-never', 'token-agent')
  const root = buildah('mount', container)
  const added = megabytes(root) - megabytes(join(folder, 'base'))
  check(`${added} MB above its base, ${MOST_MB} at most`, added <= MOST_MB)
  const port = String(await freePort())
  const starting = instagram.issue()
  const variables = { PORT: port, STARTING_TOKEN: starting, ALLOWED_DOMAINS: 'shop.example', INSTAGRAM_GRAPH_URL: instagram.url }
  const given = Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`])
  const volume = join(folder, 'data')
  mkdirSync(volume)
  chownSync(volume, 1000, 1000)
  const inside = (...line: string[]): string[] => [...storage, 'run', ...given, '--volume', `${volume}:/app/data`, container, '--', ...line]
  const { config } = JSON.parse(buildah('inspect', 'token-agent')).Docker
  const agent = await launch('buildah', inside(...config.Cmd), { cwd: ROOT, env: env as Record<string, string> })
  try {
    const read = () => fetch(`http://127.0.0.1:${port}/token.json`, { headers: { origin: 'https://shop.example' } })
    const answer = await waitFor('the token', async () => ((await read()).status === 200 ? read() : null))
    const { token } = (await answer.json()) as { token: string }
    check('a page of the allowed site gets the refreshed token', token === instagram.issued.get(starting)?.replacedBy)
    execFileSync('buildah', inside(...config.Healthcheck.Test.slice(1)), { env, stdio: 'inherit' })
    console.log('ok: it is healthy')
    check('it runs as uid 1000', statSync(join(volume, 'token-agent.sqlite')).uid === 1000)
    const status = execFileSync('buildah', inside('node', 'bin/token-agent.js', 'status'), { env, encoding: 'utf8' })
    check('a command runs beside it', status.startsWith('working'))
  } catch (error) {
    console.error(agent.stdout() + agent.stderr())
    throw error
  } finally {
    await agent.end('SIGTERM', 40_000)
  }
} finally {
  await instagram.close()
  buildah('rm', '--all')
  rmSync(folder, { recursive: true, force: true })
}

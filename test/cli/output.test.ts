import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { ENCRYPTION_KEY, keepAccounts } from '../support/accounts.ts'
import { runCli } from '../support/agent.ts'
import { freePort } from '../support/free-port.ts'
import { launch } from '../support/process.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

const CLI = join(import.meta.dirname, '../../src/cli/main.ts')

t.test('a closed pipe ends each command quietly with code 0', async (t) => {
  const cwd = tempFolder(t, 'pipe')
  await keepAccounts(
    cwd,
    [...Array(1100).keys()].map((at) => ({ name: `shop-${at}` })),
  )
  const env = { HOME: cwd, ENCRYPTION_KEY, NODE: process.execPath, CLI }
  const lines = [
    '--help',
    '--version',
    'status',
    'status --json',
    'accounts list',
    'accounts list --json',
    'migrate',
    'accounts pause shop-1',
  ]
  for (const reader of ['true', 'head -n 1']) {
    const script = lines.map((args) => `"$NODE" "$CLI" ${args} | ${reader} >/dev/null; echo "\${PIPESTATUS[0]}"`).join('\n')
    const shell = await launch('bash', ['--norc', '-c', script], { cwd, env })
    await shell.exited
    t.equal(shell.stderr(), '', reader)
    t.same(
      shell.stdout().trim().split('\n'),
      lines.map(() => '0'),
      reader,
    )
  }
  const all = await runCli(t, ['status', '--json'], { cwd, env })
  t.equal(JSON.parse(all.stdout).length, 1100, 'the whole output is one valid array')
  t.match((await runCli(t, ['accounts', 'list', '--json'], { cwd, env })).stdout, /^\[\n {2}\{\n {4}"name": "shop-0",/)
})

t.test('a full disk under the output is a failure with a sentence', async (t) => {
  const shell = await launch('bash', ['--norc', '-c', '"$NODE" "$CLI" --help >/dev/full'], { env: { NODE: process.execPath, CLI } })
  t.equal((await shell.exited).code, 1)
  t.match(shell.stderr(), /^The output could not be written: ENOSPC[^\n]*\n$/)
})

t.test('an agent whose log closes says so once, keeps serving, and stops cleanly', async (t) => {
  for (const kind of ['pipe', 'disk'] as const) {
    const cwd = tempFolder(t, 'log')
    const port = await freePort()
    const redirect = kind === 'disk' ? ' >/dev/full' : ''
    const agent = spawn('bash', ['--norc', '-c', `exec env -i PATH="$PATH" HOST=127.0.0.1 PORT=${port} "$NODE" "$CLI" serve${redirect}`], {
      cwd,
      env: { PATH: process.env['PATH'], NODE: process.execPath, CLI },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    t.teardown(() => agent.kill('SIGKILL'))
    let stderr = ''
    agent.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    if (kind === 'pipe') agent.stdout.destroy()
    const ended = once(agent, 'exit')
    await waitFor('the agent to serve', async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok)
    t.match(await fetch(`http://127.0.0.1:${port}/healthz`), { status: 200 })
    agent.kill('SIGINT')
    t.same(await ended, [0, null])
    t.match(stderr, /^The log on standard output cannot be written \([^\n]*\); the agent goes on without it\.\n$/)
  }
})

t.test('where no agent is installed, the line of the documents runs nothing that stands on a registry under its name', async (t) => {
  const asked: string[] = []
  const registry = createServer((request, response) => {
    asked.push(request.url ?? '')
    const dist = { tarball: `${url}/token-agent.tgz`, shasum: 'a'.repeat(40) }
    const version = { name: 'token-agent', version: '9.9.9', bin: { 'token-agent': 'run.js' }, dist }
    response.end(JSON.stringify({ name: 'token-agent', 'dist-tags': { latest: '9.9.9' }, versions: { '9.9.9': version } }))
  })
  t.teardown(() => registry.close())
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`
  const cwd = tempFolder(t, 'empty')
  const env = { HOME: cwd, npm_config_registry: url, npm_config_update_notifier: 'false', npm_config_cache: join(cwd, '.npm') }
  const npx = await launch('bash', ['--norc', '-c', 'npx --no -- token-agent token tiktok --header | cat'], { cwd, env })
  await npx.exited
  t.match(npx.stderr(), /npx canceled/)
  t.equal(npx.stdout(), '')
  // npm looks the name up, and fetches nothing of it.
  t.same([...new Set(asked)], ['/token-agent'])
})

t.test('no page or document shows a command that does not exist or that a registry would resolve', async (t) => {
  const { stdout } = await launch('bash', ['--norc', '-c', 'git ls-files src views docs README.md CHANGELOG.md deploy bin'], {
    cwd: join(import.meta.dirname, '../..'),
  }).then(async (git) => {
    await git.exited
    return { stdout: git.stdout() }
  })
  const words = 'serve|migrate|seed|refresh|token|auth|keychain|alert-test|import|status|rotate-keys|accounts|help|--help|<command>'
  const bare = new RegExp(`(?<!npx --no -- )\\btoken-agent (?:${words})`)
  for (const file of stdout.split('\n').filter((name) => /\.(?:ts|js|eta|md|css|jsx|html|astro|txt|service|env)$/.test(name))) {
    const lines = readFileSync(join(import.meta.dirname, '../..', file), 'utf8').split('\n')
    for (const [at, line] of lines.entries()) {
      if (bare.test(line) || /npx (?!--no -- )(?:-\S+ )*token-agent/.test(line)) t.fail(`${file}:${at + 1}: ${line.trim()}`)
    }
  }
})

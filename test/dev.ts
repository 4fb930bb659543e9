// npm run dev: the agent in watch mode, the stand-in for Instagram and a shop that shows its feeds. Needs no service.
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { shopOf } from './dev/shop.ts'
import { runCli } from './support/agent.ts'
import { freePort } from './support/free-port.ts'
import { startInstagram } from './support/instagram.ts'
import { kill } from './support/process.ts'
import { listProcess } from './support/process-root.ts'
import { tempFolder } from './support/temp-folder.ts'

const ROOT = join(import.meta.dirname, '..')
const ACCOUNTS = ['default', 'second-shop']
const PASSWORD = 'a password for trying out'

const endings: (() => unknown)[] = []
const t = { teardown: (end: () => unknown) => void endings.unshift(end) }
const port = Number(process.env['PORT'] ?? 0) || (await portOr(3000))
const shopPort = await portOr(port + 1)
const agentUrl = `http://localhost:${port}`
const shopUrl = `http://localhost:${shopPort}`

const instagram = await startInstagram({ knobs: { postPictures: 'own' } })
t.teardown(() => instagram.close())
const [app] = instagram.apps
if (app === undefined) throw new Error('The stand-in has no app.')
app.redirectUris.push(`${agentUrl}/connect/instagram/callback`)

// A new store at each start: the stand-in accepts only tokens that it has issued itself.
const folder = tempFolder(t, 'dev')
const env = {
  LOG_LEVEL: 'warn',
  ...process.env,
  PORT: String(port),
  HOST: '127.0.0.1',
  APP_URL: agentUrl,
  DATABASE_URL: `sqlite:${join(folder, 'token-agent.sqlite')}`,
  ALLOWED_DOMAINS: new URL(shopUrl).host,
  ADMIN_PASSWORD: PASSWORD,
  INSTAGRAM_APP_ID: app.clientId,
  INSTAGRAM_APP_SECRET: app.clientSecret,
  INSTAGRAM_GRAPH_URL: instagram.url,
  INSTAGRAM_API_URL: instagram.url,
  INSTAGRAM_WEB_URL: instagram.url,
}
for (const account of ACCOUNTS) {
  const { code, stderr } = await runCli(t, ['seed', account], { env, stdin: instagram.issue({ username: account.replace('-', '_') }) })
  if (code !== 0) throw new Error(`The account “${account}” was not made:\n${stderr}`)
}

const shop = createServer(shopOf({ accounts: ACCOUNTS, agentUrl, viewsFolder: join(ROOT, 'views') }))
shop.listen(shopPort, '127.0.0.1')
t.teardown(() => {
  shop.closeAllConnections()
  shop.close()
})

const watch = ['--watch-path=src', '--watch-path=views', '--watch-kill-signal=SIGINT', '--watch-preserve-output']
// In its own process group, so that Ctrl-C reaches it once, through this process. Piped, because on a terminal the agent
// prints its own address.
const agent = spawn(process.execPath, [...watch, 'src/cli/main.ts', 'serve'], {
  cwd: ROOT,
  env,
  detached: true,
  stdio: ['ignore', 'pipe', 'pipe'],
})
const group = agent.pid as number
const unlist = listProcess(group, 'KILL')
agent.stdout.pipe(process.stdout)
agent.stderr.pipe(process.stderr)
agent.on('exit', (code) => end(code ?? 0))
t.teardown(() => kill(-group, 'SIGKILL'))

console.log(`  Agent      ${agentUrl}/status    sign in with “${PASSWORD}”; it starts again when src/ or views/ change
  Shop       ${shopUrl}/    another origin: the feeds of ${ACCOUNTS.join(' and ')}
  Instagram  ${instagram.url}    the stand-in, with tokens of its own; “Connect Instagram” at ${agentUrl}/admin works
  Store      ${folder}    removed at the end
  Ctrl-C ends all of it. LOG_LEVEL=info npm run dev shows each request.`)

let isEnding = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(0))

async function end(code: number): Promise<void> {
  if (isEnding) return
  isEnding = true
  unlist()
  for (const ending of endings) await Promise.resolve(ending()).catch(() => {})
  process.exit(code)
}

/** This port if it is free, so that the addresses stay the same from day to day; else another one. */
async function portOr(wanted: number): Promise<number> {
  const probe = createServer()
  const isFree = await new Promise<boolean>((resolve) => {
    probe.once('error', () => resolve(false))
    probe.listen(wanted, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
  return isFree ? wanted : freePort()
}

import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Agent, startAgent } from '../support/agent.ts'
import { type Flood, peakMegabytes, startFlood } from '../support/flood.ts'
import { freePort } from '../support/free-port.ts'
import { startInstagram } from '../support/instagram.ts'
import { SITE, servingSettings } from '../support/owner.ts'
import { launch } from '../support/process.ts'
import { askPort, sendRaw } from '../support/raw-http.ts'
import { isFastOnce, startStopwatch } from '../support/stopwatch.ts'
import { waitFor } from '../support/wait-for.ts'

const MAX_READ_MS = 1_000
/** Behind thousands of new connections a slow machine gets as long as a bare server takes there three times, and never over two seconds. */
const MAX_TIMES_BARE = 3
const MAX_SLOW_READ_MS = 2_000
const MAX_MEGABYTES = 260
const FLOOD_MS = 800
const HTML = 'accept: text/html\r\n'

interface Server {
  readonly port: number
  readonly pid: number
}
type Named = Omit<Flood, 'port'> & { what: string }

const FEW_SOCKETS: readonly Named[] = [
  ...['/setup', '/', '/status', '/readyz', '/admin/sign-in', '/openapi.json', '/admin'].map((path) => ({
    what: `5,000 times ${path} on one socket`,
    path,
    requests: 5_000,
    headers: HTML,
  })),
  { what: 'pages that do not exist', path: '/nothing-#', requests: 5_000, headers: HTML },
  { what: 'the code of accounts that do not exist', path: '/?account=shop-#', requests: 5_000, headers: HTML },
  { what: 'tokens of accounts that do not exist', path: '/accounts/shop-#/token.json', requests: 5_000 },
  { what: 'two sockets', path: '/setup', sockets: 2, requests: 5_000, headers: 'accept-encoding: gzip\r\n' },
]
const CROWDS: readonly Named[] = [
  { what: 'twenty sockets of short requests', path: '/', sockets: 20, requests: 5_000 },
  { what: '3,000 sockets at once', path: '/setup', sockets: 3_000, requests: 1 },
  { what: '3,000 sockets that ask for the code of accounts', path: '/?account=shop-#', sockets: 3_000, requests: 1 },
  { what: '3,000 sockets with a few requests each', path: '/status', sockets: 3_000, requests: 5 },
]

for (const floods of [FEW_SOCKETS, ...CROWDS.map((crowd) => [crowd])]) {
  const from = floods.length > 1 ? 'few sockets' : floods[0]?.what
  t.test(`a flood of ${from} stops no read, costs no memory, and leaves the agent ready`, (t) => withstand(t, floods))
}

/** An agent process with a token and little memory. */
async function startServing(t: Test): Promise<Agent> {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const env = { ...servingSettings(instagram, instagram.issue()), NODE_OPTIONS: '--max-old-space-size=400' }
  return startAgent(t, { ready: '/readyz', env })
}

async function withstand(t: Test, floods: readonly Named[]): Promise<void> {
  const agent = await startServing(t)
  // Only new connections take a slow machine longer whatever the agent does.
  const isCrowd = floods.some(({ sockets = 1 }) => sockets >= 1_000)
  const bare = isCrowd ? await startBareServer(t) : null
  const timed = async (server: Server, path: string): Promise<{ ms: number; body: string }> => {
    const ms = startStopwatch(server.pid)
    const { status, body } = await askPort(server.port, path, { headers: { origin: SITE } })
    if (status !== 200) t.fail(`${path}: ${status}`)
    return { ms: Math.round(ms()), body }
  }
  const flood = async (server: Server, shape: Omit<Flood, 'port'>) => {
    const flooding = startFlood(t, { port: server.port, ...shape })
    const tookMs: number[] = []
    for (const untilMs = performance.now() + FLOOD_MS; performance.now() < untilMs; await sleep(10)) {
      tookMs.push((await timed(server, '/token.json')).ms)
    }
    const ready = await timed(server, '/readyz')
    await (await flooding).end()
    return { reads: tookMs.length, slowest: Math.max(...tookMs), ready }
  }
  for (const { what, ...shape } of floods) {
    const isFast = await isFastOnce(async () => {
      const slowMs = bare === null ? 0 : MAX_TIMES_BARE * (await flood(bare, shape)).slowest
      const maxMs = Math.max(MAX_READ_MS, Math.min(slowMs, MAX_SLOW_READ_MS))
      const { reads, slowest, ready } = await flood(agent, shape)
      t.equal(JSON.parse(ready.body).ready, true, `${what}: ready`)
      t.comment(`${what}: slowest of ${reads} reads ${slowest} ms of ${maxMs}, /readyz ${ready.ms} ms`)
      return Math.max(slowest, ready.ms) < maxMs
    })
    t.ok(isFast, `${what}: no read and no /readyz is slow`)
    const peak = peakMegabytes(agent.pid)
    t.comment(`${what}: peak ${peak} MB`)
    t.ok(peak < MAX_MEGABYTES, `${what}: ${peak} MB`)
  }
}

/** A bare node:http server, which answers each request with a few bytes. */
async function startBareServer(t: Test): Promise<Server> {
  const port = await freePort()
  const code = `require('http').createServer((_, r) => r.end('{}')).listen({ port: ${port}, host: '127.0.0.1', backlog: 4096 })`
  const bare = await launch(process.execPath, ['-e', code])
  t.teardown(() => bare.end('SIGKILL'))
  await waitFor('the bare server', () => askPort(port, '/').catch(() => false))
  return { port, pid: bare.pid }
}

t.test('pipelined requests are all answered in order', async (t) => {
  const agent = await startServing(t)
  const paths = Array.from({ length: 500 }, (_, at) => (at % 2 === 0 ? '/token.json' : `/nothing-${at}`))
  const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\nOrigin: ${SITE}\r\n\r\n`)
  const { raw } = await sendRaw(agent.port, requests.join(''), 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const statuses = [...raw.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1])
  t.strictSame(statuses, [...paths.map((path) => (path === '/token.json' ? '200' : '404')), '200'])
})

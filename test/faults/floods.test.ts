import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ask, SITE, startServing } from '../http/serving.ts'
import { type Flood, peakMegabytes, startFlood, starvedMs } from '../support/flood.ts'
import { sendRaw } from '../support/raw-http.ts'

const MAX_READ_MS = 1_000
const MAX_MEGABYTES = 260
const FLOOD_MS = 800
const HTML = 'accept: text/html\r\n'

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
  { what: 'twenty sockets of short requests', path: '/', sockets: 20, requests: 5_000 },
]
const CROWDS: readonly Named[] = [
  { what: '3,000 sockets at once', path: '/setup', sockets: 3_000, requests: 1 },
  { what: '3,000 sockets that ask for the code of accounts', path: '/?account=shop-#', sockets: 3_000, requests: 1 },
  { what: '3,000 sockets with a few requests each', path: '/status', sockets: 3_000, requests: 5 },
]

for (const floods of [FEW_SOCKETS, ...CROWDS.map((crowd) => [crowd])]) {
  const from = floods.length > 1 ? 'few sockets' : floods[0]?.what
  t.test(`a flood of ${from} stops no read, costs no memory, and leaves the agent ready`, (t) => withstand(t, floods))
}

async function withstand(t: Test, floods: readonly Named[]): Promise<void> {
  const { agent } = await startServing(t, { NODE_OPTIONS: '--max-old-space-size=400' })
  /** In milliseconds that are the agent's own doing, not the machine's. */
  const timed = async (path: string): Promise<{ ms: number; body: string }> => {
    const starved = (): number => starvedMs(agent.pid) + starvedMs('self')
    const [startedMs, before] = [performance.now(), starved()]
    const { status, body } = await ask(agent, path, { headers: { origin: SITE } })
    if (status !== 200) t.fail(`${path}: ${status}`)
    return { ms: Math.round(performance.now() - startedMs - (starved() - before)), body }
  }
  for (const { what, ...shape } of floods) {
    const flooding = startFlood(t, { port: agent.port, ...shape })
    const tookMs: number[] = []
    for (const untilMs = performance.now() + FLOOD_MS; performance.now() < untilMs; await sleep(10)) {
      tookMs.push((await timed('/token.json')).ms)
    }
    const ready = await timed('/readyz')
    const slowest = Math.max(...tookMs)
    const peak = peakMegabytes(agent.pid)
    t.comment(`${what}: slowest of ${tookMs.length} reads ${slowest} ms, /readyz ${ready.ms} ms, peak ${peak} MB`)
    t.ok(slowest < MAX_READ_MS, `${what}: a read takes ${slowest} ms`)
    t.ok(ready.ms < MAX_READ_MS, `${what}: /readyz takes ${ready.ms} ms`)
    t.equal(JSON.parse(ready.body).ready, true, `${what}: ready`)
    t.ok(peak < MAX_MEGABYTES, `${what}: ${peak} MB`)
    await (await flooding).end()
  }
}

t.test('requests that are sent ahead are all answered, in their order, to a client that reads', async (t) => {
  const { agent } = await startServing(t)
  const paths = Array.from({ length: 500 }, (_, at) => (at % 2 === 0 ? '/token.json' : `/nothing-${at}`))
  const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\nOrigin: ${SITE}\r\n\r\n`)
  const { raw } = await sendRaw(agent.port, requests.join(''), 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const statuses = [...raw.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1])
  t.strictSame(statuses, [...paths.map((path) => (path === '/token.json' ? '200' : '404')), '200'])
})

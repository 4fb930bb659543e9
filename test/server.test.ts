import { mkdirSync, writeFileSync } from 'node:fs'
import { Agent as KeepAlive, request as send } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { type Agent, startAgent } from './support/agent.ts'
import { freePort } from './support/free-port.ts'
import { startInstagram } from './support/instagram.ts'
import { startPostgres } from './support/postgres.ts'
import { launch } from './support/process.ts'
import { missing } from './support/services.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { tempFolder } from './support/temp-folder.ts'
import { waitFor } from './support/wait-for.ts'

const CLI = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const BIN = fileURLToPath(new URL('../bin/token-agent.js', import.meta.url))
const KEY = 'server-key-0123456789abcdef'
const ENCRYPTION_KEY = 'k'.repeat(32)

/** Checks that a start which cannot succeed ends by itself. */
async function failsToStart(t: Test, env: Record<string, string>, cwd = tempFolder(t, 'agent')): Promise<string> {
  const agent = await launch(process.execPath, [CLI, 'serve'], { cwd, env: { HOST: '127.0.0.1', PORT: String(await freePort()), ...env } })
  t.teardown(() => agent.end('SIGKILL'))
  const exit = await Promise.race([agent.exited, sleep(30_000, null, { ref: false })])
  t.match(exit, { code: 1, signal: null }, `ends with exit code 1\n${agent.stdout()}${agent.stderr()}`)
  t.notMatch(agent.stderr(), /\n {4}at /, 'no stack trace')
  t.notMatch(agent.stdout(), /stopp|"error"/, 'an agent that never ran is not stopped')
  t.notMatch(agent.stdout(), /use this password/, 'no password for an agent that does not run')
  t.equal(agent.stderr().trim().split('\n').length, 1, agent.stderr())
  return agent.stderr()
}

const NEWER_STORE = `create table schema_migrations (number integer primary key, name text not null, kind text not null, applied_at timestamptz not null);
  insert into schema_migrations values (999, '999-from-the-future', 'contract', '2030-01-01T00:00:00.000Z')`
const NAMED = { DATABASE_URL: 'sqlite:agent.db' }
type Broken = [what: string, env: Record<string, string>, sentence: RegExp, prepare?: (cwd: string) => void]
const BROKEN: readonly Broken[] = [
  ['a file in the place of the folder', {}, /embedded store cannot write.*DATABASE_URL/, (cwd) => writeFileSync(join(cwd, 'data'), '')],
  ['a store file that is a folder', NAMED, /folder/, (cwd) => mkdirSync(join(cwd, 'agent.db'))],
  // Longer than the header of a database.
  [
    'another file',
    NAMED,
    /not a SQLite database.*DATABASE_URL/,
    (cwd) => writeFileSync(join(cwd, 'agent.db'), 'not a database. '.repeat(99)),
  ],
  ['half a key', NAMED, /key file.*damaged.*backup/, (cwd) => writeFileSync(join(cwd, 'encryption.key'), 'half')],
  [
    'a store of a newer release',
    NAMED,
    /newer release.*999-from-the-future/,
    (cwd) => new DatabaseSync(join(cwd, 'agent.db')).exec(NEWER_STORE),
  ],
  ['no address of this machine', { HOST: '192.0.2.1' }, /^HOST: “192\.0\.2\.1” is no address of this machine; write 0\.0\.0\.0/],
  ['no host name', { HOST: 'nowhere.invalid' }, /^HOST: “nowhere\.invalid” is a name that cannot be found; write 0\.0\.0\.0/],
]

t.test('a start that cannot succeed ends with one sentence that says what to do', async (t) => {
  t.jobs = 2
  for (const [what, env, sentence, prepare] of BROKEN) {
    t.test(what, async (t) => {
      const cwd = tempFolder(t, 'agent')
      prepare?.(cwd)
      t.match(await failsToStart(t, env, cwd), sentence)
    })
  }
  t.test('a port in use', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1')
    t.teardown(() => taken.close())
    await waitFor('the port to be taken', () => taken.listening)
    const { port } = taken.address() as { port: number }
    t.match(await failsToStart(t, { PORT: String(port) }), new RegExp(`^PORT: ${port} is in use.*choose another port`))
  })
})

t.test('with port 0 the system chooses, and the log names the address', async (t) => {
  const agent = await startAgent(t, { env: { PORT: '0' }, ready: null })
  const log = await waitFor('it to serve', () => /"msg":"serving/.test(agent.stdout()) && agent.stdout())
  const address = /"address":"(http:\/\/127\.0\.0\.1:[1-9]\d+)"/.exec(log)?.[1]
  t.equal((await fetch(`${address}/healthz`)).status, 200)
})

t.test('the agent listens while it waits for a database that does not answer', { skip: missing('postgres') }, async (t) => {
  const server = await startPostgres(t)
  const { url } = await server.createDatabase(t)
  await server.stop('immediate')
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const env = {
    DATABASE_URL: url,
    ENCRYPTION_KEY,
    STARTING_TOKEN: instagram.issue(),
    SERVER_KEYS: KEY,
    INSTAGRAM_GRAPH_URL: instagram.url,
  }
  const agent = await startAgent(t, { ready: '/healthz', env })
  const ready = await agent.fetch('/readyz')
  t.equal(ready.status, 503)
  t.match(await ready.json(), { ready: false, parts: { store: { state: 'down' } } })
  const read = () => agent.fetch('/token', { headers: { authorization: `Bearer ${KEY}` } })
  t.equal((await read()).status, 503)
  t.equal((await agent.fetch('/status')).status, 200)
  t.equal((await agent.fetch('/healthz')).status, 200)
  t.equal(instagram.calls.length, 0, 'no refresh starts that could not be saved')

  await server.start()
  await waitFor('the agent to come up by itself', async () => (await read()).ok)
  t.ok((await agent.fetch('/readyz')).ok)
  t.ok(agent.stdout().split('does not answer yet').length <= 4, 'it is said once, not twice a second')
})

interface Setting {
  agent: Agent
  read(): Promise<{ status: number; connection: string | undefined }>
}

async function serving(t: Test): Promise<Setting> {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const env = { STARTING_TOKEN: instagram.issue(), SERVER_KEYS: KEY, INSTAGRAM_GRAPH_URL: instagram.url }
  const agent = await startAgent(t, { ready: '/readyz', env })
  const keepAlive = new KeepAlive({ keepAlive: true, maxSockets: 8 })
  t.teardown(() => keepAlive.destroy())
  const read: Setting['read'] = () =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${KEY}` }
      const request = send({ port: agent.port, host: '127.0.0.1', path: '/token.json', agent: keepAlive, headers }, (response) => {
        response.resume().on('end', () => resolve({ status: response.statusCode ?? 0, connection: response.headers.connection }))
      })
      // Clients resend a request when the server has closed an idle connection.
      request.on('error', (error) => (request.reusedSocket ? read().then(resolve, reject) : reject(error)))
      request.end()
    })
  return { agent, read }
}

t.test('SIGTERM under load loses no read', async (t) => {
  const { agent, read } = await serving(t)
  const failures: string[] = []
  let reads = 0
  let readsWhileDraining = 0
  let stopping = false
  let lookedAway = false
  let gone = false
  // One client behind a load balancer, which follows /readyz, and one that continues to the end.
  const client = async (isStubborn: boolean): Promise<void> => {
    while (!gone && (isStubborn || !lookedAway)) {
      try {
        const { status } = await read()
        reads++
        if (stopping) readsWhileDraining++
        if (status !== 200) failures.push(`status ${status}`)
      } catch (error) {
        // A connection at the moment of the close is reset, a later one refused. A complete answer is never wrong.
        if (isStubborn && /ECONNREFUSED|ECONNRESET/.test(String((error as { code?: string }).code))) gone = true
        else failures.push(String(error))
      }
    }
  }
  const clients = Promise.all(Array.from({ length: 8 }, (_, n) => client(n < 4)))
  await waitFor('some reads', () => reads > 50)
  const startedAt = performance.now()
  stopping = true
  const exit = agent.stop('SIGTERM')
  await waitFor('/readyz to say that it stops', async () => {
    const answer = await fetch(`${agent.url}/readyz`, { headers: { connection: 'close' } })
    return answer.status === 503 && (await answer.text()).includes('stopping')
  })
  await waitFor('reads while it drains', () => readsWhileDraining > 50)
  lookedAway = true
  t.match(await exit, { code: 0, signal: null })
  gone = true
  await clients
  t.same(failures, [])
  t.comment(`${readsWhileDraining} reads while it drained`)
  t.ok(performance.now() - startedAt < 28_000)
})

t.test('while it stops, answers have “Connection: close”', async (t) => {
  const { agent, read } = await serving(t)
  t.not((await read()).connection, 'close')
  const exit = agent.stop('SIGTERM')
  await waitFor('an answer that closes', async () => (await read()).connection === 'close')
  t.match(await exit, { code: 0 })
})

t.test('Ctrl-C is quick', async (t) => {
  const { agent } = await serving(t)
  const startedAt = performance.now()
  t.match(await agent.stop('SIGINT'), { code: 0, signal: null })
  const draining = 4000
  t.ok(performance.now() - startedAt < draining, 'it does not drain')
})

t.test('idle and slow connections do not delay a stop', async (t) => {
  const { agent } = await serving(t)
  const { connect } = await import('node:net')
  for (const bytes of ['', 'GET /token HTTP/1.1\r\nHost: a\r\n']) {
    const socket = connect(agent.port, '127.0.0.1').on('error', () => {})
    t.teardown(() => socket.destroy())
    socket.write(bytes)
  }
  await sleep(200)
  const startedAt = performance.now()
  t.match(await agent.stop('SIGTERM'), { code: 0, signal: null })
  t.ok(performance.now() - startedAt < 28_000)
})

t.test('SIGTERM and SIGINT at any moment of the start end it cleanly', async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  instagram.fail('*', { kind: 'slowAnswer', ms: 300 })
  const moments = [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]
  let at = 0
  const one = async (): Promise<void> => {
    for (let ms = moments[at++]; ms !== undefined; ms = moments[at++]) {
      const signal = at % 3 === 0 ? 'SIGTERM' : 'SIGINT'
      const cwd = tempFolder(t, 'agent')
      const env = { STARTING_TOKEN: instagram.issue(), INSTAGRAM_GRAPH_URL: instagram.url }
      const agent = await startAgent(t, { cwd, ready: null, env })
      await sleep(ms)
      const { code, signal: by } = await agent.stop(signal)
      // Before the program runs, the signal itself ends Node.
      t.ok(
        code === 0 || (by === signal && agent.stdout() === ''),
        `${signal} after ${ms} ms: ${code} ${by}\n${agent.stdout()}${agent.stderr()}`,
      )
      t.equal(agent.stderr(), '')
    }
  }
  await Promise.all([one(), one()])
})

t.test('a stop while the agent waits for a database is immediate', async (t) => {
  const env = { DATABASE_URL: 'postgres://me:pw@127.0.0.1:1/agent', ENCRYPTION_KEY }
  // Before the program has begun, and while it waits.
  for (const isWaiting of [false, true]) {
    const agent = await startAgent(t, { ready: null, env })
    if (isWaiting) await waitFor('it to wait', () => /does not answer yet/.test(agent.stdout()))
    const { code, signal } = await agent.stop('SIGINT')
    t.ok(code === 0 || (!isWaiting && signal === 'SIGINT'), `${code} ${agent.stdout()}${agent.stderr()}`)
  }
})

t.test('a stop during a query to a hanging database is clean', { skip: missing('postgres') }, async (t) => {
  const postgres = await startPostgres(t)
  const proxy = await startTcpProxy(t, { port: postgres.port })
  const agent = await startAgent(t, { ready: '/readyz', env: { DATABASE_URL: proxy.through(postgres.url), ENCRYPTION_KEY } })
  proxy.blackHole()
  const asked = agent.fetch('/readyz').catch(() => {})
  await sleep(200)
  t.match(await agent.stop('SIGINT'), { code: 0, signal: null })
  await asked
  t.notMatch(agent.stdout(), /killed by timeout/)
})

t.test('a stop during the first refresh waits for its answer and saves it', async (t) => {
  const instagram = await startInstagram({ knobs: { oldString: 'invalid', profileShape: 'data' } })
  t.teardown(() => instagram.close())
  instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 2500 })
  const cwd = tempFolder(t, 'agent')
  const env = { STARTING_TOKEN: instagram.issue(), INSTAGRAM_GRAPH_URL: instagram.url, SERVER_KEYS: KEY }
  const agent = await startAgent(t, { cwd, ready: null, env })
  await waitFor('the refresh to be asked for', () => (instagram.counts['/refresh_access_token'] ?? 0) > 0)
  await sleep(200)
  t.match(await agent.stop('SIGINT'), { code: 0 })
  instagram.heal()
  const again = await startAgent(t, { cwd, ready: '/readyz', env })
  const served = await (await again.fetch('/token', { headers: { authorization: `Bearer ${KEY}` } })).text()
  t.match(instagram.issued.get(served), { endedBy: null }, 'it serves the newest token')
})

t.test('on an old Node the start names the required version in one sentence', async (t) => {
  const old = await launch('/usr/bin/node', [BIN, 'serve'], {}).catch(() => null)
  const version = await launch('/usr/bin/node', ['-p', 'process.versions.node.split(".")[0]'], {}).catch(() => null)
  await version?.exited
  if (old === null || !(Number(version?.stdout()) < 24)) {
    await old?.end('SIGKILL')
    return t.pass('there is no older Node on this machine')
  }
  t.match(await old.exited, { code: 1 })
  t.equal(old.stderr().trim().split('\n').length, 1)
  t.match(old.stderr(), /needs Node 24 or newer/)
  t.equal(old.stdout(), '')
})

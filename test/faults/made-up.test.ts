import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startAgent } from '../support/agent.ts'
import { startFlood } from '../support/flood.ts'
import { freePort } from '../support/free-port.ts'
import { startInstagram } from '../support/instagram.ts'
import { createClient, PASSWORD } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { isFastOnce, startStopwatch } from '../support/stopwatch.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { createInstallation, READS } from './installation.ts'

const QUERY_MS = 50
const FLOOD_MS = 1_200
const SESSION = 'cookie: token-agent-session='
const MADE_UP = 'A'.repeat(38)

t.test(
  '8,000 made-up names or cookies on a slow Postgres delay neither owner nor reads nor /readyz',
  { skip: missing('postgres') },
  async (t) => {
    const { url } = await createDatabase(t)
    const instagram = await startInstagram()
    t.teardown(() => instagram.close())
    const proxy = await startTcpProxy(t, { host: new URL(url).hostname, port: Number(new URL(url).port || 5432) })
    const agentsDatabaseUrl = proxy.through(url)
    const installation = await createInstallation(t, { databaseUrl: url, agentsDatabaseUrl, instagramUrl: instagram.url })
    await installation.add('default', instagram.issue(), {
      providerUserId: '17841400000000001',
      nextRefreshAt: new Date(Date.now() + 86_400_000),
    })
    const port = await freePort()
    const env = { ...installation.env, ADMIN_PASSWORD: PASSWORD, APP_URL: `http://127.0.0.1:${port}` }
    const agent = await startAgent(t, { ready: '/readyz', port, env })
    const owner = createClient(agent)
    t.match(await owner.signIn(PASSWORD), { status: 303 })
    proxy.delay(QUERY_MS / 2)

    const timed = async <T>(work: () => Promise<T>): Promise<{ ms: number; answer: T }> => {
      const ms = startStopwatch(agent.pid)
      const answer = await work()
      return { ms: Math.round(ms()), answer }
    }
    const floods = [
      { what: 'names, one socket', path: '/accounts/made-up-#/token.json', sockets: 1 },
      { what: 'names, 400 sockets', path: '/accounts/made-up-too-#/token.json', sockets: 400 },
      { what: 'session cookies, one socket', path: '/status', headers: `${SESSION}${MADE_UP}#\r\n`, sockets: 1 },
      { what: 'session cookies, 400 sockets', path: '/status', headers: `${SESSION}${MADE_UP}#\r\n`, sockets: 400 },
      { what: 'names of which / shows the code, 400 sockets', path: '/?account=made-up-#', sockets: 400 },
    ]
    const isWithstood = async ({ what, ...shape }: (typeof floods)[number]): Promise<boolean> => {
      const flooding = await startFlood(t, { port, ...shape, requests: 8_000 / shape.sockets })
      const slowest = { readyz: 0, status: 0, admin: 0, token: 0 }
      for (const untilMs = performance.now() + FLOOD_MS; performance.now() < untilMs; await sleep(20)) {
        const readyz = await timed(async () => (await agent.fetch('/readyz')).json())
        t.match(readyz.answer, { ready: true, parts: { store: { state: 'up' } } }, `${what}: ready`)
        const status = await timed(() => owner.get('/status', { accept: 'text/html' }))
        t.match(status.answer, { status: 200, text: /Sign out/ }, `${what}: the owner's status`)
        const admin = await timed(() => owner.get('/admin', { accept: 'text/html' }))
        t.match(admin.answer, { status: 200, text: /Sign out/ }, `${what}: the owner's accounts`)
        const token = await timed(() => agent.fetch('/token', { headers: READS }))
        t.equal(token.answer.status, 200, `${what}: a read`)
        for (const [name, { ms }] of Object.entries({ readyz, status, admin, token }))
          slowest[name as keyof typeof slowest] = Math.max(slowest[name as keyof typeof slowest], ms)
      }
      await flooding.end()
      t.comment(`${what}: slowest ${JSON.stringify(slowest)} ms`)
      return Object.values(slowest).every((ms) => ms < 1_000)
    }
    for (const flood of floods) t.ok(await isFastOnce(() => isWithstood(flood)), `${flood.what}: each within a second`)
    t.notMatch(agent.stdout(), /does not answer|store is down/, 'the log does not say that the store is down')
  },
)

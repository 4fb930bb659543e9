import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { startMemcached } from '../support/memcached.ts'
import { startPostgres } from '../support/postgres.ts'
import { missing } from '../support/services.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { waitFor } from '../support/wait-for.ts'

const skip = missing('postgres', 'memcached')
t.jobs = 3
const KEYS = { ENCRYPTION_KEY: 'a-key-for-the-tests-0123', METRICS_KEY: 'metrics-key-0123456789' }

interface Readiness {
  ready: boolean
  parts: Record<string, { state: string; since: string }>
}

t.test('/readyz names each part and since when, also while the database hangs, and recovers with it', { skip }, async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const postgres = await startPostgres(t)
  const { url } = await postgres.createDatabase(t)
  const memcached = await startMemcached(t)
  const env = { ...KEYS, DATABASE_URL: url, MEMCACHIER_SERVERS: memcached.server, INSTAGRAM_GRAPH_URL: instagram.url }
  const agent = await startAgent(t, { ready: '/readyz', env: { ...env, STARTING_TOKEN: instagram.issue() } })
  const readyz = async (): Promise<Readiness & { status: number }> => {
    const response = await agent.fetch('/readyz')
    return { status: response.status, ...((await response.json()) as Readiness) }
  }
  const first = await waitFor('the token to be looked at', async () => {
    const now = await readyz()
    return now.parts['tokens']?.state === 'working' && now.parts['memcached']?.state === 'up' && now
  })
  t.match(first, {
    status: 200,
    parts: { store: { state: 'up' }, process: { state: 'serving' }, encryption: { state: 'every token opens' } },
  })
  t.equal((await readyz()).parts['store']?.since, first.parts['store']?.since, 'the state does not change by itself')

  await agent.fetch('/metrics', { headers: { authorization: `Bearer ${KEYS.METRICS_KEY}` } })

  const frozenAt = Date.now()
  postgres.freeze()
  const asked: number[] = []
  const down = await waitFor('the database to be missed', async () => {
    const takenMs = startStopwatch()
    const now = await readyz()
    asked.push(takenMs())
    return now.status === 503 && now
  })
  for (let n = 0; n < 3; n++) {
    const takenMs = startStopwatch()
    t.match(await readyz(), { status: 503, parts: { store: { state: 'down' } } })
    asked.push(takenMs())
  }
  const since = Date.parse(down.parts['store']?.since ?? '')
  t.ok(since >= frozenAt - 1000 && since <= frozenAt + 3000, `down for ${since - frozenAt} ms after it was frozen`)
  t.ok(Math.max(...asked) < 3000, `answered within ${Math.max(...asked)} ms`)
  t.equal((await agent.fetch('/healthz')).status, 200)
  const metrics = await agent.fetch('/metrics', { headers: { authorization: `Bearer ${KEYS.METRICS_KEY}` } })
  const text = await metrics.text()
  t.match(text, /^token_agent_store_up 0$/m)
  t.match(text, /^token_agent_token_expiry_seconds\{account="default"/m, 'the last known account')

  postgres.thaw()
  memcached.kill()
  const healedAt = Date.now()
  const up = await waitFor('the database to be back', async () => {
    const now = await readyz()
    return now.status === 200 && now.parts['memcached']?.state === 'down' && now
  })
  t.ok(Date.parse(up.parts['store']?.since ?? '') >= healedAt - 1000)
  t.equal(up.parts['process']?.since, first.parts['process']?.since)
})

t.test('/readyz names the start of a state also without an earlier request', async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const env = { ...KEYS, INSTAGRAM_GRAPH_URL: instagram.url }
  const first = await startAgent(t, { ready: '/readyz', env: { ...env, STARTING_TOKEN: instagram.issue() } })
  await first.stop('SIGINT')
  const startedAt = Date.now()
  const agent = await startAgent(t, { ready: '/healthz', cwd: first.cwd, env: { ...env, ENCRYPTION_KEY: 'quite-another-key-0123' } })
  await sleep(900)
  const askedAt = Date.now()
  const { parts } = (await (await agent.fetch('/readyz')).json()) as Readiness
  t.match(parts, { tokens: { state: 'need attention' }, encryption: { state: /no key/ }, process: { state: 'serving' } })
  for (const name of ['tokens', 'encryption', 'process']) {
    const since = Date.parse(parts[name]?.since ?? '')
    t.ok(since >= startedAt && since < askedAt - 200, `${name}: ${askedAt - since} ms before it was asked for`)
  }
})

t.test('/readyz and /status report a token that no key opens', { skip: missing('postgres') }, async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const postgres = await startPostgres(t)
  const { url } = await postgres.createDatabase(t)
  const env = { ...KEYS, DATABASE_URL: url, INSTAGRAM_GRAPH_URL: instagram.url }
  await (await startAgent(t, { ready: '/readyz', env: { ...env, STARTING_TOKEN: instagram.issue() } })).stop()
  const agent = await startAgent(t, { ready: '/readyz', env: { ...env, ENCRYPTION_KEY: 'quite-another-key-0123' } })
  const readiness = (await (await agent.fetch('/readyz')).json()) as Readiness
  t.match(readiness, { ready: true, parts: { tokens: { state: 'need attention' }, encryption: { state: /no key in ENCRYPTION_KEY/ } } })
  t.match(await (await agent.fetch('/status')).text(), /attention/)
})

import t, { type Test } from 'tap'
import { runCli as run, startAgent } from '../support/agent.ts'
import { type Instagram, startInstagram } from '../support/instagram.ts'
import { startMemcached } from '../support/memcached.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { isFastOnce } from '../support/stopwatch.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

const KEY = 'server-key-0123456789abcdef'

async function createShell(t: Test) {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  return { instagram, cwd: tempFolder(t, 'cli') }
}

/** The command line refreshes; a running server serves the new token within a second. */
async function refreshIsServed(t: Test, instagram: Instagram, env: Record<string, string>, cwd: string): Promise<void> {
  const starting = instagram.issue({ username: 'the.shop' })
  instagram.knobs.minimumAgeSeconds = 0
  instagram.knobs.oldString = 'invalid'
  const all = { ...env, INSTAGRAM_GRAPH_URL: instagram.url, SERVER_KEYS: KEY }
  const agent = await startAgent(t, { cwd, ready: '/readyz', env: { ...all, STARTING_TOKEN: starting } })
  const served = async (): Promise<string> => (await agent.fetch('/token', { headers: { authorization: `Bearer ${KEY}` } })).text()
  const before = await served()
  t.equal(instagram.issued.get(starting)?.replacedBy, before)
  const isServedFast = async (): Promise<boolean> => {
    // Constant reads keep the reader's snapshot and the shared cache warm.
    const reading = new AbortController()
    const visitors = (async () => {
      while (!reading.signal.aborted) await served()
    })()
    t.match(await run(t, ['refresh', '--force'], { cwd, env: all }), { code: 0, stdout: /refreshed/ })
    const startedAt = performance.now()
    const newest = [...instagram.issued.values()].find(({ endedBy }) => endedBy === null)?.token
    await waitFor('the new token to be served', async () => (await served()) === newest)
    const ms = performance.now() - startedAt
    t.comment(`served after ${Math.round(ms)} ms`)
    reading.abort()
    await visitors
    return ms < 1500
  }
  for (const refresh of ['first', 'second']) t.ok(await isFastOnce(isServedFast), `${refresh} refresh`)
}

t.test('the running agent serves the command line’s refresh within a second (embedded store)', async (t) => {
  const { instagram, cwd } = await createShell(t)
  await refreshIsServed(t, instagram, {}, cwd)
})

const needs = missing('postgres', 'memcached')
t.test(
  'a refresh by the command line is served by the running agent within a second (Postgres and Memcached)',
  { skip: needs },
  async (t) => {
    const { instagram, cwd } = await createShell(t)
    const { url } = await createDatabase(t)
    const { server } = await startMemcached(t)
    await refreshIsServed(t, instagram, { DATABASE_URL: url, ENCRYPTION_KEY: 'k'.repeat(32), MEMCACHIER_SERVERS: server }, cwd)
  },
)

t.test('a seed by the command line survives a start with the old STARTING_TOKEN', async (t) => {
  const { instagram, cwd } = await createShell(t)
  const env = { INSTAGRAM_GRAPH_URL: instagram.url }
  const starting = instagram.issue({ username: 'old' })
  const start = () => startAgent(t, { cwd, ready: '/readyz', env: { ...env, STARTING_TOKEN: starting } })
  await (await start()).stop('SIGINT')
  t.match(await run(t, ['seed'], { cwd, env, stdin: instagram.issue({ username: 'new' }) }), { code: 0 })
  await (await start()).stop('SIGINT')
  t.match(JSON.parse((await run(t, ['status', '--json'], { cwd, env })).stdout), [{ username: 'new', state: 'active' }])
})

import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { migrate } from '../../src/storage/migrate.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { MIGRATIONS } from '../storage/engines.ts'
import { type Agent, startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { startMemcached } from '../support/memcached.ts'
import { startPostgres } from '../support/postgres.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { callHook, createInstallation, readToken, SECRETS } from './installation.ts'
import { figures, startLoad } from './load.ts'

t.test('ten replacements of two instances under load fail no read', { skip: missing('postgres', 'memcached') }, async (t) => {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const memcached = await startMemcached(t)
  const { url } = await createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url, memcached: memcached.server })
  await site.add('default', instagram.issue())
  const start = () => startAgent(t, { env: site.env, ready: '/readyz' })

  // Like a load balancer: round robin over the instances that were ready lately.
  let instances: Agent[] = await Promise.all([start(), start()])
  let rotation = instances
  let watching = true
  const watch = (async () => {
    for (; watching; await sleep(250)) {
      const ready = await Promise.all(
        instances.map((instance) =>
          instance.fetch('/readyz').then(
            ({ ok }) => ok,
            () => false,
          ),
        ),
      )
      rotation = instances.filter((_, n) => ready[n])
    }
  })()
  let turn = 0
  const load = startLoad(() => rotation[turn++ % rotation.length]?.url ?? 'http://127.0.0.1:1', { perSecond: 300 })
  const exits: Agent['exited'][] = []
  for (let n = 0; n < 10; n++) {
    const [oldest, ...others] = instances as [Agent, ...Agent[]]
    const fresh = await start()
    instances = [...others, fresh, oldest]
    rotation = [...rotation, fresh]
    exits.push(oldest.stop('SIGTERM'))
    await waitFor('the old one to be out of rotation', () => !rotation.includes(oldest))
    instances = instances.filter((instance) => instance !== oldest)
    // The token changes during the replacement.
    if (n % 3 === 0) await site.makeDue()
    if (n % 3 === 0) await callHook(fresh.url)
  }
  for (const { code } of await Promise.all(exits)) t.equal(code, 0)
  watching = false
  await watch
  const result = await load.stop()
  t.comment(`10 replacements: ${figures(result)}`)
  t.strictSame(result.failures, [])
  t.equal(instagram.overlaps.count, 0)
})

t.test(
  'twenty agents that start at once on an empty database all serve, and check the starting token once',
  { skip: missing('postgres') },
  async (t) => {
    const postgres = await startPostgres(t)
    const instagram = await startInstagram()
    t.teardown(() => instagram.close())
    const { url } = await postgres.createDatabase(t)
    const token = instagram.issue()
    const env = { ...SECRETS, DATABASE_URL: url, INSTAGRAM_GRAPH_URL: instagram.url, STARTING_TOKEN: token }
    const startedMs = performance.now()
    const agents = await Promise.all(Array.from({ length: 20 }, () => startAgent(t, { env, ready: '/readyz' })))
    t.comment(`20 starts: ready after ${Math.round(performance.now() - startedMs)} ms`)
    const served = await waitFor('all to serve the refreshed token', async () => {
      const texts = new Set(await Promise.all(agents.map(async (agent) => (await readToken(agent.url)).text)))
      const [text = ''] = texts
      return texts.size === 1 && text !== token && text
    })
    t.ok(instagram.issued.has(served))
    t.equal(instagram.counts['/refresh_access_token'], 1)
  },
)

t.test('a release keeps working after the next one expands the schema', { skip: missing('postgres') }, async (t) => {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const { url } = await createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url })
  await site.add('default', instagram.issue())
  const running = await startAgent(t, { env: site.env, ready: '/readyz' })

  const newer = tempFolder(t, 'migrations')
  cpSync(MIGRATIONS, newer, { recursive: true })
  const { length } = await site.query('select 1 from schema_migrations')
  const release = async (kind: 'expand' | 'contract', number: number, sql: string) => {
    writeFileSync(join(newer, `${String(number).padStart(3, '0')}-of-the-next-release.sql`), `-- ${kind}\n${sql}`)
    const db = openPostgres(url)
    await migrate(db, newer)
    await db.close()
  }
  const expanding =
    'alter table accounts add column colour text; create index accounts_colour on accounts (colour); create table shades (id text primary key);'
  await release('expand', length + 1, expanding)
  await site.query("update accounts set colour = 'blue'")
  const started = await startAgent(t, { env: site.env, ready: '/readyz' })
  for (const agent of [running, started]) {
    await site.makeDue()
    t.match((await callHook(agent.url)).results, [{ outcome: 'refreshed' }])
    const token = await site.token('default')
    await waitFor('the newest token to be served', async () => (await readToken(agent.url)).text === token)
  }
  t.match(await site.query('select colour from accounts'), [{ colour: 'blue' }])

  await release('contract', length + 2, 'drop table shades;')
  const refused = await startAgent(t, { env: site.env, ready: null })
  t.equal((await refused.exited).code, 1)
  t.match(refused.stdout() + refused.stderr(), /newer release of token-agent/)
  t.equal((await readToken(running.url)).status, 200)
})

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { startMemcached } from '../support/memcached.ts'
import { startPostgres } from '../support/postgres.ts'
import { sendRaw } from '../support/raw-http.ts'
import { missing } from '../support/services.ts'
import { isFastOnce } from '../support/stopwatch.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait-for.ts'
import { callHook, createInstallation, readToken } from './installation.ts'
import { figures, startLoad } from './load.ts'
import { garbleAll } from './memcached-text.ts'

// They wait most of the time, each for servers of its own.
t.jobs = 2
const LASTS_MS = 800

async function readiness(url: string): Promise<boolean> {
  return (await fetch(`${url}/readyz`)).ok
}

interface StoreFault {
  readonly name: string
  begin(): Promise<unknown> | unknown
  end(): Promise<unknown> | unknown
  /** Whether the fault prevents claims, so that no refresh may start. */
  readonly stopsRefreshes: boolean
  readonly stopsReads: boolean
}

t.test('reads continue through every fault of the database, and refreshes resume after it', { skip: missing('postgres') }, async (t) => {
  const postgres = await startPostgres(t)
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const database = await postgres.createDatabase(t)
  // Connection limits do not apply to superusers.
  await postgres.query(`create role agent login; grant all on database ${database.name} to agent`)
  await database.query('grant all on schema public to agent; alter default privileges grant all on tables to agent')
  const proxy = await startTcpProxy(t, { port: postgres.port })
  const agentsDatabaseUrl = proxy.through(database.url.replace('postgres@', 'agent@'))
  const site = await createInstallation(t, { databaseUrl: database.url, agentsDatabaseUrl, instagramUrl: instagram.url })
  const agent = await startAgent(t, { env: site.env, ready: '/readyz' })
  const token = instagram.issue()
  await site.add('default', token)
  t.match((await callHook(agent.url)).results, [{ outcome: 'refreshed' }])
  await readToken(agent.url)

  const terminate = () =>
    postgres.query('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', ['agent']).catch(() => {})
  let terminating: ReturnType<typeof setInterval> | undefined
  const setting = (sql: string) => async () => {
    await postgres.query(sql)
    await terminate()
  }
  const faults: StoreFault[] = [
    {
      name: 'stopped at once and started',
      begin: () => postgres.stop('immediate'),
      end: () => postgres.start(),
      stopsRefreshes: true,
      stopsReads: true,
    },
    {
      name: 'ends every connection, again and again',
      begin: () => {
        terminating = setInterval(terminate, 50)
      },
      end: () => clearInterval(terminating),
      stopsRefreshes: false,
      stopsReads: false,
    },
    { name: 'frozen', begin: () => postgres.freeze(), end: () => postgres.thaw(), stopsRefreshes: true, stopsReads: true },
    { name: 'behind a black hole', begin: () => proxy.blackHole(), end: () => proxy.pass(), stopsRefreshes: true, stopsReads: true },
    { name: 'three seconds away', begin: () => proxy.delay(3_000), end: () => proxy.pass(), stopsRefreshes: false, stopsReads: false },
    { name: 'cut off in mid-answer', begin: () => proxy.cutAfter(40), end: () => proxy.pass(), stopsRefreshes: true, stopsReads: true },
    { name: 'resets every connection', begin: () => proxy.reset(), end: () => proxy.pass(), stopsRefreshes: true, stopsReads: true },
    {
      name: 'read-only',
      begin: setting(`alter database ${database.name} set default_transaction_read_only = on`),
      end: setting(`alter database ${database.name} reset default_transaction_read_only`),
      stopsRefreshes: true,
      stopsReads: false,
    },
    {
      name: 'out of connections',
      begin: setting('alter role agent connection limit 0'),
      end: setting('alter role agent connection limit -1'),
      stopsRefreshes: true,
      stopsReads: true,
    },
  ]
  for (const fault of faults) {
    await t.test(fault.name, async (t) => {
      await site.lapseLeases()
      await site.makeDue()
      const callsBefore = instagram.calls.length
      const load = startLoad(() => agent.url)
      await fault.begin()
      const asked = callHook(agent.url)
      await sleep(LASTS_MS)
      if (fault.stopsReads) await waitFor('the agent to be out of rotation', async () => !(await readiness(agent.url)))
      if (fault.stopsRefreshes) t.equal(instagram.calls.length, callsBefore, 'no refresh was started that could not be saved')
      await fault.end()
      const healedMs = performance.now()
      await waitFor('the agent to be ready again', () => readiness(agent.url), { everyMs: 50, timeoutMs: 30_000 })
      const readyMs = Math.round(performance.now() - healedMs)
      await asked
      // A frozen server executes claims when it wakes, so the account may be leased to a process that has given up.
      await waitFor('the account to be refreshed', async () => {
        await site.lapseLeases()
        await callHook(agent.url)
        return ((await site.account('default')).nextRefreshAt ?? 0) > new Date()
      })
      const result = await load.stop()
      t.comment(`${figures(result)}; ready ${readyMs} ms after it healed`)
      t.strictSame(result.failures, [])
      // About a second on an idle machine; the bound only detects a missing recovery.
      t.ok(readyMs < 10_000, `ready after ${readyMs} ms`)
      const held = instagram.issued.get(await site.token('default'))
      t.equal(held?.endedAt, null)
      await waitFor('the newest token to be served', async () => (await readToken(agent.url)).text === held?.token)
    })
  }
  t.equal(instagram.overlaps.count, 0)
})

t.test(
  'on a full disk no refresh starts and every read succeeds; freed space ends the fault',
  { skip: missing('postgres') || needsRoot() },
  async (t) => {
    const postgres = await startPostgres(t, { tmpfsMegabytes: 150, settings: { autovacuum: 'off' } })
    const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
    t.teardown(() => instagram.close())
    const database = await postgres.createDatabase(t)
    const site = await createInstallation(t, { databaseUrl: database.url, instagramUrl: instagram.url })
    const agent = await startAgent(t, { env: site.env })
    await site.add('default', instagram.issue())
    await callHook(agent.url)
    await readToken(agent.url)
    await site.makeDue()

    const filler = join(postgres.folder, 'filler')
    // Remove dead row versions and fill the pages, so that a claim finds no space.
    await site.query('vacuum accounts')
    fillUp(filler)
    await site.query(`do $$ begin
      for n in 1..2000 loop
        begin
          insert into accounts (name, provider, state, created_at, paused_at)
          values (left(md5(random()::text), 8), 'instagram', 'active', now(), now());
        exception when disk_full then return;
        end;
      end loop;
    end $$`)
    const callsBefore = instagram.calls.length
    const load = startLoad(() => agent.url)
    const { status } = await callHook(agent.url)
    t.equal(status, 503)
    await sleep(500)
    t.equal(instagram.calls.length, callsBefore, 'no refresh was started that could not be saved')
    rmSync(filler)
    t.match((await callHook(agent.url)).results, [{ account: 'default', outcome: 'refreshed' }])
    const result = await load.stop()
    t.comment(figures(result))
    t.strictSame(result.failures, [])
  },
)

t.test(
  'an agent that starts without its database serves nothing from Memcached, and recovers by itself',
  { skip: missing('postgres', 'memcached') },
  async (t) => {
    const postgres = await startPostgres(t)
    const memcached = await startMemcached(t)
    const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
    t.teardown(() => instagram.close())
    const database = await postgres.createDatabase(t)
    const site = await createInstallation(t, { databaseUrl: database.url, instagramUrl: instagram.url, memcached: memcached.server })
    const warm = await startAgent(t, { env: site.env })
    await site.add('default', instagram.issue())
    await callHook(warm.url)
    const served = await waitFor('the newest token to be served', async () => {
      const { text } = await readToken(warm.url)
      return text === (await site.token('default')) && text
    })
    await waitFor('Memcached to be filled', async () => {
      await readToken(warm.url)
      return /curr_items [1-9]/.test((await sendRaw(memcached.port, 'stats\r\nquit\r\n')).raw)
    })
    await postgres.stop('immediate')
    await warm.kill9()

    const cold = await startAgent(t, { env: site.env, ready: '/healthz' })
    const ready = await fetch(`${cold.url}/readyz`)
    t.equal(ready.status, 503)
    t.match(await ready.json(), { ready: false, parts: { store: { state: 'down' } } })
    // Only the database can tell whose values these are, and how old.
    t.equal((await readToken(cold.url)).status, 503)
    t.equal((await callHook(cold.url)).status, 503)
    await postgres.start()
    const startedMs = performance.now()
    await waitFor('it to be ready', () => readiness(cold.url))
    t.comment(`ready ${Math.round(performance.now() - startedMs)} ms after the database`)
    await waitFor('the token to be served', async () => (await readToken(cold.url)).text === served)
    await postgres.stop('immediate')
    const load = startLoad(() => cold.url)
    await sleep(500)
    await memcached.kill()
    await sleep(500)
    t.strictSame((await load.stop()).failures, [], 'once it has the token, it needs neither')
    await postgres.start()
    await waitFor('it to be ready again', () => readiness(cold.url))
    await site.makeDue()
    await waitFor('it to refresh', async () => (await callHook(cold.url)).results[0]?.outcome === 'refreshed')
  },
)

t.test('no fault of Memcached fails or slows a read', { skip: missing('postgres', 'memcached') }, async (t) => {
  const postgres = await startPostgres(t)
  const memcached = await startMemcached(t, { megabytes: 2 })
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const database = await postgres.createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: database.url, instagramUrl: instagram.url, memcached: memcached.server })
  const token = instagram.issue()
  await site.add('default', token, { providerUserId: '17841400000000001', nextRefreshAt: null })
  const { MEMCACHIER_SERVERS: _, ...without } = site.env
  const [agent, control] = await Promise.all([site.env, without].map((env) => startAgent(t, { env, ready: '/readyz' })))
  if (agent === undefined || control === undefined) throw new Error('two agents were started')
  for (const { url } of [agent, control]) await waitFor('the token to be served', async () => (await readToken(url)).text === token)

  let meddling: Promise<unknown> | null = null
  let garbled = 0
  const faults: { name: string; begin(): unknown; end(): unknown }[] = [
    { name: 'killed', begin: () => memcached.kill(), end: () => memcached.restart() },
    { name: 'frozen', begin: () => memcached.freeze(), end: () => memcached.thaw() },
    {
      name: 'evicting, and its values garbled',
      begin() {
        meddling = meddle(memcached.port)
      },
      end() {
        const ended = meddling
        meddling = null
        return ended
      },
    },
  ]
  for (const fault of faults) {
    await t.test(fault.name, async (t) => {
      // A wait for Memcached (15 ms or 50) slows one of the two agents each time.
      const isFast = await isFastOnce(async () => {
        const { result, alone } = await measure(fault)
        t.comment(`${figures(result)}; without Memcached p50 ${alone.p50} ms, p99 ${alone.p99} ms`)
        t.strictSame(result.failures, [])
        // Most reads are of the time of the fault.
        return result.p50 < 10 + 2 * alone.p50
      })
      t.ok(isFast, 'no read waits for Memcached')
      t.equal((await readToken(agent.url)).text, token)
    })
  }
  t.ok(garbled > 0)

  /** Loads both agents before, during and after the fault. */
  async function measure({ begin, end }: { begin(): unknown; end(): unknown }) {
    const loads = [agent, control].map((one) => startLoad(() => one?.url ?? '', { perSecond: 100 }))
    const reads = (count: number) => {
      const goals = loads.map(({ answered }) => answered + count)
      return waitFor(`${count} reads`, () => loads.every(({ answered }, n) => answered >= (goals[n] ?? 0)))
    }
    await reads(30)
    await begin()
    // The fault lasts until they are answered, so a read that waits for its end is never answered.
    await reads(120)
    await end()
    await reads(30)
    const [result, alone] = await Promise.all(loads.map((load) => load.stop()))
    if (result === undefined || alone === undefined) throw new Error('two loads were started')
    return { result, alone }
  }

  async function meddle(port: number): Promise<void> {
    do garbled += await garbleAll(port)
    while (meddling !== null)
  }
})

function needsRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'a disk of a given size needs root'
}

function fillUp(file: string): void {
  for (let bytes = 64 * 1024 * 1024; bytes >= 1024; bytes = Math.floor(bytes / 2)) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: 'a' })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
    }
  }
}

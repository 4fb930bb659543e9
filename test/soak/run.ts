// npm run soak -- --minutes M: every fault at random, several at a time, under reads, with an observer outside.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { callHook, createInstallation, type Installation } from '../faults/installation.ts'
import { type Agent, startAgent } from '../support/agent.ts'
import { type Instagram, startInstagram } from '../support/instagram.ts'
import { startMemcached } from '../support/memcached.ts'
import { startPostgres } from '../support/postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import type { Teardown } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { cacheFaults, networkFaults, providerFaults, type SoakFault, storeFaults } from './faults.ts'
import { createObserver, type Instance, type Observations } from './observer.ts'

export interface SoakReport extends Observations {
  readonly seconds: number
  readonly refreshes: number
  readonly starts: number
  readonly faults: Record<string, number>
}

const ACCOUNTS = 40
const INSTANCES = 3
const LONGEST_FAULT_MS = 4_000

// A trigger records each version in the transaction that writes it, so that no crash skips one.
const VERSIONS = `
  create table versions (n bigserial primary key, name text not null, version integer not null);
  create function note_version() returns trigger language plpgsql as $$ begin
    if new.version <> old.version then insert into versions (name, version) values (new.name, new.version); end if;
    return new;
  end $$;
  create trigger note_version after update on accounts for each row execute function note_version();
  grant all on all tables in schema public to agent;
  grant all on all sequences in schema public to agent;`

export async function soak(t: Teardown, minutes: number): Promise<SoakReport> {
  const until = performance.now() + minutes * 60_000
  const startedMs = performance.now()
  const postgres = await startPostgres(t)
  const memcached = await startMemcached(t, { megabytes: 2 })
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const database = await postgres.createDatabase(t)
  await postgres.query('create role agent login')
  const [toStore, toCache] = [await startTcpProxy(t, { port: postgres.port }), await startTcpProxy(t, { port: memcached.port })]
  const site = await createInstallation(t, {
    databaseUrl: database.url,
    agentsDatabaseUrl: toStore.through(database.url.replace('postgres@', 'agent@')),
    instagramUrl: instagram.url,
    memcached: toCache.server,
  })
  await site.query(VERSIONS)
  const owners = new Map<string, string>()
  for (let n = 0; n < ACCOUNTS; n++) {
    const token = instagram.issue()
    const userId = instagram.issued.get(token)?.userId ?? ''
    owners.set(`account-${n}`, userId)
    await site.add(`account-${n}`, token, { providerUserId: userId })
  }

  const present = new Set<string>()
  const faults: Record<string, number> = {}
  const observer = createObserver(instagram, owners, () => [...present])
  let starts = 0
  const reported = new Set<Instance>()
  const start = async (): Promise<Instance> => {
    starts++
    const agent = await startAgent(t, { env: site.env })
    const instance: Instance = { agent, warm: new Set(), leaving: false }
    void agent.exited.then(({ code }) => {
      if (reported.has(instance)) return
      // Reported once, not for each read that fails.
      instance.leaving = true
      observer.violated(`a process ended by itself with ${code}: ${lastError(agent)}`)
    })
    return instance
  }
  const instances = await Promise.all(Array.from({ length: INSTANCES }, start))
  const any = (): Instance => instances[Math.floor(Math.random() * instances.length)] as Instance
  const end = async (instance: Instance, how: 'kill' | 'stop'): Promise<void> => {
    reported.add(instance)
    // A stopping agent is read until it ends.
    if (how === 'kill') instance.leaving = true
    const leaves = how === 'stop' ? sleep(3_000).then(() => (instance.leaving = true)) : null
    const { code } = await (how === 'kill' ? instance.agent.kill9() : instance.agent.stop('SIGTERM'))
    await leaves
    if (how === 'stop' && code !== 0) observer.violated(`a process that was stopped ended with ${code}: ${lastError(instance.agent)}`)
    observer.searchForSecrets('the output', instance.agent.stdout() + instance.agent.stderr())
  }
  const replaced = (how: 'kill' | 'stop'): SoakFault => ({
    name: how === 'kill' ? 'agent killed' : 'agent stopped and replaced',
    async begin() {
      const place = Math.floor(Math.random() * INSTANCES)
      const old = instances[place] as Instance
      if (how === 'kill') await end(old, how)
      instances[place] = await start()
      if (how === 'stop') await end(old, how)
    },
    end() {},
  })
  let frozen: Instance | null = null
  const freezing: SoakFault = {
    name: 'agent frozen',
    begin() {
      frozen = any()
      frozen.agent.freeze()
    },
    end: () => frozen?.agent.thaw(),
  }

  const goesOn = (): boolean => performance.now() < until
  /** Runs faults of one kind one after the other; kinds overlap at random. */
  async function afflict(kind: readonly SoakFault[]): Promise<void> {
    while (goesOn()) {
      await sleep(Math.random() * LONGEST_FAULT_MS)
      const fault = kind[Math.floor(Math.random() * kind.length)] as SoakFault
      present.add(fault.name)
      faults[fault.name] = (faults[fault.name] ?? 0) + 1
      await fault.begin()
      await sleep(Math.random() * LONGEST_FAULT_MS)
      await fault.end()
      present.delete(fault.name)
    }
  }
  async function repeat(everyMs: number, work: () => Promise<unknown>): Promise<void> {
    const running = new Set<Promise<unknown>>()
    for (; goesOn(); await sleep(everyMs)) {
      const task = work()
        .catch(() => {})
        .finally(() => running.delete(task))
      running.add(task)
    }
    await Promise.all(running)
  }
  await Promise.all([
    afflict([...storeFaults(postgres, database, 'agent'), ...networkFaults('store', toStore)]),
    afflict([...cacheFaults(memcached), ...networkFaults('Memcached', toCache)]),
    afflict(providerFaults(instagram)),
    afflict([replaced('kill'), replaced('stop'), freezing]),
    repeat(20, () => observer.read(any())),
    repeat(1_000, () => observer.look(any())),
    repeat(300, async () => {
      await site.makeDue(`account-${Math.floor(Math.random() * ACCOUNTS)}`)
      await callHook(any().agent.url)
    }),
  ])

  // A new process, whose rate limit no provider has paused.
  instances.push(await start())
  await recover(site, instagram, instances, observer)
  for (const instance of instances) await end(instance, 'kill')
  observer.close()
  const refreshes = await judgeVersions(site, observer.violated)
  const { maximum, count } = instagram.overlaps
  if (count > 0) observer.violated(`${count} calls for one account overlapped, ${maximum} at a time`)
  return { ...observer.seen, seconds: Math.round((performance.now() - startedMs) / 1000), refreshes, starts, faults }
}

function lastError({ stdout, stderr }: Agent): string {
  const lines = `${stdout()}\n${stderr()}`.trim().split('\n')
  return (lines.findLast((line) => line.includes('"level":"error"')) ?? lines.at(-1) ?? '').slice(0, 2000)
}

/** After the last fault each process must be ready, and each account refreshable. */
async function recover(
  site: Installation,
  instagram: Instagram,
  instances: readonly Instance[],
  { violated }: ReturnType<typeof createObserver>,
): Promise<void> {
  instagram.heal()
  const judged = (what: string, check: () => Promise<boolean>) =>
    waitFor(what, check, { timeoutMs: 60_000, everyMs: 200 }).catch(({ message }: Error) => violated(message))
  for (const { agent } of instances) await judged('an instance to be ready again', async () => (await agent.fetch('/readyz')).ok)
  await judged('the last calls to end', async () => instagram.calls.every(({ endedAt }) => endedAt !== null))
  await site.lapseLeases()
  const before = await site.query<{ name: string; version: number }>('select name, version from accounts')
  await site.makeDue()
  await judged('every account to be refreshed again', async () => {
    for (const { agent } of instances) await callHook(agent.url)
    const now = new Map(
      (await site.query<{ name: string; version: number }>('select name, version from accounts')).map((row) => [row.name, row.version]),
    )
    return before.every(({ name, version }) => (now.get(name) ?? 0) > version)
  })
  for (const { name } of before) {
    const held = instagram.issued.get(await site.token(name))
    if (held === undefined || held.endedAt !== null) violated(`the token of ${name} is not good at the end`)
  }
}

/** Checks that each account's versions rise by one; returns their number. */
async function judgeVersions(site: Installation, violated: (what: string) => void): Promise<number> {
  const last = new Map<string, number>()
  const rows = await site.query<{ name: string; version: number }>('select name, version from versions order by n')
  for (const { name, version } of rows) {
    if (version !== (last.get(name) ?? 1) + 1) violated(`the version of ${name} went from ${last.get(name) ?? 1} to ${version}`)
    last.set(name, version)
  }
  return rows.length
}

export function soakFigures({ seconds, served, cold, cutOff, looks, refreshes, starts, faults, violations }: SoakReport): string {
  const total = Object.values(faults).reduce((sum, count) => sum + count, 0)
  return [
    `${seconds} s: ${total} faults of ${Object.keys(faults).length} kinds, ${starts} starts of an agent, ${refreshes} tokens saved`,
    `${served} reads served, ${cold} refused by processes that knew nothing yet, ${cutOff} cut off by a kill, ${looks} other answers searched`,
    `${violations.length} violations${[...new Set(violations)].map((what) => `\n  ${what}`).join('')}`,
  ].join('\n')
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '1' } } })
  const endings: (() => unknown)[] = []
  const report = await soak({ teardown: (clearUp) => endings.unshift(clearUp) }, Number(values.minutes))
  console.log(soakFigures(report))
  console.log(
    Object.entries(report.faults)
      .sort()
      .map(([name, count]) => `  ${count} × ${name}`)
      .join('\n'),
  )
  for (const clearUp of endings) await clearUp()
  process.exit(report.violations.length === 0 ? 0 : 1)
}

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createInstallation, type Installation, readToken } from '../faults/installation.ts'
import { type Agent, startAgent } from '../support/agent.ts'
import { freePort } from '../support/free-port.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { type Teardown, tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import type { Mode, StandIn } from './provider.ts'
import { type CallMoment, startRelay } from './relay.ts'

type Moment = CallMoment | 'claimed' | 'saved' | 'any'
const MOMENTS: readonly Moment[] = ['any', 'claimed', 'asked', 'answered', 'delivered', 'saved']

export interface LaneReport {
  readonly mode: string
  kills: number
  readonly killsAt: Record<Moment, number>
  refreshes: number
  reads: number
  lost: number
  named: number
  /** From the start of the process that reported the loss. */
  slowestNamingMs: number
  readonly violations: string[]
}

const ACCOUNTS = 16
/** An account that is never refreshed: its token expires during the run, and reads are refused from then on. */
const ENDING = 'ending'
const ENDS_AFTER_MS = 15_000

// Triggers make each account due again when its attempt ends, so that one sweep never ends, and notify the test of the
// start and end of each attempt at its commit.
const TIGHT_LOOP = `
  create table versions (n bigserial primary key, name text not null, version integer not null);
  create function tight() returns trigger language plpgsql as $$ begin
    if new.version <> old.version then
      insert into versions (name, version) values (new.name, new.version);
      perform pg_notify('saved', new.name);
    end if;
    if new.attempt_id is null and new.name <> '${ENDING}' then new.next_refresh_at = statement_timestamp(); end if;
    if new.attempt_id is distinct from old.attempt_id and new.attempt_id is not null then perform pg_notify('claimed', new.name); end if;
    return new;
  end $$;
  create trigger tight before update on accounts for each row execute function tight();`

interface Options {
  readonly postgres: PostgresServer
  readonly mode: Mode
  readonly mayKill: () => boolean
}

export async function runLane(t: Teardown, { postgres, mode, mayKill }: Options): Promise<LaneReport> {
  const provider = await mode.open(t)
  let onMoment: (moment: Moment) => boolean = () => false
  const relay = await startRelay(t, provider, (moment) => onMoment(moment))
  const { url } = await postgres.createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, env: provider.env(relay.url) })
  await site.query(TIGHT_LOOP)
  const listener = new pg.Client({ connectionString: url })
  listener.on('error', () => {})
  await listener.connect()
  t.teardown(() => listener.end())
  await listener.query('listen claimed; listen saved')
  listener.on('notification', ({ channel }) => onMoment(channel as Moment))

  const names = Array.from({ length: ACCOUNTS }, (_, n) => `account-${n}`)
  for (const name of names) await provider.add(site, name)
  await provider.add(site, ENDING, ENDS_AFTER_MS)

  const report: LaneReport = {
    mode: mode.name,
    kills: 0,
    killsAt: { any: 0, claimed: 0, asked: 0, answered: 0, delivered: 0, saved: 0 },
    refreshes: 0,
    reads: 0,
    lost: 0,
    named: 0,
    slowestNamingMs: 0,
    violations: [],
  }
  const reader = createReader(provider, [...names, ENDING], report)
  const [port, cwd] = [await freePort(), tempFolder(t, 'crash')]
  const start = async (): Promise<Agent> => {
    const agent = await startAgent(t, { env: site.env, port, cwd, ready: null })
    reader.readFrom(agent.url)
    return agent
  }
  const lost = new Set<string>()

  for (let turn = 0; mayKill(); turn++) {
    const moment = MOMENTS[turn % MOMENTS.length] as Moment
    const startedMs = performance.now()
    const agent = await start()
    // The endless first sweep keeps the port closed for two seconds; every fourth agent lives until it serves.
    if (turn % 4 === 3) await waitFor('the agent to serve', () => agent.fetch('/healthz'))
    if (moment !== 'any') await nameLosses({ site, provider, lost, report, startedMs })
    await reached(moment, (watch) => {
      onMoment = watch
    })
    await agent.kill9()
    onMoment = () => false
    reader.readFrom(null)
    report.kills++
    report.killsAt[moment]++
    await site.lapseLeases()
    for (const name of names) {
      if (lost.has(name) || !(await provider.isDead(site, name))) continue
      lost.add(name)
      report.lost++
      if (!mode.mayLose) report.violations.push(`the token of ${name} was lost by a kill at the moment “${moment}”`)
    }
  }

  const startedMs = performance.now()
  const last = await start()
  await nameLosses({ site, provider, lost, report, startedMs })
  const before = new Map(await Promise.all(names.map(async (name) => [name, (await site.account(name)).version] as const)))
  for (const name of names) {
    await waitFor(`${name} to be refreshed once more`, async () => (await site.account(name)).version > (before.get(name) ?? 0), {
      timeoutMs: 30_000,
    }).catch(({ message }: Error) => report.violations.push(message))
  }
  await waitFor('the ending token to be refused', async () => (await readToken(last.url, ENDING)).status === 503)
  await last.kill9()
  reader.stop()
  for (const name of names) {
    if (!mode.mayLose && (await provider.isDead(site, name))) report.violations.push(`the token of ${name} is dead at the end`)
  }
  const seen = new Map<string, number>()
  for (const { name, version } of await site.query<{ name: string; version: number }>('select name, version from versions order by n')) {
    if (version !== (seen.get(name) ?? 1) + 1)
      report.violations.push(`the version of ${name} went from ${seen.get(name) ?? 1} to ${version}`)
    seen.set(name, version)
    report.refreshes++
  }
  if (provider.overlaps() > 0) report.violations.push(`${provider.overlaps()} calls of one account overlapped`)
  return report
}

/** Resolves at the named moment, after skipping a few, so that the kills hit different accounts in different states. */
async function reached(moment: Moment, watchWith: (watch: (moment: Moment) => boolean) => void): Promise<void> {
  if (moment === 'any') return sleep(Math.random() * 1_000)
  let toPass = Math.floor(Math.random() * ACCOUNTS)
  await new Promise<void>((resolve) => {
    watchWith((seen) => {
      if (seen !== moment || toPass-- > 0) return false
      resolve()
      return true
    })
    setTimeout(resolve, 20_000).unref()
  })
  // An answer's commit follows its arrival by a few milliseconds.
  if (moment === 'delivered') await sleep(Math.random() * 5)
}

interface Losses {
  readonly site: Installation
  readonly provider: StandIn
  readonly lost: Set<string>
  readonly report: LaneReport
  readonly startedMs: number
}

/** Each loss must stand in the row; then a person stores a new token. */
async function nameLosses({ site, provider, lost, report, startedMs }: Losses): Promise<void> {
  for (const name of lost) {
    const named = async () => {
      const { lastErrorCode, lastError } = await site.account(name)
      return lastErrorCode === 'reconnect' && lastError?.includes(provider.lossSays)
    }
    await waitFor(`the loss of ${name} to be named`, named).then(
      () => report.named++,
      ({ message }: Error) => report.violations.push(message),
    )
    report.slowestNamingMs = Math.max(report.slowestNamingMs, Math.round(performance.now() - startedMs))
    await waitFor('the new token to be taken', async () => {
      await provider.replace(site, name)
      return (await site.account(name)).lastErrorCode === null
    })
    lost.delete(name)
  }
}

/** Reads as a site does, and checks each answer against the provider's records. */
function createReader(provider: StandIn, names: readonly string[], report: LaneReport) {
  let url: string | null = null
  let stopped = false
  const newest = new Map<string, number>()
  const order = new Map<string, number>()

  async function read(): Promise<void> {
    const name = names[Math.floor(Math.random() * names.length)] ?? ''
    const askedAt = provider.now()
    // Several requests are under way at once, and their answers may arrive in another order.
    const known = newest.get(name) ?? 0
    const answer = url === null ? null : await readToken(url, name).catch(() => null)
    if (answer?.status !== 200) return
    report.reads++
    const issued = provider.served()
    const held = issued.get(answer.text)
    if (held === undefined || held.userId !== provider.userOf(name))
      return void report.violations.push(`${name} was served a token that is not its own`)
    // The agent takes the time from the database's answers, so it is off by their latency.
    if (held.expiresAt < askedAt - 1_000) report.violations.push(`${name} was served a token that had expired`)
    for (const token of [...issued.keys()].slice(order.size)) order.set(token, order.size)
    const place = order.get(answer.text) ?? 0
    if (place < known) report.violations.push(`${name} was served an older token than before`)
    newest.set(name, Math.max(place, newest.get(name) ?? 0))
  }
  const timer = setInterval(() => {
    if (!stopped) void read()
  }, 25)
  return {
    readFrom(next: string | null) {
      url = next
    },
    stop() {
      stopped = true
      clearInterval(timer)
    },
  }
}

// npm run bench:refresh [-- --quick | --accounts 10000 --processes 2]: how fast 1, 2 and 4 agents refresh many accounts that
// are due at once, against the stand-in for Instagram.
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Secret } from '../src/core/secret.ts'
import { accountContext } from '../src/core/vault.ts'
import { createAccountStore } from '../src/storage/account-store.ts'
import type { Database } from '../src/storage/database.ts'
import { migrate } from '../src/storage/migrate.ts'
import { openPostgres } from '../src/storage/postgres.ts'
import { createVault } from '../src/storage/vault.ts'
import { freePort } from '../test/support/free-port.ts'
import { type RemoteInstagram, spawnInstagram } from '../test/support/instagram-server.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { type Launched, launch } from '../test/support/process.ts'
import { tempFolder } from '../test/support/temp-folder.ts'
import { residentMiB } from './load.ts'

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean' }, accounts: { type: 'string' }, processes: { type: 'string' } },
})
const numbers = (text: string | undefined, usual: number[]): number[] => text?.split(',').map(Number) ?? usual
const SIZES = numbers(options.accounts, options.quick ? [1_000] : [1_000, 10_000, 100_000])
const PROCESSES = numbers(options.processes, [1, 2, 4])
/** The limit of one run with a hundred thousand accounts. */
const LONGEST_MS = 15 * 60_000

const AGENT = fileURLToPath(new URL('refresh-agent.ts', import.meta.url))
const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url))
const KEY = 'a-key-for-the-measurement'
const ORIGIN = 'https://www.example.com'
const DAY_MS = 86_400_000
const COLUMNS = 'name, provider, provider_user_id, access_token, state, issued_at, expires_at, next_refresh_at, alert_at, created_at'
const connections = new Agent({ keepAlive: true, maxSockets: 4 })
const teardowns: (() => unknown)[] = []
const t = { teardown: (end: () => unknown) => void teardowns.unshift(end) }

// As in a managed Postgres, a commit is on the disk.
const postgres = await startPostgres(t, { settings: { fsync: 'on' } })
console.log(
  [
    'accounts',
    'processes',
    'seconds',
    'accounts/s',
    'statements each',
    'MiB at start',
    'MiB at end',
    'read p50 ms',
    'read p99 ms',
    'overlaps',
  ]
    .map((name) => name.padEnd(17))
    .join(''),
)
for (const size of SIZES) for (const processes of PROCESSES) await run(size, processes)
for (const end of teardowns) await end()

async function run(size: number, processes: number): Promise<void> {
  const instagram = await spawnInstagram({ keepCalls: 1_000 })
  const { url } = await postgres.createDatabase(t)
  const db = openPostgres(url)
  await migrate(db, MIGRATIONS)
  await fill(db, instagram, size)
  if (size === SIZES.at(-1) && processes === PROCESSES[0]) await explain(db, size)

  const folder = tempFolder(t, 'bench')
  const agents = await Promise.all(Array.from({ length: processes }, () => start(url, instagram.url, folder)))
  const reads: number[] = []
  const memory: number[][] = agents.map(() => [])
  const startedAt = performance.now()
  for (let left = size; left > 0; ) {
    const next = sleep(1000)
    await Promise.all(agents.map((agent) => readFor(agent.port, 900, reads)))
    for (const [at, { launched }] of agents.entries()) memory[at]?.push(residentMiB(launched.pid))
    left = Number((await db.query<{ left: string }>('select count(*) as left from accounts where next_refresh_at <= now()'))[0]?.left)
    if (performance.now() - startedAt > LONGEST_MS) throw new Error(`${left} of ${size} accounts are still due`)
    await next
  }
  const [span] = await db.query<{ seconds: number; refreshed: string }>(
    "select extract(epoch from max(at) - min(at))::float8 as seconds, count(*) as refreshed from events where kind = 'refreshed'",
  )
  const statements = await Promise.all(agents.map(({ launched }) => statementsOf(launched)))
  const { overlaps } = await instagram.state()
  const seconds = span?.seconds ?? Number.NaN
  const sum = statements.reduce((total, one) => total + one, 0)
  reads.sort((a, b) => a - b)
  const mib = (at: (samples: number[]) => number | undefined): string => memory.map((samples) => at(samples)?.toFixed(0)).join(' ')
  const cells = [size, processes, seconds.toFixed(1), (size / seconds).toFixed(0), (sum / size).toFixed(1)]
  const rest = [mib((samples) => samples[0]), mib((samples) => samples.at(-1)), quantile(reads, 0.5), quantile(reads, 0.99), overlaps.count]
  console.log([...cells, ...rest].map((cell) => String(cell).padEnd(17)).join(''))
  if (overlaps.count > 0 || Number(span?.refreshed) !== size) process.exitCode = 1
  await Promise.all(agents.map(({ launched }) => launched.end('SIGKILL')))
  await db.close()
  await instagram.stop()
}

function quantile(sorted: number[], share: number): string {
  return (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(1)
}

/** Inserts accounts that are due, with tokens a week old, and one that is not due, for the reads. */
async function fill(db: Database, instagram: RemoteInstagram, size: number): Promise<void> {
  const vault = createVault([KEY])
  const now = Date.now()
  for (let start = 0; start < size; start += 1000) {
    const names = Array.from({ length: Math.min(1000, size - start) }, (_, n) => `shop-${start + n}`)
    const tokens = await instagram.issueMany(names.map((_, n) => ({ userId: String(17_841_400_000_000_000 + start + n) })))
    const rows = names.map((name, n) =>
      row(
        name,
        vault.seal(new Secret(tokens[n] ?? ''), accountContext({ provider: 'instagram', name }, 'access_token')),
        start + n,
        now - 1000,
      ),
    )
    await db.query(`insert into accounts (${COLUMNS}) values ${rows.join(',')}`)
  }
  const token = vault.seal(new Secret('IGAAread'), accountContext({ provider: 'instagram', name: 'default' }, 'access_token'))
  await db.query(`insert into accounts (${COLUMNS}) values ${row('default', token, size, now + 20 * DAY_MS)}`)
  await db.query('analyze accounts')
}

function row(name: string, sealed: string, user: number, nextMs: number): string {
  const at = (ms: number): string => `'${new Date(ms).toISOString()}'`
  const now = Date.now()
  const times = [at(now - 7 * DAY_MS), at(now + 53 * DAY_MS), at(nextMs), at(now + 40 * DAY_MS), at(now)]
  return `('${name}', 'instagram', '${17_841_400_000_000_000 + user}', '${sealed}', 'active', ${times.join(', ')})`
}

/** Explains the statement that the agent sends. */
async function explain(db: Database, size: number): Promise<void> {
  const explaining: Database = {
    ...db,
    async query(sql, params) {
      console.log(`\nThe claim among ${size} accounts, all of them due:`)
      for (const line of await db.query<{ 'QUERY PLAN': string }>(`explain ${sql}`, params)) console.log(`  ${line['QUERY PLAN']}`)
      console.log()
      return []
    },
  }
  await createAccountStore(explaining).claimDue({ leaseOwner: 'bench', leaseSeconds: 40, limit: 8, provider: 'instagram' })
}

async function start(database: string, instagram: string, folder: string): Promise<{ port: number; launched: Launched }> {
  const port = await freePort()
  const env = { HOME: folder, HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'warn', ENCRYPTION_KEY: KEY, ALLOWED_DOMAINS: ORIGIN }
  const launched = await launch(process.execPath, [AGENT], {
    cwd: folder,
    env: { ...env, DATABASE_URL: database, INSTAGRAM_GRAPH_URL: instagram },
  })
  while (launched.running) {
    const ready = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (ready) return { port, launched }
    await sleep(20)
  }
  throw new Error(`an agent ended:\n${launched.stdout()}${launched.stderr()}`)
}

/** Reads every 10 ms; collects the time from each request to its last byte. */
async function readFor(port: number, ms: number, into: number[]): Promise<void> {
  const until = performance.now() + ms
  while (performance.now() < until) {
    const startedAt = performance.now()
    await new Promise<void>((resolve, reject) => {
      const request = get({ port, host: '127.0.0.1', path: '/token.json', headers: { origin: ORIGIN }, agent: connections }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`a read was answered ${response.statusCode}`))
        response.resume().on('end', resolve)
      })
      request.on('error', reject)
    })
    into.push(performance.now() - startedAt)
    await sleep(10)
  }
}

async function statementsOf(agent: Launched): Promise<number> {
  process.kill(agent.pid, 'SIGUSR2')
  for (let tries = 0; tries < 100; tries++) {
    const found = /statements: (\d+)/.exec(agent.stderr())
    if (found) return Number(found[1])
    await sleep(50)
  }
  throw new Error('an agent did not say how many statements it sent')
}

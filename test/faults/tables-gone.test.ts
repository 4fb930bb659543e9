import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { migrate } from '../../src/storage/migrate.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { MIGRATIONS } from '../storage/engines.ts'
import { startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { binary, missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait-for.ts'
import { callHook, createInstallation, READS, SECRETS } from './installation.ts'

const skip = missing('postgres')

interface Readiness {
  ready: boolean
  parts: { store: { state: string; message?: string } }
}

const readyz = async (url: string): Promise<Readiness> => (await (await fetch(`${url}/readyz`)).json()) as Readiness
const says = (url: string, words: RegExp): Promise<unknown> =>
  waitFor(`/readyz to say ${words}`, async () => {
    const { ready, parts } = await readyz(url)
    return !ready && parts.store.state === 'down' && words.test(parts.store.message ?? '')
  })

async function run(t: { teardown(end: () => unknown): void }, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  client.on('error', () => {})
  t.teardown(() => client.end().catch(() => {}))
  return client
}

t.test('without the right to create tables the agent is not ready and says so; once the tables exist it is', { skip }, async (t) => {
  const { url } = await createDatabase(t)
  const admin = await run(t, url)
  const role = `poor_${process.pid}_${Date.now()}`
  await admin.query(`create role ${role} login password 'a-password'; revoke create on schema public from public`)
  t.teardown(async () => {
    const last = await run(t, url)
    await last.query(`drop owned by ${role}; drop role ${role}`)
  })
  const poor = new URL(url)
  poor.username = role
  poor.password = 'a-password'
  const env = { ...SECRETS, DATABASE_URL: poor.href }
  const agent = await startAgent(t, { env })
  await says(agent.url, /may not do this: make it the owner/)
  await waitFor('/setup to say it', async () => /may not do this/.test(await (await agent.fetch('/setup')).text()))
  t.match(await (await agent.fetch('/setup')).text(), /may not do this: make it the owner/)
  const db = openPostgres(url)
  await migrate(db, MIGRATIONS)
  await db.close()
  await admin.query(`grant select, insert, update, delete on all tables in schema public to ${role}`)
  await waitFor('the agent to be ready', async () => (await readyz(agent.url)).ready)
})

t.test('an agent that waits for the migration of another instance is not ready, and says so', { skip }, async (t) => {
  const { url } = await createDatabase(t)
  const other = await run(t, url)
  await other.query('begin; select pg_advisory_xact_lock(7421906)')
  const agent = await startAgent(t, { env: { ...SECRETS, DATABASE_URL: url } })
  await says(agent.url, /Another instance of the agent is bringing the tables up to date/)
  t.match(await (await agent.fetch('/setup')).text(), /Another instance of the agent/)
  await other.query('commit')
  await waitFor('the agent to be ready', async () => (await readyz(agent.url)).ready)
})

t.test('a restore under a running agent succeeds; meanwhile the agent neither writes nor calls the provider', { skip }, async (t) => {
  const { url } = await createDatabase(t)
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const installation = await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url })
  await installation.add('default', instagram.issue())
  const agent = await startAgent(t, { ready: '/readyz', env: installation.env })
  const read = (): Promise<Response> => agent.fetch('/token', { headers: READS })
  const token = await (await read()).text()
  await installation.makeDue()
  const tool = (name: string, ...args: string[]) => {
    const done = spawnSync(binary('postgres', [name]), args, { encoding: 'utf8' })
    t.equal(done.status, 0, `${name}: ${done.error ?? done.stderr}`)
  }
  const dump = join(t.testdir(), 'dump')
  tool('pg_dump', '-Fc', '-f', dump, url)
  const callsBefore = instagram.calls.length

  const admin = await run(t, url)
  await admin.query('drop schema public cascade; create schema public')
  await says(agent.url, /restart it when the restore is done/)
  t.match(await callHook(agent.url), { status: 503 })
  tool('pg_restore', '-d', url, dump)
  t.match(await callHook(agent.url), { status: 503 }, 'although an account is due in the restored tables')
  await says(agent.url, /restart it when the restore is done/)
  const setup = async () => (await agent.fetch('/setup')).text()
  await waitFor('/setup to say it', async () => /restart it when the restore is done/.test(await setup()))
  t.match(await setup(), /restart it when the restore is done/)
  t.equal(await (await read()).text(), token, 'sites get the last token')
  t.equal(instagram.calls.length, callsBefore)

  await agent.stop('SIGINT')
  const restarted = await startAgent(t, { ready: '/readyz', env: installation.env })
  await waitFor('the account to be refreshed', async () => instagram.calls.length > callsBefore)
  t.equal((await restarted.fetch('/token', { headers: READS })).status, 200)
})

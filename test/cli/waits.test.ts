import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createInstallation } from '../faults/installation.ts'
import { startInstagram } from '../support/instagram.ts'
import { type Launched, launch } from '../support/process.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

/** Only limits a wait that never ends. */
const PATIENT = { timeoutMs: 60_000 }
const CLI = join(import.meta.dirname, '../../src/cli/main.ts')

/** Shown where the check fails. */
const said = (command: Launched) => ({ said: command.stdout() + command.stderr() })

/** A command with a database behind a proxy. It prints its notices every 200 ms, not every ten seconds. */
async function createShell(t: Test) {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0, oldString: 'invalid' } })
  t.teardown(() => instagram.close())
  const database = await createDatabase(t)
  const { hostname, port } = new URL(database.url)
  const proxy = await startTcpProxy(t, { host: hostname, port: Number(port || 5432) })
  const cwd = tempFolder(t, 'waits')
  const site = await createInstallation(t, { databaseUrl: database.url, instagramUrl: instagram.url })
  await site.add('default', instagram.issue({ username: 'the.shop' }), { username: 'the.shop' })
  const env = { HOME: cwd, ...site.env }
  const script = join(cwd, 'impatient.mjs')
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(CLI)}; await main(process.argv.slice(2), process.env, { noticeEveryMs: 200 })`,
  )
  const start = async (args: string[]) => {
    const through = { ...env, DATABASE_URL: proxy.through(database.url) }
    const command = await launch(process.execPath, [script, ...args], { cwd, env: through })
    t.teardown(() => command.end('SIGKILL'))
    command.stdin.end()
    return command
  }
  /** Runs until the provider has issued a new token and the database is gone. */
  const interrupted = async () => {
    instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 400 })
    const calls = () => instagram.calls.filter(({ path }) => path === '/refresh_access_token').length
    const before = calls()
    const command = await start(['refresh', '--force'])
    await waitFor('the provider to be asked', () => calls() > before, PATIENT)
    proxy.blackHole()
    await waitFor('two sentences', () => (command.stderr().match(/Waiting for the database/g) ?? []).length >= 2, PATIENT)
    return command
  }
  return { instagram, database, proxy, start, interrupted }
}

const skip = missing('postgres')
// They wait most of the time, each for a database of its own.
t.jobs = 4

t.test('a refresh that loses its database prints notices, and saves the grant once it is back', { skip }, async (t) => {
  const { proxy, interrupted, database } = await createShell(t)
  const command = await interrupted()
  proxy.pass()
  t.match(await command.exited, { code: 0 }, said(command))
  t.match(command.stdout(), /^default: refreshed\. The token was refreshed; it is good until \d+ [A-Z]\w+ \d{4}\.$/m)
  // On a busy machine there is a notice of the migration too.
  const notices = command.stderr().replace(/^Waiting for the migration .*\n/gm, '')
  t.match(notices, /^(?:Waiting for the database, which has not answered yet, for \d+ seconds? so far\. A token .* may be lost\.\n)+$/)
  t.match(await database.query('select version from accounts'), [{ version: 2 }])
})

t.test('a waiting command saves the grant after Ctrl-C, and ends at once after a second one', { skip }, async (t) => {
  const { proxy, interrupted, database } = await createShell(t)
  const patient = await interrupted()
  patient.signal('SIGINT')
  await waitFor('the sentence', () => /once more ends it at once/.test(patient.stderr()), PATIENT)
  t.ok(patient.running)
  proxy.pass()
  t.match(await patient.exited, { signal: 'SIGINT' }, said(patient))
  t.match(await database.query('select version from accounts'), [{ version: 2 }])
  const impatient = await interrupted()
  impatient.signal('SIGINT')
  await waitFor('the sentence', () => /once more ends it at once/.test(impatient.stderr()), PATIENT)
  impatient.signal('SIGINT')
  t.match(await impatient.exited, { signal: 'SIGINT' })
})

t.test('a query of more than two seconds does not mean that the database is down', { skip }, async (t) => {
  const { database, start } = await createShell(t)
  await database.query('select pg_advisory_lock(1); alter table accounts rename to accounts_kept')
  await database.query('create view accounts as select accounts_kept.* from accounts_kept, pg_sleep(2.2)')
  const commands = await Promise.all([start(['status', '--json']), start(['accounts', 'list'])])
  for (const command of commands) {
    t.match(await command.exited, { code: 0 }, said(command))
    t.match(command.stdout(), /the\.shop/)
    t.match(command.stderr(), /^Waiting for the database, .* Ctrl-C ends it\.$/m)
  }
})

t.test('a lost or hanging database ends a command with a sentence', { skip }, async (t) => {
  const { proxy, start } = await createShell(t)
  proxy.blackHole()
  const command = await start(['status'])
  t.match(await command.exited, { code: 1 })
  t.match(command.stderr(), /The database does not answer: check that it runs/)
})

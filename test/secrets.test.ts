import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { type Agent, runCli, startAgent } from './support/agent.ts'
import { type Instagram, startInstagram } from './support/instagram.ts'
import { FAULTS, type FaultName } from './support/instagram-faults.ts'
import { startMemcached } from './support/memcached.ts'
import { ask } from './support/owner.ts'
import { sendRaw } from './support/raw-http.ts'
import { missing } from './support/services.ts'
import { createDatabase } from './support/shared-postgres.ts'
import { tempFolder } from './support/temp-folder.ts'
import { waitFor } from './support/wait-for.ts'

const SITE = 'https://shop.example'
const SECRETS = {
  SERVER_KEYS: 'canary-server-key-0123456789',
  WEBHOOK_SECRET: 'canary-webhook-secret-0123456789',
  ADMIN_PASSWORD: 'canary-admin-password-0123456789',
  METRICS_KEY: 'canary-metrics-key-0123456789',
  INSTAGRAM_APP_ID: '990602627938098',
  INSTAGRAM_APP_SECRET: 'canary-app-secret-0123456789',
  ALERT_WEBHOOK_URL: 'https://alerts.invalid/canary-alert-path-0123456789',
  SMTP_URL: 'smtp://canary:canary-smtp-password-0123456789@127.0.0.1:1',
  ALERT_EMAIL_TO: 'me@example.com',
}
const ENCRYPTION_KEY = 'canary-encryption-key-0123456789-0123456789'
const PASSWORD = 'canary-password-0123456789'

const RATE_LIMITS: FaultName[] = ['appLimit', 'userLimit', 'pageLimit', 'applicationLimit', 'callLimit', 'businessLimit', 'tooMany']

/** Every secret, by name. */
function secretsOf(instagram: Instagram, more: Record<string, string> = {}): [string, string][] {
  const tokens = [...instagram.issued.keys()].map((token, n): [string, string] => [`token ${n}`, token])
  const canaries = Object.entries({ ...SECRETS, ENCRYPTION_KEY, PASSWORD, ...more }).filter(
    ([name]) => !['INSTAGRAM_APP_ID', 'ALERT_EMAIL_TO'].includes(name),
  )
  return [...tokens, ...canaries.map(([name, value]): [string, string] => [name, value.replace(/^https:.*\/|^smtp:\/\/\w+:|@127.*$/g, '')])]
}

function holdsNone(t: Test, what: string, text: string, secrets: [string, string][]): void {
  const found = secrets.filter(([, value]) => text.includes(value) || text.includes(Buffer.from(value).toString('base64').slice(0, -4)))
  t.same(
    found.map(([name]) => name),
    [],
    what,
  )
}

/** Runs the agent through every flow and every fault; returns all answers to callers that may not have the token. */
async function runThroughEverything(
  agent: Agent,
  instagram: Instagram,
  rateLimit: FaultName,
  makeDue: () => Promise<void>,
): Promise<string> {
  const answers: string[] = []
  const keep = async (path: string, options: Parameters<typeof ask>[2] = {}): Promise<void> => {
    const { headers, body } = await ask(agent, path, options)
    answers.push(JSON.stringify(headers), body)
  }
  const hook = () => keep('/hooks/refresh', { method: 'POST', headers: { authorization: `Bearer ${SECRETS.WEBHOOK_SECRET}` } })
  const browse = async (): Promise<void> => {
    for (const path of ['/', '/setup', '/status', '/healthz', '/readyz', '/style.css', '/admin', '/metrics', '/nothing', '/%zz'])
      await keep(path)
    for (const path of ['/token.js', '/token.json', '/token', '/accounts/default/token.json', '/accounts/nobody/token.json']) {
      for (const headers of [{}, { origin: 'https://evil.example' }, { authorization: `Bearer ${SECRETS.SERVER_KEYS}x` }])
        await keep(path, { headers })
      await keep(path, { method: 'HEAD', headers: { origin: SITE } })
      await keep(path, { method: 'OPTIONS', headers: { origin: SITE } })
      await keep(path, { method: 'POST', body: SECRETS.SERVER_KEYS })
      // Answers with the token are read, but not collected.
      await ask(agent, path, { headers: { origin: SITE } })
      await ask(agent, path, { headers: { authorization: `Bearer ${SECRETS.SERVER_KEYS}` } })
    }
    await keep('/metrics', { headers: { authorization: `Bearer ${SECRETS.METRICS_KEY}` } })
    // Secrets in unexpected places must be neither returned nor logged.
    for (const secret of Object.values(SECRETS)) {
      await keep(`/${encodeURIComponent(secret)}?x=${encodeURIComponent(secret)}`, {
        headers: { referer: `https://x.example/${encodeURIComponent(secret)}` },
      })
      await keep(`/token.js?const=${encodeURIComponent(secret)}`, { headers: { origin: SITE } })
      await keep('/hooks/refresh', { method: 'POST', headers: { authorization: `Bearer x${secret}` }, body: secret })
    }
    answers.push((await sendRaw(agent.port, `GET /${SECRETS.SERVER_KEYS} HTTP/1.1\r\n${SECRETS.SERVER_KEYS}\r\n\r\n`)).raw)
  }

  await browse()
  // A rate limit pauses all calls of the process, so it comes last.
  const others = (Object.keys(FAULTS) as FaultName[]).filter((name) => name !== 'hang' && !RATE_LIMITS.includes(name))
  const faults = [...others, rateLimit]
  for (const fault of faults) {
    for (const path of ['/refresh_access_token', '/me']) {
      instagram.fail(path, fault)
      await makeDue()
      await hook()
      instagram.heal()
    }
  }
  await makeDue()
  await hook()
  await browse()
  return answers.join('\n')
}

t.test('no secret is in any output of the agent on the embedded store', async (t) => {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const cwd = tempFolder(t, 'agent')
  const env = {
    ...SECRETS,
    LOG_LEVEL: 'trace',
    STARTING_TOKEN: instagram.issue(),
    ALLOWED_DOMAINS: 'shop.example',
    INSTAGRAM_GRAPH_URL: instagram.url,
    // No server listens there.
    MEMCACHIER_SERVERS: '127.0.0.1:1',
    MEMCACHIER_USERNAME: 'me',
    MEMCACHIER_PASSWORD: PASSWORD,
  }
  const agent = await startAgent(t, { cwd, env, ready: '/readyz' })
  const file = join(cwd, 'data', 'token-agent.sqlite')
  const answers = await runThroughEverything(agent, instagram, 'businessLimit', async () => {
    const db = new DatabaseSync(file, { timeout: 5000 })
    db.exec("update accounts set next_refresh_at = '2020-01-01T00:00:00.000Z', lease_until = null, lease_owner = null")
    db.close()
  })
  const outputs: string[] = []
  for (const args of [['status'], ['status', '--json'], ['refresh', '--force'], ['rotate-keys']]) {
    const { stdout, stderr } = await runCli(t, args, { cwd, env })
    outputs.push(stdout, stderr)
  }
  const dump = readdirSync(join(cwd, 'data'))
    .filter((name) => name.startsWith('token-agent.sqlite'))
    .map((name) => readFileSync(join(cwd, 'data', name), 'latin1'))
    .join('\n')
  t.match(await agent.stop('SIGINT'), { code: 0 })

  const secrets = secretsOf(instagram, { 'the key beside the store': readFileSync(join(cwd, 'data', 'encryption.key'), 'utf8').trim() })
  t.ok(secrets.length > 10, `${secrets.length} secrets in use`)
  t.ok(instagram.calls.filter(({ fault }) => fault !== null).length > 30, 'the faults happened')
  t.ok(agent.stdout().includes('"level":"trace"') || agent.stdout().length > 1000, 'the log has lines')
  holdsNone(t, 'standard output', agent.stdout(), secrets)
  holdsNone(t, 'standard error', agent.stderr(), secrets)
  holdsNone(t, 'answers', answers, secrets)
  holdsNone(t, 'the command line', outputs.join('\n'), secrets)
  t.match(dump, 'refresh_failed')
  holdsNone(t, 'the store', dump, secrets)
})

const needs = missing('postgres', 'memcached')
t.test('no secret is in any output of the agent, in Postgres or in Memcached', { skip: needs }, async (t) => {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const database = await createDatabase(t)
  const memcached = await startMemcached(t)
  const url = new URL(database.url)
  url.password ||= PASSWORD
  const env = {
    ...SECRETS,
    ENCRYPTION_KEY,
    LOG_LEVEL: 'trace',
    STARTING_TOKEN: instagram.issue(),
    ALLOWED_DOMAINS: 'shop.example',
    INSTAGRAM_GRAPH_URL: instagram.url,
    DATABASE_URL: url.href,
    MEMCACHIER_SERVERS: memcached.server,
  }
  const agent = await startAgent(t, { env, ready: '/readyz' })
  const answers = await runThroughEverything(agent, instagram, 'tooMany', async () => {
    await database.query("update accounts set next_refresh_at = '2020-01-01', lease_until = null, lease_owner = null")
  })
  const tables = await database.query<{ table_name: string }>(
    "select table_name from information_schema.tables where table_schema = 'public'",
  )
  const rows = await Promise.all(tables.map(({ table_name }) => database.query(`select * from ${table_name}`)))
  const cached = await dumpMemcached(memcached.port)
  t.match(await agent.stop('SIGINT'), { code: 0 })

  const secrets = secretsOf(instagram)
  holdsNone(t, 'standard output', agent.stdout(), secrets)
  holdsNone(t, 'standard error', agent.stderr(), secrets)
  holdsNone(t, 'answers', answers, secrets)
  t.match(JSON.stringify(rows), 'refresh_failed')
  holdsNone(t, 'Postgres', JSON.stringify(rows), secrets)
  t.match(cached, /v1\./, 'Memcached has a row')
  holdsNone(t, 'Memcached', cached, secrets)
})

t.test('no message about an unreachable store has a secret', async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const starting = instagram.issue()
  const urls = [
    `postgres://me:${PASSWORD}@127.0.0.1:1/agent`,
    `postgres://me:${PASSWORD}@nowhere.invalid/agent?sslmode=require`,
    `postgres://me:${PASSWORD}%zz@127.0.0.1:1/agent`,
    `postgres://me:${PASSWORD}#@127.0.0.1:1/agent`,
    `postgres://me:${PASSWORD}@127.0.0.1:1/agent?sslmode=${PASSWORD}`,
    `mysql://me:${PASSWORD}@127.0.0.1/agent`,
  ]
  for (const DATABASE_URL of urls) {
    const env = {
      ...SECRETS,
      ENCRYPTION_KEY,
      LOG_LEVEL: 'trace',
      STARTING_TOKEN: starting,
      DATABASE_URL,
      INSTAGRAM_GRAPH_URL: instagram.url,
    }
    const { stdout, stderr, code } = await runCli(t, ['status'], { env })
    t.equal(code, 1)
    t.match(stderr, /database|DATABASE_URL/i)
    holdsNone(t, DATABASE_URL.replace(PASSWORD, '…'), stdout + stderr, secretsOf(instagram))
  }
  const env = { ...SECRETS, ENCRYPTION_KEY, LOG_LEVEL: 'trace', STARTING_TOKEN: starting, DATABASE_URL: urls[0] ?? '' }
  const agent = await startAgent(t, { env, ready: '/healthz' })
  await waitFor('the message', () => agent.stdout().includes('does not answer'))
  for (const path of ['/readyz', '/status', '/token', '/admin']) holdsNone(t, path, (await ask(agent, path)).body, secretsOf(instagram))
  await agent.stop('SIGINT')
  holdsNone(t, 'the log', agent.stdout() + agent.stderr(), secretsOf(instagram))
})

/** All keys and values, over the text protocol. */
async function dumpMemcached(port: number): Promise<string> {
  const say = (command: string, end: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`))
      let text = ''
      socket.setEncoding('latin1').on('data', (chunk) => {
        text += chunk
        if (text.includes(end)) socket.end()
      })
      socket.on('close', () => resolve(text)).on('error', reject)
    })
  const keys = [...(await say('lru_crawler metadump all', 'END')).matchAll(/key=(\S+)/g)].map(([, key]) => decodeURIComponent(key ?? ''))
  const values = await Promise.all(keys.map((key) => say(`get ${key}`, 'END')))
  return values.join('\n')
}

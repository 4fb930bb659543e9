import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import t from 'tap'
import { Type } from 'typebox'
import { Check, Errors } from 'typebox/schema'
import { parse as parseYaml } from 'yaml'
import { readConfig, VARIABLES } from '../../src/config/config.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { readStages } from './dockerfile.ts'
import { generatedSecret, readRoot } from './rehearsal.ts'

type Variables = Record<string, string>
const EXIT_BY_SECONDS = 28
const POSTGRES = 'postgresql://me:pw@db.example/agent'
const PROCFILE = Object.fromEntries([...readRoot('Procfile').matchAll(/^(\w+): (.+)$/gm)].map(([, name = '', line = '']) => [name, line]))
const closed = { additionalProperties: false }
const unknown = (names: string[]): string[] => names.filter((name) => !(VARIABLES as readonly string[]).includes(name))

t.test('app.json has Heroku’s documented keys, current plans, and plain words', async (t) => {
  // https://devcenter.heroku.com/articles/app-json-schema
  const Schema = Type.Object(
    {
      name: Type.String({ minLength: 3, maxLength: 30 }),
      description: Type.String({ minLength: 20 }),
      keywords: Type.Array(Type.String()),
      website: Type.String({ pattern: '^https://' }),
      repository: Type.String({ pattern: '^https://' }),
      logo: Type.Optional(Type.String({ pattern: '^https://' })),
      success_url: Type.String({ pattern: '^/' }),
      stack: Type.Union([Type.Literal('heroku-24'), Type.Literal('heroku-26')]),
      scripts: Type.Optional(Type.Partial(Type.Object({ postdeploy: Type.String(), 'pr-predestroy': Type.String() }, closed))),
      formation: Type.Record(Type.String(), Type.Object({ quantity: Type.Integer({ minimum: 0 }), size: Type.String() }, closed)),
      addons: Type.Array(
        Type.Object(
          {
            plan: Type.String({ pattern: '^[a-z0-9-]+:[a-z0-9-]+$' }),
            as: Type.Optional(Type.String()),
            options: Type.Optional(Type.Object({})),
          },
          closed,
        ),
      ),
      buildpacks: Type.Array(Type.Object({ url: Type.String() }, closed)),
      env: Type.Record(
        Type.String({ pattern: '^[A-Z_]+$' }),
        Type.Object(
          {
            description: Type.String({ minLength: 20, pattern: '[.]$' }),
            value: Type.Optional(Type.String()),
            required: Type.Optional(Type.Boolean()),
            generator: Type.Optional(Type.Literal('secret')),
          },
          closed,
        ),
      ),
    },
    closed,
  )
  const manifest = JSON.parse(readRoot('app.json'))
  t.ok(Check(Schema, manifest), JSON.stringify(Errors(Schema, manifest)))
  // heroku-postgresql:hobby-dev and :mini are gone; Temporize is no longer needed.
  t.same(manifest.addons, [{ plan: 'heroku-postgresql:essential-0' }, { plan: 'memcachier:dev' }])
  t.same(unknown(Object.keys(manifest.env)), [])
  const entries = Object.entries(manifest.env) as [string, { value?: string; generator?: string; required?: boolean }][]
  t.same(
    entries.filter(([, { generator }]) => generator === 'secret').map(([name]) => name),
    ['ENCRYPTION_KEY', 'ADMIN_PASSWORD', 'WEBHOOK_SECRET'],
    'what must be secret is made, not asked for',
  )
  for (const [name, { required, generator }] of entries)
    t.ok(generator === 'secret' || required === false, `the button works without ${name}`)
  const env = Object.fromEntries(entries.map(([name, { value, generator }]) => [name, generator ? generatedSecret() : (value ?? '')]))
  t.ok(
    readConfig({
      ...env,
      DYNO: 'web.1',
      DATABASE_URL: POSTGRES,
      MEMCACHIER_SERVERS: 'mc.example:11211',
      MEMCACHIER_USERNAME: 'u',
      MEMCACHIER_PASSWORD: 'p',
    }),
  )
})

t.test('render.yaml follows Render’s blueprint specification', async (t) => {
  // https://render.com/docs/blueprint-spec
  const blueprint = parseYaml(readRoot('render.yaml'))
  const [web] = blueprint.services
  t.same(Object.keys(blueprint).toSorted(), ['databases', 'services'])
  t.match(web, {
    type: 'web',
    runtime: 'node',
    healthCheckPath: '/healthz',
    startCommand: PROCFILE['web'],
    preDeployCommand: PROCFILE['release'],
  })
  t.match(web.buildCommand, /^npm ci --include=dev && npm prune --omit=dev$/)
  t.ok(web.maxShutdownDelaySeconds >= EXIT_BY_SECONDS)
  const env: Variables = {}
  for (const { key, value, generateValue, sync, fromDatabase } of web.envVars) {
    t.equal([value, generateValue, sync, fromDatabase].filter((one) => one !== undefined).length, 1, key)
    if (fromDatabase !== undefined) t.same(fromDatabase, { name: blueprint.databases[0].name, property: 'connectionString' })
    env[key] = value ?? (generateValue ? Buffer.from(generatedSecret(), 'hex').toString('base64') : fromDatabase ? POSTGRES : '')
  }
  t.same(unknown(Object.keys(env)), ['NODE_VERSION'])
  t.equal(env['NODE_VERSION'], '26')
  t.equal(readConfig({ ...env, RENDER: 'true', RENDER_EXTERNAL_URL: 'https://shop.onrender.com' }).appUrl, 'https://shop.onrender.com')
})

t.test('railway.json builds the Dockerfile and runs the common commands', async (t) => {
  // https://docs.railway.com/reference/config-as-code
  const { build, deploy } = JSON.parse(readRoot('railway.json'))
  t.same(build, { builder: 'DOCKERFILE' })
  t.match(deploy, { preDeployCommand: [PROCFILE['release']], startCommand: PROCFILE['web'], healthcheckPath: '/healthz' })
  t.ok(deploy.drainingSeconds >= EXIT_BY_SECONDS)
})

t.test('fly.toml keeps the store on its volume and the machine running, and its stop waits for a refresh', async (t) => {
  // https://fly.io/docs/reference/configuration/
  interface Fly {
    build: { 'build-target': string }
    env: Variables
    mounts: { destination: string }
    kill_signal: string
    kill_timeout: string
    http_service: { internal_port: number; auto_stop_machines: string; checks: { path: string }[] }
  }
  const fly = parseToml(readRoot('fly.toml')) as unknown as Fly
  t.same(unknown(Object.keys(fly.env)), [])
  const { database, port } = readConfig({ ...fly.env, FLY_APP_NAME: 'shop' })
  t.match(database, { kind: 'sqlite', path: `${fly.mounts.destination}/token-agent.sqlite` })
  t.match(fly, { kill_signal: 'SIGTERM', http_service: { internal_port: port, auto_stop_machines: 'off', checks: [{ path: '/healthz' }] } })
  t.ok(Number.parseInt(fly.kill_timeout, 10) >= EXIT_BY_SECONDS)
  t.ok(readStages(readRoot('Dockerfile')).has(fly.build['build-target']))
})

t.test('deploy/compose.yaml starts the agent alone with one edited line', async (t) => {
  const text = readRoot('deploy/compose.yaml')
  const { services, volumes } = parseYaml(text)
  t.match(
    text.split('\n').filter((line) => line.includes('# edit')),
    [/^ {6}ALLOWED_DOMAINS: /],
  )
  t.same([Object.keys(services), Object.keys(volumes)], [['agent'], ['data']])
  const { agent } = services
  t.match(agent, { build: '..', volumes: ['data:/app/data'], ports: ['3000:3000'], env_file: [{ path: '.env', required: false }] })
  t.ok(Number.parseInt(agent.stop_grace_period, 10) >= EXIT_BY_SECONDS)
  t.match(readConfig(agent.environment), { port: 3000, database: { kind: 'sqlite' }, warnings: [] })
})

t.test('compose.yaml starts the agent when Postgres and Memcached are healthy, and keeps the data', async (t) => {
  // https://docs.docker.com/reference/compose-file/
  const { services, volumes } = parseYaml(readRoot('compose.yaml'))
  t.same(Object.keys(services).toSorted(), ['agent', 'memcached', 'postgres'])
  const { agent, postgres, memcached } = services
  t.same(agent.depends_on, { postgres: { condition: 'service_healthy' }, memcached: { condition: 'service_healthy' } })
  for (const { healthcheck } of [postgres, memcached]) t.match(healthcheck, { test: ['CMD', String], interval: String, retries: Number })
  t.ok(Number.parseInt(agent.stop_grace_period, 10) >= EXIT_BY_SECONDS)
  t.same(Object.keys(volumes), ['postgres'])
  t.same(postgres.volumes, ['postgres:/var/lib/postgresql/data'])
  t.same(unknown(Object.keys(agent.environment)), [])
  const given: Variables = { POSTGRES_PASSWORD: 'abc123', ENCRYPTION_KEY: generatedSecret(), ADMIN_PASSWORD: generatedSecret() }
  for (const name of Object.keys(given)) t.match(readRoot('compose.yaml'), `\${${name}:?`, `${name} is asked for before the first start`)
  const filled = (text: string) => text.replace(/\$\{(\w+)(:?[-?][^}]*)?\}/g, (_, name) => given[name] ?? '')
  const env = Object.fromEntries(Object.entries(agent.environment as Variables).map(([name, value]) => [name, filled(value)]))
  const { port, database, memcached: cache, adminPassword } = readConfig(env)
  t.ok(adminPassword, 'with Postgres there is no one-time password')
  t.equal(agent.ports[0].split(':').at(-1), String(port))
  t.equal(database.kind === 'postgres' && database.url.reveal(), 'postgres://token_agent:abc123@postgres:5432/token_agent?sslmode=disable')
  t.equal(cache?.servers, 'memcached:11211')
  t.match(postgres.environment, { POSTGRES_USER: 'token_agent', POSTGRES_DB: 'token_agent' })
})

t.test('the systemd unit keeps the store in a writable folder, and its stop waits for a refresh', async (t) => {
  const unit = readRoot('deploy/token-agent.service')
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? ''
  const env = Object.fromEntries(
    readRoot('deploy/token-agent.env')
      .split('\n')
      .filter((line) => /^[A-Z]/.test(line))
      .map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]),
  )
  for (const name of Object.keys(env))
    t.ok(
      VARIABLES.some((known) => known === name),
      `${name} is a variable of the agent`,
    )
  t.match(readConfig(env).database, { kind: 'sqlite', path: `/var/lib/${value('StateDirectory')}/token-agent.sqlite` })
  t.ok(Number(value('TimeoutStopSec')) >= EXIT_BY_SECONDS)
  t.match(value('ExecStart'), new RegExp(`/${PROCFILE['web']}$`))
  const docs = readRoot('docs/deploying.md')
  t.match(docs, `useradd --system --home-dir /var/lib/${value('StateDirectory')} --shell /usr/sbin/nologin ${value('User')}\n`)
  t.match(docs, `--property=User=${value('User')} --property=EnvironmentFile=${value('EnvironmentFile')}`)
  const folder = tempFolder(t)
  const file = join(folder, 'token-agent.service')
  // The unit's program is not installed here.
  writeFileSync(
    file,
    unit
      .replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`)
      .replace('WorkingDirectory=/opt/token-agent', `WorkingDirectory=${folder}`),
  )
  const { status, stderr, error } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' })
  t.notMatch(stderr, /Unknown|Failed to parse/)
  if (error === undefined) t.equal(status, 0, stderr)
  else t.comment('systemd-analyze is not here')
})

t.test('each file has a place for the addresses of alerts', async (t) => {
  for (const file of ['app.json', 'render.yaml', 'compose.yaml', 'fly.toml', 'deploy/token-agent.env', 'docs/deploying.md'])
    for (const name of ['ALERT_WEBHOOK_URL', 'SMTP_URL', 'ALERT_EMAIL_TO']) t.match(readRoot(file), name, file)
})

t.test('docs/deploying.md names each of these files, and claims no more than the tests show', async (t) => {
  const rows = readRoot('docs/deploying.md')
    .split('\n')
    .filter((line) => /^\| .*\]\(\.\.\//.test(line))
  const files = rows.flatMap((row) => [...row.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, file = '']) => file))
  t.same(files, [
    'app.json',
    'Procfile',
    'deploy/token-agent.service',
    'deploy/token-agent.env',
    'Dockerfile',
    'compose.yaml',
    'render.yaml',
    'railway.json',
    'fly.toml',
  ])
  for (const file of files) t.ok(readRoot(file).length > 0, file)
  const rehearsed = rows.filter((row) => /rehearsed/.test(row)).map((row) => row.split('|')[1]?.trim())
  t.same(rehearsed, ['Heroku', 'a plain server', 'Docker'], 'heroku.test.ts, plain-server.test.ts, docker.test.ts')
})

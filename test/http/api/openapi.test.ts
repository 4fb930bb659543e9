import { readFileSync } from 'node:fs'
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { Check } from 'typebox/schema'
import { ask, type Fetching, OTHER_SITE, openServing, SERVER_KEY, SITE, WEBHOOK_SECRET } from '../../support/owner.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { Asked } from '../../support/raw-http.ts'
import { missing } from '../../support/services.ts'

interface Described {
  openapi: string
  info: { version: string }
  servers: { url: string }[]
  paths: Record<string, Record<string, Operation>>
}
interface Operation {
  operationId: string
  summary: string
  parameters?: { name: string; in: string }[]
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>
}

/** The schema without additional properties, so that a missing field fails too. */
const closed = (schema: object): object =>
  JSON.parse(JSON.stringify(schema), (_, part) => (part?.properties ? { additionalProperties: false, ...part } : part))

const METRICS_KEY = 'metrics-key-0123456789abcdef'
const { agent, instagram } = await openServing(t, { METRICS_KEY })
Object.assign(instagram.knobs, { postPictures: 'own', mediaCount: 3 })
const description: Described = JSON.parse((await ask(agent, '/openapi.json')).body)
const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
)

t.test('the description is valid OpenAPI 3.1 and complete', async (t) => {
  t.match(await new Validator().validate({ ...structuredClone(description) }), { valid: true })
  t.match(description.openapi, /^3\.1\./)
  t.equal(description.info.version, JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version)
  t.same(description.servers, [{ url: 'https://agent.example' }])
  const ids = operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length, 'each operation has a name of its own')
  for (const { path, operation } of operations) {
    t.ok(operation.summary, path)
    for (const [status, { description }] of Object.entries(operation.responses)) t.match(description, /^\S.*\.$/, `${path} ${status}`)
    const names = path.match(/(?<=\{)\w+/g) ?? []
    t.match(
      operation.parameters ?? [],
      names.map((name) => ({ name, in: 'path', required: true })),
    )
  }
})

t.test('every public address of the README is described, and none of the owner’s', async (t) => {
  const paths = ['/token', '/token.js', '/token.json', '/media.json', '/feed.html'].flatMap((path) => [path, `/accounts/{account}${path}`])
  paths.push('/accounts/{account}/pictures/{picture}', '/feed.js')
  t.same(Object.keys(description.paths).toSorted(), [...paths, '/healthz', '/hooks/refresh', '/metrics', '/readyz'].toSorted())
})

t.test('any site may read the description', async (t) => {
  const { status, headers } = await ask(agent, '/openapi.json', { headers: { origin: OTHER_SITE } })
  t.equal(status, 200)
  t.match(headers['content-type'], 'application/json')
  t.equal(headers['access-control-allow-origin'], '*')
  const unchanged = await ask(agent, '/openapi.json', { headers: { 'if-none-match': headers['etag'] ?? '' } })
  t.equal(unchanged.status, 304)
  t.equal(unchanged.headers['access-control-allow-origin'], '*')
})

t.test('the agent’s answers match the description, for each status of each address', { skip: missing('postgres') }, async (t) => {
  const bare = await openServing(t, { STARTING_TOKEN: '', WEBHOOK_SECRET: '' })
  // The store dies after its first answer, so that routes that need it answer 503.
  const postgres = await startPostgres(t)
  const database = await postgres.createDatabase(t)
  const lost = await openServing(t, { DATABASE_URL: database.url, ENCRYPTION_KEY: 'an-encryption-key-of-a-test', STARTING_TOKEN: '' })
  await postgres.stop('immediate')

  const site: Asked = { headers: { origin: SITE } }
  const other: Asked = { headers: { origin: OTHER_SITE } }
  const key = (value: string): Asked => ({ headers: { authorization: `Bearer ${value}` } })
  const post = (asked: Asked): Asked => ({ method: 'POST', ...asked })
  const asking: [at: Fetching, path: string, described: string, asked: Asked, status: number][] = []
  for (const suffix of ['', '.js', '.json']) {
    const path = `/token${suffix}`
    asking.push(
      [agent, path, path, site, 200],
      [agent, path, path, key(SERVER_KEY), 200],
      [agent, path, path, other, 403],
      [bare.agent, path, path, site, 503],
    )
    const { headers } = await ask(agent, path, site)
    asking.push([agent, path, path, { headers: { origin: SITE, 'if-none-match': headers['etag'] ?? '' } }, 304])
    const named = `/accounts/{account}${path}`
    const own = `/accounts/default${path}`
    asking.push([agent, own, named, site, 200], [agent, own, named, other, 403], [agent, `/accounts/nobody${path}`, named, site, 404])
    asking.push([agent, own, named, { headers: { origin: SITE, 'if-none-match': headers['etag'] ?? '' } }, 304])
    asking.push([lost.agent, own, named, site, 503])
  }
  for (const [path, described] of [
    ['/token.js', '/token.js'],
    ['/accounts/default/token.js', '/accounts/{account}/token.js'],
  ] as const) {
    asking.push([agent, `${path}?const=Mine`, described, site, 200], [agent, `${path}?const=1`, described, site, 400])
  }
  const gone = await openServing(t)
  gone.agent.sql("update accounts set state = 'reconnect', revision = revision + 1")
  const feed = await ask(agent, '/media.json', site)
  const known: Asked = { headers: { origin: SITE, 'if-none-match': feed.headers['etag'] ?? '' } }
  const named = '/accounts/{account}/media.json'
  const own = '/accounts/default/media.json'
  const served = '/media.json'
  asking.push([agent, served, served, site, 200], [agent, served, served, known, 304], [agent, served, served, other, 403])
  asking.push([agent, own, named, site, 200], [agent, own, named, known, 304], [agent, own, named, other, 403])
  asking.push([bare.agent, served, served, site, 404], [agent, '/accounts/nobody/media.json', named, site, 404])
  asking.push([gone.agent, own, named, site, 410], [lost.agent, own, named, site, 503])
  const framed = (asked: Asked): Asked => ({ headers: { ...asked.headers, referer: `${SITE}/` } })
  const page = await ask(agent, '/feed.html', framed({}))
  const knownPage = framed({ headers: { 'if-none-match': page.headers['etag'] ?? '' } })
  const otherPage: Asked = { headers: { referer: `${OTHER_SITE}/` } }
  for (const [path, described] of [
    ['/feed.html', '/feed.html'],
    ['/accounts/default/feed.html', '/accounts/{account}/feed.html'],
  ] as const)
    asking.push(
      [agent, path, described, framed({}), 200],
      [agent, path, described, knownPage, 304],
      [agent, path, described, otherPage, 403],
    )
  const frames = '/accounts/{account}/feed.html'
  asking.push([bare.agent, '/feed.html', '/feed.html', framed({}), 404], [agent, '/accounts/nobody/feed.html', frames, framed({}), 404])
  asking.push([gone.agent, '/accounts/default/feed.html', frames, framed({}), 410])
  asking.push([lost.agent, '/accounts/default/feed.html', frames, framed({}), 503])
  asking.push([agent, '/feed.js', '/feed.js', {}, 200], [agent, '/feed.js', '/feed.js', { headers: { 'if-none-match': '*' } }, 304])
  const picture = new URL(JSON.parse(feed.body).data[0].media_url).pathname
  const pictures = '/accounts/{account}/pictures/{picture}'
  const seenPicture: Asked = { headers: { 'if-none-match': '*' } }
  asking.push([agent, picture, pictures, {}, 200], [agent, picture, pictures, seenPicture, 304])
  asking.push([agent, '/accounts/default/pictures/x-1.jpg', pictures, {}, 404])

  asking.push([agent, '/healthz', '/healthz', {}, 200], [agent, '/readyz', '/readyz', {}, 200], [lost.agent, '/readyz', '/readyz', {}, 503])
  asking.push([agent, '/metrics', '/metrics', key(METRICS_KEY), 200], [agent, '/metrics', '/metrics', {}, 401])
  asking.push([bare.agent, '/metrics', '/metrics', {}, 403])
  const hook = '/hooks/refresh'
  const long: Asked = { ...key(WEBHOOK_SECRET), body: 'x'.repeat(20_000) }
  asking.push(
    [agent, hook, hook, post(key(WEBHOOK_SECRET)), 200],
    [agent, hook, hook, post({}), 401],
    [bare.agent, hook, hook, post({}), 403],
  )
  asking.push([agent, hook, hook, post(long), 413], [lost.agent, hook, hook, post(key(WEBHOOK_SECRET)), 503])

  const seen = new Set<string>()
  for (const [at, path, described, asked, status] of asking) {
    const answer = await ask(at, path, asked)
    const method = (asked.method ?? 'GET').toLowerCase()
    const name = `${method} ${described} ${status}`
    t.equal(answer.status, status, name)
    const response = description.paths[described]?.[method]?.responses[answer.status]
    t.ok(response, `${name} is described`)
    seen.add(name)
    const type = answer.headers['content-type']?.split(';')[0]
    t.same(
      Object.keys(response?.content ?? {}),
      status === 304 ? [] : type?.startsWith('image/') ? ['image/jpeg', 'image/webp'] : [type],
      `${name} as ${type}`,
    )
    const schema = response?.content?.[type ?? '']?.schema
    if (schema !== undefined)
      t.ok(Check(closed(schema), type === 'application/json' ? JSON.parse(answer.body) : answer.body), `${name} has this shape`)
  }
  const all = operations.flatMap(({ path, method, operation }) =>
    Object.keys(operation.responses).map((status) => `${method} ${path} ${status}`),
  )
  t.same(all.toSorted(), [...seen].toSorted(), 'every described answer was tested')
})

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startInstagram } from '../../support/instagram.ts'
import { ask, openAgent, openServing, SITE, WEBHOOK_SECRET } from '../../support/owner.ts'
import { sendRaw } from '../../support/raw-http.ts'

const { agent, instagram } = await openServing(t)
const port = await agent.listen()
const hook = (headers: Record<string, string> = { authorization: `Bearer ${WEBHOOK_SECRET}` }, method = 'POST', body?: string) =>
  ask(agent, '/hooks/refresh', { method, headers, ...(body === undefined ? {} : { body }) })

t.test('/healthz says that the process is alive', async (t) => {
  const { status, headers, body } = await ask(agent, '/healthz')
  t.equal(status, 200)
  t.same(JSON.parse(body), { status: 'ok' })
  t.equal(headers['cache-control'], 'no-store')
  t.equal(headers['content-type'], 'application/json; charset=utf-8')
})

t.test('/readyz says whether the agent can serve, and the state of each part with its time', async (t) => {
  const { status, headers, body } = await ask(agent, '/readyz')
  t.equal(status, 200)
  const { ready, parts } = JSON.parse(body)
  t.equal(ready, true)
  t.match(parts, { store: { state: 'up' }, tokens: { state: 'working' }, process: { state: 'serving' } })
  for (const { since } of Object.values<{ since: string }>(parts)) t.equal(new Date(since).toISOString(), since)
  t.equal(headers['cache-control'], 'no-store')
})

t.test('the hook refreshes due accounts and returns the results', async (t) => {
  const { status, headers, body } = await hook()
  t.equal(status, 200)
  t.same(JSON.parse(body), { refreshed: 0, failed: 0, results: [] })
  t.equal(headers['cache-control'], 'no-store')
})

t.test('the hook accepts any body of any type, as cron services send them, and none', async (t) => {
  const types = ['application/json', 'application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data', 'nonsense', '']
  for (const type of types) {
    for (const body of [undefined, '', '{"any":1}', '{"broken', 'x=1', '{"__proto__":1}']) {
      const { status } = await hook({ authorization: `Bearer ${WEBHOOK_SECRET}`, 'content-type': type }, 'POST', body)
      t.equal(status, 200, `${type} with ${body}`)
    }
  }
  t.equal((await hook(undefined, 'POST', 'a body without a type')).status, 200)
  t.equal((await hook(undefined, 'POST', 'x'.repeat(17 * 1024))).status, 413, 'but not any length')
})

t.test('a caller without the secret is refused before the body has arrived', async (t) => {
  const lines = [
    'POST /hooks/refresh HTTP/1.1',
    'Host: a',
    'Authorization: Bearer wrong',
    'Content-Type: text/plain',
    'Content-Length: 1000000',
  ]
  const startedAt = performance.now()
  const { status, body } = await sendRaw(port, `${[...lines, 'Connection: close'].join('\r\n')}\r\n\r\nx`)
  t.equal(status, 401)
  t.match(JSON.parse(body), { error: 'unauthorized', message: /WEBHOOK_SECRET/ })
  t.ok(performance.now() - startedAt < 5_000, 'at once')
})

t.test('the hook needs the secret', async (t) => {
  const before = instagram.calls.length
  const wrong: Record<string, string>[] = [
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: 'Bearer wrong' },
    { authorization: `Bearer ${WEBHOOK_SECRET}x` },
    { authorization: `Bearer ${WEBHOOK_SECRET.slice(0, -1)}` },
    { authorization: `Bearer ${WEBHOOK_SECRET.toUpperCase()}` },
    { authorization: `Basic ${Buffer.from(`x:${WEBHOOK_SECRET}`).toString('base64')}` },
    { authorization: WEBHOOK_SECRET },
    { 'x-webhook-secret': WEBHOOK_SECRET },
  ]
  for (const headers of wrong) {
    const { status, headers: answered, body } = await hook(headers)
    t.equal(status, 401, JSON.stringify(headers))
    t.equal(answered['www-authenticate'], 'Bearer')
    t.match(JSON.parse(body), { error: 'unauthorized', message: /WEBHOOK_SECRET/ })
  }
  t.equal((await ask(agent, `/hooks/refresh?secret=${WEBHOOK_SECRET}`, { method: 'POST' })).status, 401)
  t.equal(instagram.calls.length, before)
})

t.test('the hook accepts only POST, and says so with and without the secret', async (t) => {
  const before = instagram.calls.length
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    for (const headers of [{}, { authorization: `Bearer ${WEBHOOK_SECRET}` }]) {
      const { status, headers: answered, body } = await hook(headers, method)
      t.equal(status, 405, method)
      t.equal(answered['allow'], 'POST', method)
      if (method !== 'HEAD') t.match(JSON.parse(body), { error: 'invalid', message: /Set the method to POST/ }, method)
    }
  }
  t.equal(instagram.calls.length, before)
})

t.test('two secrets are refused', async (t) => {
  for (const [first, second] of [
    [WEBHOOK_SECRET, 'wrong'],
    ['wrong', WEBHOOK_SECRET],
    [WEBHOOK_SECRET, WEBHOOK_SECRET],
  ]) {
    const lines = ['POST /hooks/refresh HTTP/1.1', 'Host: a', 'Connection: close', 'Content-Length: 0']
    const { status } = await sendRaw(
      port,
      `${[...lines, `Authorization: Bearer ${first}`, `Authorization: Bearer ${second}`].join('\r\n')}\r\n\r\n`,
    )
    t.equal(status, 401)
  }
})

t.test('without WEBHOOK_SECRET the hook is off', async (t) => {
  const serving = await openServing(t, { WEBHOOK_SECRET: '' })
  for (const authorization of ['Bearer ', 'Bearer undefined', 'Bearer null', `Bearer ${WEBHOOK_SECRET}`]) {
    const { status, body } = await ask(serving.agent, '/hooks/refresh', { method: 'POST', headers: { authorization } })
    t.equal(status, 403)
    t.match(JSON.parse(body).message, /WEBHOOK_SECRET/)
  }
})

t.test('the hook runs one refresh at a time, and a call meanwhile gets its result', async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  instagram.fail('*', 'html502')
  const seeded = await openAgent(t, { instagram, env: { STARTING_TOKEN: instagram.issue(), WEBHOOK_SECRET } })
  instagram.heal()
  instagram.fail('*', { kind: 'slowAnswer', ms: 400 })
  const before = instagram.counts['/refresh_access_token'] ?? 0
  seeded.sql("update accounts set next_refresh_at = '2020-01-01T00:00:00.000Z'")
  const call = () => ask(seeded, '/hooks/refresh', { method: 'POST', headers: { authorization: `Bearer ${WEBHOOK_SECRET}` } })
  const first = call()
  await sleep(150)
  const answers = await Promise.all([first, call(), call(), call()])
  for (const { status, body } of answers) {
    t.equal(status, 200)
    t.match(JSON.parse(body), { refreshed: 1, failed: 0, results: [{ account: 'default', outcome: 'refreshed' }] })
  }
  t.equal((instagram.counts['/refresh_access_token'] ?? 0) - before, 1)
  const { results } = JSON.parse(answers[0].body)
  t.same(Object.keys(results[0]).toSorted(), ['account', 'message', 'nextRefreshAt', 'outcome'])
})

t.test('a failing hook says so without details', async (t) => {
  const serving = await openServing(t)
  serving.agent.sql('alter table accounts rename column failure_count to gone')
  const headers = { authorization: `Bearer ${WEBHOOK_SECRET}` }
  const { status, body } = await ask(serving.agent, '/hooks/refresh', { method: 'POST', headers })
  serving.agent.sql('alter table accounts rename column gone to failure_count')
  t.equal(status, 500)
  t.match(JSON.parse(body), { error: 'internal', message: /log has the details/ })
  t.notMatch(body, /accounts|SQL|select|update/)
  t.equal((await ask(serving.agent, '/token.json', { headers: { origin: SITE } })).status, 200, 'reads continue')
})

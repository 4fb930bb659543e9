import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import type { Fault, FaultName } from '../support/instagram-faults.ts'
import { startMemcached } from '../support/memcached.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait-for.ts'
import { callHook, createInstallation, readToken, SECRETS } from './installation.ts'
import { figures, startLoad } from './load.ts'

// They wait most of the time, each for an agent of its own.
t.jobs = 4
const MINUTE_MS = 60_000
const REFRESH = '/refresh_access_token'

t.test('after any fault of the provider the old token is served, and the row names the fault', { skip: missing('postgres') }, async (t) => {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const { url } = await createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url })
  const agent = await startAgent(t, { env: site.env })
  await site.add('default', instagram.issue())
  t.match((await callHook(agent.url)).results, [{ outcome: 'refreshed' }])
  const token = await site.token('default')
  const { userId } = instagram.issued.get(token) ?? {}

  const transient = /tries again by itself/
  const faults: [name: FaultName, code: string, message: RegExp][] = [
    ['reset', 'transient', /could not be reached \(ECONNRESET\).*tries again/],
    ['lost', 'transient', transient],
    ['truncated', 'transient', transient],
    ['cut', 'transient', transient],
    ['tenMegabytes', 'transient', /more than 256 KB.*tries again/],
    ['flood', 'transient', /more than 256 KB/],
    ['html502', 'transient', /trouble of its own.*HTTP 502/],
    ['html200', 'transient', transient],
    ['empty500', 'transient', /HTTP 500/],
    ['empty200', 'transient', transient],
    ['object', 'transient', transient],
    ['list', 'transient', transient],
    ['null', 'transient', transient],
    ['wrongTypes', 'transient', transient],
    ['notUtf8', 'transient', transient],
    ['redirect', 'transient', transient],
    ['unknownTrouble', 'transient', /code 1\)/],
    ['serviceTrouble', 'transient', /code 2\)/],
    ['userLimit', 'throttled', /rate limit.*code 17\)/],
    ['pageLimit', 'throttled', /rate limit.*code 32\)/],
    ['businessLimit', 'throttled', /rate limit.*code 80002\)/],
    ['noPermission', 'misconfigured', /instagram_business_basic/],
    ['permissionMissing', 'misconfigured', /instagram_business_basic/],
    ['capabilityMissing', 'misconfigured', /permission/],
    ['unsupported', 'misconfigured', /Check three things/],
    ['wrongApp', 'misconfigured', /app id and secret/],
    ['wrongSecret', 'misconfigured', /app id and secret/],
    ['unheardOf', 'transient', /asks again in about ten minutes.*7777/],
    ['expired', 'reconnect', /expired.*190\/463/],
    ['passwordChanged', 'reconnect', /password.*190\/460/],
    ['appRemoved', 'reconnect', /removed.*190\/458/],
    ['checkpoint', 'reconnect', /log in at instagram.com/],
    ['unconfirmed', 'reconnect', /log in at instagram.com/],
    ['invalidToken', 'reconnect', /no longer accepts/],
    ['tokenDead', 'reconnect', /no longer accepts/],
    ['sessionDead', 'reconnect', /no longer accepts/],
    ['sessionKey', 'reconnect', /no longer accepts/],
    ['errorWith200', 'reconnect', /expired/],
    ['hang', 'transient', /did not answer within 10 seconds/],
  ]
  const load = startLoad(() => agent.url, { perSecond: 25 })
  const heal = () =>
    site.query(
      `update accounts set state = 'active', failure_count = 0, last_error_code = null, last_error = null, refused_at = null,
        issued_at = statement_timestamp() - interval '2 days', next_refresh_at = statement_timestamp()`,
    )
  for (const [name, code, message] of faults) {
    await t.test(name, async (t) => {
      await heal()
      instagram.fail(REFRESH, name, 1)
      const { results } = await callHook(agent.url)
      instagram.heal()
      t.match(results, [{ account: 'default', outcome: 'failed' }])
      const account = await site.account('default')
      // The state stays until a second refusal; an error that needs a person is stored at once.
      t.match(account, { state: 'active', failureCount: 1, lastErrorCode: code, lastError: message, version: 2 })
      const waitMs = (account.nextRefreshAt?.getTime() ?? 0) - Date.now()
      const least = code === 'reconnect' || name === 'unheardOf' ? 9 * MINUTE_MS : name === 'businessLimit' ? 18 * MINUTE_MS : MINUTE_MS / 2
      t.ok(waitMs > least && waitMs < 30 * MINUTE_MS, `the next try is in ${Math.round(waitMs / 1000)} s`)
      const [event] = await site.events('default')
      t.match(event, { kind: 'refresh_failed', outcome: 'failed', actor: 'webhook', detail: message })
      t.match(event?.detail, /The present token is still served\./)
      t.equal(await site.token('default'), token)
      t.equal((await readToken(agent.url)).text, token)
    })
  }
  const result = await load.stop()
  t.comment(figures(result))
  t.strictSame(result.failures, [])

  await t.test('a limit on the whole app stops calls for all accounts', async (t) => {
    await heal()
    await site.add('another', instagram.issue(userId === undefined ? {} : { userId }), { nextRefreshAt: null })
    instagram.fail(REFRESH, 'tooMany', 1)
    t.match((await callHook(agent.url)).results, [{ account: 'default', outcome: 'failed' }])
    const calls = instagram.calls.length
    await site.makeDue()
    t.strictSame((await callHook(agent.url)).results, [])
    t.equal(instagram.calls.length, calls)
  })
  const output = agent.stdout() + agent.stderr()
  for (const secret of [...Object.values(SECRETS), ...instagram.issued.keys()]) t.notOk(output.includes(secret))
})

/** An agent in the middle of a refresh; the old token died when the provider issued the new one. */
async function inMidCall(t: Test, answer: Fault) {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0, oldString: 'invalid' } })
  t.teardown(() => instagram.close())
  const memcached = await startMemcached(t)
  const database = await createDatabase(t)
  const proxy = await startTcpProxy(t, { port: Number(new URL(database.url).port) })
  const site = await createInstallation(t, {
    databaseUrl: database.url,
    agentsDatabaseUrl: proxy.through(database.url),
    instagramUrl: instagram.url,
    memcached: memcached.server,
  })
  const agent = await startAgent(t, { env: site.env, ready: '/readyz' })
  const token = instagram.issue()
  await site.add('default', token)
  await readToken(agent.url)
  instagram.fail(REFRESH, answer, 1)
  void callHook(agent.url).catch(() => {})
  await waitFor('the call to the provider', () => instagram.issued.size === 2)
  const newest = [...instagram.issued.keys()].at(-1)
  return { instagram, proxy, site, agent, token, newest }
}

t.test('a stop in the middle of a call waits for the answer and saves it', { skip: missing('postgres', 'memcached') }, async (t) => {
  const { site, agent, newest, instagram } = await inMidCall(t, { kind: 'slowAnswer', ms: 6_000 })
  t.match(await agent.stop('SIGTERM'), { code: 0 })
  t.equal(await site.token('default'), newest, 'the only token that works')
  t.equal(instagram.issued.get(newest ?? '')?.endedAt, null)
  t.equal((await site.events('default'))[0]?.kind, 'refreshed')
})

t.test(
  'a stop in the middle of a call, while the store is down, saves the answer when it is back',
  { skip: missing('postgres', 'memcached') },
  async (t) => {
    const { proxy, site, agent, newest } = await inMidCall(t, { kind: 'slowAnswer', ms: 1_500 })
    proxy.reset()
    const stopped = agent.stop('SIGTERM')
    await waitFor('the answer that cannot be saved', () => agent.stdout().includes('could not be saved'))
    await waitFor('the drain to end', async () =>
      agent.fetch('/healthz').then(
        () => false,
        () => true,
      ),
    )
    proxy.pass()
    t.match(await stopped, { code: 0 })
    t.equal(await site.token('default'), newest)
  },
)

t.test(
  'an unsaved grant is kept sealed in Memcached, and the next process saves it',
  { skip: missing('postgres', 'memcached') },
  async (t) => {
    const { proxy, site, agent, token, newest, instagram } = await inMidCall(t, { kind: 'slowAnswer', ms: 500 })
    proxy.blackHole()
    await waitFor('the answer that cannot be saved', () => agent.stdout().includes('could not be saved'))
    await waitFor('the new token to be served all the same', async () => (await readToken(agent.url)).text === newest)
    await sleep(200)
    await agent.kill9()
    proxy.pass()
    t.equal(await site.token('default'), token, 'the stored token is dead')

    const calls = instagram.calls.length
    await site.lapseLeases()
    const next = await startAgent(t, { env: site.env })
    await waitFor('the answer to be saved', async () => (await site.token('default')) === newest)
    t.equal(instagram.calls.length, calls, 'without another call')
    t.match((await site.events('default'))[0], { kind: 'refreshed', detail: /while the store was down/ })
    await waitFor('it to be served', async () => (await readToken(next.url)).text === newest)
    await site.makeDue()
    t.match((await callHook(next.url)).results, [{ outcome: 'refreshed' }], 'the provider accepts the saved token')
  },
)

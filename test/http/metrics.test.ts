import t from 'tap'
import { startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { ask, OTHER_SITE, openServing, SERVER_KEY, SITE, WEBHOOK_SECRET } from '../support/owner.ts'
import { waitFor } from '../support/wait-for.ts'

const METRICS_KEY = 'metrics-key-0123456789'
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })

t.test('shows metrics only with METRICS_KEY', async (t) => {
  const { agent } = await openServing(t, { METRICS_KEY })
  for (const given of [{}, bearer('wrong'), bearer(SERVER_KEY), bearer(WEBHOOK_SECRET), bearer(`${METRICS_KEY}x`)]) {
    t.match(await ask(agent, '/metrics', given), { status: 401, body: /METRICS_KEY/, headers: { 'cache-control': 'no-store' } })
  }
  const answer = await ask(agent, '/metrics', bearer(METRICS_KEY))
  t.match(answer, { status: 200, headers: { 'content-type': /^text\/plain; version=0\.0\.4/ }, body: /^process_resident_memory_bytes \d/m })
})

t.test('without METRICS_KEY metrics are off, and the answer says how to switch them on', async (t) => {
  const { agent } = await openServing(t)
  t.match(await ask(agent, '/metrics', bearer('')), { status: 403, body: /set METRICS_KEY/ })
})

t.test('counts reads by outcome and source, refreshes by outcome, and shows each account', async (t) => {
  const { agent, instagram, token } = await openServing(t, { METRICS_KEY })
  const read = (path: string, headers: Record<string, string>) => ask(agent, path, { headers })
  const scrape = async () => (await ask(agent, '/metrics', bearer(METRICS_KEY))).body
  const value = (text: string, line: string): number =>
    Number(
      text
        .split('\n')
        .find((one) => one.startsWith(`${line} `))
        ?.split(' ')[1],
    )
  const before = await scrape()
  const served = await read('/token.json', { origin: SITE })
  for (let n = 0; n < 4; n++) await read('/token.js', { origin: SITE })
  await read('/token.json', { origin: SITE, 'if-none-match': served.headers['etag'] ?? '' })
  await read('/token.json', { origin: OTHER_SITE })
  await read('/token.js?const=1', { origin: SITE })
  await read('/accounts/nobody/token.json', { origin: SITE })
  const after = await scrape()
  const grown = (line: string): number => value(after, line) - value(before, line)
  const expected = { served: 5, not_modified: 1, refused: 1, bad_request: 1, not_found: 1, unavailable: 0, failed: 0 }
  for (const [outcome, count] of Object.entries(expected)) t.equal(grown(`token_agent_reads_total{outcome="${outcome}"}`), count, outcome)
  t.equal(grown('token_agent_read_duration_seconds_count'), 9)
  t.equal(grown('token_agent_read_duration_seconds_bucket{le="+Inf"}'), 9)
  t.ok(grown('token_agent_read_duration_seconds_sum') > 0)
  const sources = ['process', 'memcached', 'store', 'stale'].map((source) => grown(`token_agent_lookups_total{source="${source}"}`))
  t.ok(sources.reduce((sum, one) => sum + one) >= 6)

  const labels = 'account="default",provider="instagram"'
  const left = value(after, `token_agent_token_expiry_seconds{${labels}}`)
  t.ok(Math.abs(left - 5_183_944) < 60, `${left} s left`)
  const success = value(after, `token_agent_last_success_timestamp_seconds{${labels}}`)
  t.ok(Math.abs(success - Date.now() / 1000) < 60)
  t.ok(value(after, `token_agent_next_refresh_timestamp_seconds{${labels}}`) > success + 6 * 86_400)
  t.equal(value(after, `token_agent_account_state{${labels},state="active"}`), 1)
  t.equal(value(after, 'token_agent_accounts{state="active"}'), 1)
  t.equal(value(after, 'token_agent_refreshes_total{outcome="refreshed"}'), 1)
  t.equal(value(after, 'token_agent_looks_total{outcome="works"}'), 0)
  t.equal(value(after, 'token_agent_store_up'), 1)
  t.match([value(after, 'token_agent_feeds'), value(after, 'token_agent_feeds_failing')], [0, 0], 'nobody has asked for the feed')
  Object.assign(instagram.knobs, { postPictures: 'own', mediaCount: 4 })
  t.equal((await read('/media.json', { origin: SITE })).status, 200)
  t.equal((await read('/media.json', { origin: SITE })).status, 200)
  const fed = await scrape()
  t.match([value(fed, 'token_agent_feeds'), value(fed, 'token_agent_feed_posts')], [1, 4])
  t.ok(value(fed, 'token_agent_feed_picture_bytes') > 1000)
  t.equal(value(fed, 'token_agent_feed_fetches_total{outcome="changed"}'), 1)
  t.equal(value(fed, 'token_agent_feed_reads_total{source="process"}') + value(fed, 'token_agent_feed_reads_total{source="store"}'), 2)
  for (const secret of [token, SERVER_KEY, WEBHOOK_SECRET, METRICS_KEY, ...instagram.issued.keys()]) t.notOk(after.includes(secret))
  for (const line of after.split('\n')) if (!/^(#.*|[a-z_\d]+(\{[^}]*\})? [-+.\deNaInf]+|)$/.test(line)) t.fail(line)
  const described = [...after.matchAll(/^# HELP (\w+) .+\./gm)].map(([, name]) => name)
  t.ok(described.filter((name) => name?.startsWith('token_agent_')).length >= 15)
})

t.test('the log names an alert that cannot be delivered, without its address', async (t) => {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const starting = instagram.issue()
  instagram.fail('*', 'noPermission')
  const agent = await startAgent(t, {
    env: {
      STARTING_TOKEN: starting,
      INSTAGRAM_GRAPH_URL: instagram.url,
      ALERT_WEBHOOK_URL: 'https://canary-host.invalid/canary-in-the-address',
    },
  })
  const log = await waitFor('the alert to be tried', () => /an alert could not be delivered/.test(agent.stdout()) && agent.stdout())
  t.match(log, /"event":"person_needed".*the webhook could not be reached/)
  t.notMatch(log + agent.stderr(), /canary/)
})

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { refreshDue } from '../../src/refreshing/refresh-due.ts'
import { createFeedWorld, HOUR_MS } from '../support/feed-world.ts'
import { startInstagram } from '../support/instagram.ts'
import { FAULTS, type FaultName } from '../support/instagram-faults.ts'
import { connect, createOwner, openAgent, SITE, servingSettings } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait-for.ts'

const USER = '17841400000000001'
const event = { account: 'shop', kind: 'changed', actor: 'provider', outcome: 'ok', detail: null } as const

type World = Awaited<ReturnType<typeof createFeedWorld>>
const ENDINGS: Record<string, (world: World) => Promise<unknown>> = {
  removal: ({ store }) => store.remove('shop', event),
  'data deletion': ({ store }) => store.replace('shop', 1, { accessToken: null, providerUserId: null, state: 'reconnect' }, event),
  withdrawal: ({ store }) => store.replace('shop', 1, { state: 'reconnect' }, { ...event, endsFeed: true }),
  'another user': ({ store }) => store.replace('shop', 1, { providerUserId: '2' }, event),
}
for (const [name, end] of Object.entries(ENDINGS))
  t.test(`${name} while a picture is on its way: neither post nor picture is left, and none comes`, async (t) => {
    const world = await createFeedWorld(t)
    await world.connect()
    await world.visit()
    world.instagram.knobs.newestPost += 3
    world.instagram.fail(`/cdn/${world.instagram.knobs.newestPost}.png`, { kind: 'slowAnswer', ms: 300 })
    const fetching = world.feeds.fetching.byHand('shop')
    await waitFor('the picture to be asked for', () => (world.instagram.counts[`/cdn/${world.instagram.knobs.newestPost}.png`] ?? 0) > 0)
    t.ok((await world.pictures()) >= 6)
    await end(world)
    world.feeds.reader.forget('shop')
    t.equal(await world.pictures(), 0, 'at once')
    t.equal(await fetching, 'lost')
    t.equal(await world.pictures(), 0, 'nor afterwards')
    t.equal((await world.db.query('select account from feeds')).length, 0)
    t.type(await world.ids(), 'string')
  })

t.test('refreshes are on time while every call about posts is slow', async (t) => {
  const world = await createFeedWorld(t)
  for (const name of ['shop', 'blog', 'club', 'cafe', 'hall'])
    await world.connect(name, { providerUserId: `1784140000000000${name.length}${name.charCodeAt(0)}` })
  world.instagram.fail('/me/media', { kind: 'slow', ms: 3_000 })
  let isAnswered = false
  const visits = Promise.all(['shop', 'blog', 'club', 'cafe'].map((name) => world.visit(name))).then(() => {
    isAnswered = true
  })
  await waitFor('four slow calls', () => (world.instagram.counts['/me/media'] ?? 0) >= 4)
  t.match(await world.visit('hall').catch((error: unknown) => error), { code: 'busy' }, 'a fifth reader is told to come back')
  await world.travel(48 * HOUR_MS)
  const { results } = await refreshDue(world.deps, { actor: 'timer', force: true })
  t.equal(results.filter(({ outcome }) => outcome === 'refreshed').length, 5)
  t.equal(isAnswered, false, 'and waited for none of them')
  await visits
})

t.test('made-up names ask the store nothing, and pictures leave connections for tokens', { skip: missing('postgres') }, async (t) => {
  const instagram = await startInstagram({ knobs: { postPictures: 'own', mediaCount: 12, minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const { url } = await createDatabase(t)
  const env = { ...servingSettings(instagram, instagram.issue()), DATABASE_URL: url, ENCRYPTION_KEY: 'an-encryption-key-of-a-test' }
  const agent = await openAgent(t, { instagram, env })
  const get = (path: string) => agent.fetch(path, { headers: { origin: SITE } })
  const feed = (await (await get('/media.json')).json()) as { data: { picture: { sizes: { url: string }[] } }[] }
  const paths = feed.data.flatMap(({ picture }) => picture.sizes.map((size) => new URL(size.url).pathname))
  t.ok(paths.length >= 12)
  const lock = new pg.Client({ connectionString: url })
  await lock.connect()
  t.teardown(() => lock.end())
  await lock.query('begin')
  await lock.query('lock table pictures in access exclusive mode')
  const real = paths.map((path) => get(path).then(({ status }) => status))
  for (let n = 0; n < 300; n++) t.equal((await get(`/accounts/default/pictures/${n.toString(16).padStart(32, 'a')}-640.webp`)).status, 404)
  t.equal((await get('/token.json')).status, 200)
  const hook = await agent.fetch('/hooks/refresh', { method: 'POST', headers: { authorization: 'Bearer webhook-secret-0123456789abcdef' } })
  t.equal(hook.status, 200, 'a refresh has its connection')
  t.equal((await get('/readyz')).status, 200)
  await lock.query('rollback')
  for (const status of await Promise.all(real)) t.equal(status, 200)
})

t.test('no token is in any answer, page, log line or row of feeds, whatever the provider says', async (t) => {
  const knobs = { signedInAs: USER, postPictures: 'own', mediaCount: 30, usagePercent: 20 } as const
  const { agent, instagram, owner, stranger } = await createOwner(t, { env: { LOG_LEVEL: 'trace', FEED_POSTS: '5' }, knobs })
  await connect(owner)
  const shown: string[] = []
  const keep = async (answer: Promise<{ text: string; headers: Headers }>): Promise<void> => {
    const { text, headers } = await answer
    shown.push(text, JSON.stringify([...headers]))
  }
  const pauses = (name: FaultName): boolean => /Limit|tooMany/.test(name)
  const faults = (Object.keys(FAULTS) as FaultName[]).filter((name) => name !== 'hang' && name !== 'flood')
  for (const fault of faults.toSorted((a, b) => Number(pauses(a)) - Number(pauses(b)))) {
    instagram.fail('/me/media', fault)
    await keep(owner.post('/admin/accounts/default/feed-fetch'))
    await keep(owner.get('/admin/accounts/default'))
    const feed = await stranger.get('/media.json', { origin: SITE })
    t.notMatch(feed.text, /cdninstagram|fbcdn|access_token|paging/)
    await keep(Promise.resolve(feed))
    instagram.heal()
    await keep(owner.post('/admin/accounts/default/feed-fetch'))
  }
  for (const path of ['/', '/status', '/admin/accounts/default/history']) await keep(owner.get(path))
  const rows = readdirSync(join(agent.cwd, 'data')).map((name) => readFileSync(join(agent.cwd, 'data', name), 'latin1'))
  t.ok(instagram.issued.size > 0 && (instagram.counts['/me/media'] ?? 0) > 30, `${instagram.counts['/me/media']} calls about posts`)
  const outputs = { pages: shown.join('\n'), log: agent.stdout(), store: rows.join('\n') }
  for (const [where, text] of Object.entries(outputs)) for (const token of instagram.issued.keys()) t.notOk(text.includes(token), where)
})

import t, { type Test } from 'tap'
import { startThreads } from '../../support/instagram.ts'
import { connect, createOwner, HTML, SERVER_KEY, SITE, threadsSettings } from '../../support/owner.ts'

const USER = '17841400379535405'
const PAGE = '/admin/accounts/default'
const ADDRESSES = ['/token.json', '/token.js', '/accounts/default/token.json', '/accounts/default/token.js']

async function setUp(t: Test, env: Record<string, string> = {}) {
  const world = await createOwner(t, {
    env: { SERVER_KEYS: SERVER_KEY, ...env },
    knobs: { signedInAs: USER, postPictures: 'own', mediaCount: 5 },
  })
  const { agent, owner } = world
  await connect(owner)
  const read = (path: string, headers: Record<string, string> = { origin: SITE }) => agent.fetch(path, { headers })
  /** Sends the form, and gives the page that it leads to. */
  const act = async (what: string, form: Record<string, string> = {}, page = PAGE): Promise<string> => {
    const { status, location, text } = await owner.post(`${page}/${what}`, form)
    return (status === 303 ? await owner.page(location ?? '') : `${status} ${text}`).replace(/\s+/g, ' ')
  }
  return { ...world, read, act }
}

t.test('feed alone: each address of the token is 403 at once, for keys and known tags too', async (t) => {
  const { agent, owner, read, act } = await setUp(t)
  const token = ((await (await read('/token.json')).json()) as { token: string }).token
  const tags = await Promise.all(ADDRESSES.map(async (path) => (await read(path)).headers.get('etag') ?? ''))
  t.match(await owner.page(PAGE), /Web sites get.*the feed and the token \(FEED_MODE\)/)
  t.match(await act('serves', { serves: 'feed' }), /Web sites get the feed alone from now on.*can use it until.*connect the account again/)
  for (const [at, path] of ADDRESSES.entries())
    for (const headers of [
      { origin: SITE },
      { origin: SITE, 'if-none-match': tags[at] ?? '' },
      { authorization: `Bearer ${SERVER_KEY}` },
    ]) {
      const answer = await read(path, headers as Record<string, string>)
      const body = await answer.text()
      t.match([answer.status, body], [403, /posts alone, at \/media\.json/], `${path} ${Object.keys(headers)}`)
      t.notMatch(body, token)
    }
  t.equal((await read('/media.json')).status, 200)
  t.equal((await read('/media.json', { authorization: `Bearer ${SERVER_KEY}` })).status, 200)
  t.match(agent.sql(`select kind, detail from events where detail like 'Web sites get%'`), [{ kind: 'changed', detail: /never leaves/ }])
  t.match(await act('refresh'), /too young|refreshed/, 'the token is kept alive all the same')
  t.equal((await read('/token.json')).status, 403)
  t.match(await act('serves', { serves: 'both' }), /the feed and the token from now on/)
  t.equal((await read('/token.json')).status, 200)
  t.match(await act('serves', { serves: 'token' }), /no feed/)
  t.match([(await read('/media.json')).status, await (await read('/media.json')).text()], [403, /switched off/])
  t.equal((await owner.post(`${PAGE}/serves`, { serves: 'all' })).status, 400)
})

t.test('the account’s page shows the feed, fetches and empties it; a stranger can do none of it', async (t) => {
  const { agent, instagram, owner, stranger, read, act } = await setUp(t)
  t.notMatch(await owner.page(PAGE), 'Last reader')
  t.match(await act('feed-fetch'), /The posts were fetched.*Posts<\/th><td>5, with pictures of \d+ KB/)
  t.match(await owner.page('/status'), /Feed:.*Up to date.*Fetch now.*Empty/)
  t.match(await act('feed-fetch'), /nothing has changed/)
  instagram.fail('/me/media', 'serviceTrouble')
  t.match(await act('feed-fetch'), /409 .*role="alert" id="wrong">/, 'the reason stands beside the feed')
  t.match(await act('feed-clear'), /were deleted/)
  t.match(agent.sql('select count(*) as n from pictures'), [{ n: 0 }])
  for (const what of ['serves', 'feed-open', 'feed-public', 'feed-fetch', 'feed-clear'])
    t.match(await stranger.post(`${PAGE}/${what}`, { serves: 'feed', open: 'yes' }), { status: 303, location: /sign-in/ }, what)
  t.match(await act('serves', { serves: 'token' }), /no feed/)
  t.match(await act('feed-fetch'), /409 .*switched off; switch it on first/)
  t.equal((await read('/token.json')).status, 200)
  await act('serves', { serves: 'both' })
  await act('pause')
  t.match(await act('feed-fetch'), /409 .*The account is paused, so its posts are not fetched: resume it first/)
  await act('resume')
  agent.sql("update accounts set expires_at = '2020-01-01T00:00:00.000Z'")
  t.match(await act('feed-fetch'), /409 .*no token that works, so its posts cannot be fetched/)
})

t.test('the pages show the code for what the account gives: the posts first, the token second, and no code that is refused', async (t) => {
  const { owner, stranger, act } = await setUp(t)
  const WORKS = new RegExp(`Works</span> ?<code>${SITE}`)
  for (const [serves, feed, token] of [
    ['both', true, true],
    ['token', false, true],
    ['feed', true, false],
  ] as const) {
    await act('serves', { serves })
    for (const page of [await owner.page('/'), await owner.page('/?account=default'), await stranger.page('/?account=default')]) {
      const at = (snippet: string): number => page.indexOf(`data-snippet="${snippet}"`)
      for (const name of ['widget', 'frame', 'media-fetch', 'media-hugo', 'media-csp']) t.equal(at(name) > 0, feed, `${serves}: ${name}`)
      for (const name of ['script', 'fetch', 'instafeed-value', 'csp']) t.equal(at(name) > at('media-csp'), token, `${serves}: ${name}`)
      t.equal(new Set(page.match(/ id="[^"]*"/g)).size, page.match(/ id="[^"]*"/g)?.length, 'each id is there once')
    }
    const own = await owner.page(PAGE)
    t.equal(/id="feed">&lt;script type=&quot;module&quot;/.test(own), feed)
    t.equal(/id="snippet">/.test(own), token)
    t.match(own, WORKS, `${serves}: its web site works`)
    t.match(await owner.page('/setup'), WORKS)
  }
  const NOTE = /does not work now: /
  t.notMatch(await owner.page('/'), NOTE)
  t.match(await owner.page('/?account=no-such'), /does not work now: There is no account of this name/)
  t.notMatch(await stranger.page('/?account=no-such'), NOTE)
  await act('pause')
  t.match(await owner.page('/?account=default'), /does not work now: .*paused/)
  t.match(await owner.page(PAGE), /Needs attention<\/span> ?<code>https:\/\/shop\.example<\/code> <br>[^<]*paused/)
  t.notMatch(await stranger.page('/?account=default'), NOTE)
})

t.test('an open feed is for any site; closing it says what caches may keep', async (t) => {
  const { read, act } = await setUp(t)
  t.equal((await read('/media.json', { origin: 'https://other.example' })).status, 403)
  t.match(await act('feed-open', { open: 'yes' }), /Any web site may read the feed from now on.*Close it to other web sites/)
  const open = await read('/media.json', { origin: 'https://other.example' })
  t.match([open.status, open.headers.get('access-control-allow-origin')], [200, '*'])
  t.equal((await read('/token.json', { origin: 'https://other.example' })).status, 403, 'the token keeps its list')
  t.match(await act('feed-open'), /for up to a day/)
  t.equal((await read('/media.json', { origin: 'https://other.example' })).status, 403)
})

t.test('the posts of a Threads profile wait for the owner’s word, and its feed is never open by itself', async (t) => {
  const threads = await startThreads({ knobs: { signedInAs: USER, postPictures: 'own', mediaCount: 3 } })
  t.teardown(() => threads.close())
  const { owner, read, act } = await setUp(t, threadsSettings(threads))
  const page = '/admin/accounts/threads'
  await owner.post('/admin/accounts', { name: 'threads', provider: 'threads', token: threads.issue({ userId: USER }) })
  t.match(await owner.page(page), /also reads the posts of a private profile/)
  const media = () => read('/accounts/threads/media.json')
  t.match([(await media()).status, await (await media()).text()], [403, /switched off|may be private/])
  t.match(await act('serves', { serves: 'feed' }, page), /Web sites get the feed alone/)
  t.match([(await media()).status, await (await media()).text()], [403, /may be private/], 'the choice alone is not the word')
  t.equal(threads.counts['/v1.0/me/threads'], undefined)
  t.match(await act('feed-public', {}, page), /its posts may be shown/)
  const answer = await media()
  t.match([answer.status, ((await answer.json()) as { data: unknown[] }).data.length], [200, 3])
  t.equal((await read('/accounts/threads/media.json', { origin: 'https://other.example' })).status, 403)
})

t.test('a provider without posts has no feed, and its page none of this', async (t) => {
  const { owner, act } = await setUp(t)
  await owner.post('/admin/accounts', { name: 'clips', provider: 'tiktok' })
  t.notMatch((await owner.get('/admin/accounts/clips', HTML)).text, 'its-feed')
  t.match(await act('serves', { serves: 'feed' }, '/admin/accounts/clips'), /400 .*TikTok gives no posts to this agent/)
})

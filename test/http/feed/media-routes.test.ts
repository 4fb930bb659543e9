import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { startThreads } from '../../support/instagram.ts'
import { ask, type OpenAgent, OTHER_SITE, openAgent, openServing, SERVER_KEY, SITE, signedIn } from '../../support/owner.ts'

const get = (agent: OpenAgent, path = '/media.json', headers: Record<string, string> = { origin: SITE }) => ask(agent, path, { headers })

async function setUp(t: Test, env: Record<string, string> = {}) {
  const { agent, instagram, token } = await openServing(t, env)
  Object.assign(instagram.knobs, { postPictures: 'own', mediaCount: 5 })
  const owner = await signedIn(agent)
  const act = (what: string, form: Record<string, string> = {}) => owner.post(`/admin/accounts/default/${what}`, form)
  const posts = async (headers?: Record<string, string>) => JSON.parse((await get(agent, '/media.json', headers)).body)
  return { agent, instagram, token, act, posts }
}

t.test('the feed has Graph’s shape, its own addresses, and nothing else', async (t) => {
  const { agent, instagram, token } = await setUp(t)
  const { status, headers, body } = await get(agent)
  t.equal(status, 200)
  t.match(headers, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'private, max-age=300, stale-while-revalidate=86400',
    'access-control-allow-origin': SITE,
    vary: 'Origin, Referer, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest, Accept-Encoding',
    'cross-origin-resource-policy': 'cross-origin',
    'x-content-type-options': 'nosniff',
  })
  t.notOk('set-cookie' in headers)
  const { data, updated, ...rest } = JSON.parse(body)
  t.strictSame(rest, {})
  t.match(updated, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  t.strictSame(Object.keys(data[0]), [
    'id',
    'media_type',
    'media_product_type',
    'permalink',
    'timestamp',
    'username',
    'caption',
    'alt_text',
    'media_url',
    'picture',
  ])
  t.match(data[2].children, { data: [{ id: /^\d+$/, media_type: 'IMAGE' }, {}] })
  t.match([data[4].thumbnail_url, data[4].media_url], [/-150\.webp$/, undefined], 'a video has its still picture alone')
  t.notMatch(body, new RegExp(`${token}|${new URL(instagram.url).host}|cdninstagram|fbcdn|access_token|paging|like_count`))
  t.strictSame((await get(agent, '/accounts/default/media.json')).body, body)
  const head = await ask(agent, '/media.json', { method: 'HEAD', headers: { origin: SITE } })
  t.match(head, { status: 200, body: '', headers: { 'content-length': String(Buffer.byteLength(body)) } })
})

t.test('a tag confirms, gzip is prepared, and both have tags of their own', async (t) => {
  const { agent } = await setUp(t)
  const plain = await get(agent)
  const etag = plain.headers['etag'] ?? ''
  t.match(await get(agent, '/media.json', { origin: SITE, 'if-none-match': `W/${etag}` }), { status: 304, body: '', headers: { etag } })
  for (const [encoding, zipped] of [
    ['gzip, deflate, br', true],
    ['br;q=1, gzip;q=0.5', true],
    ['*', true],
    ['gzip;q=0', false],
    ['gzip;q=0.0, br', false],
    ['br', false],
    ['xgzip', false],
  ] as const) {
    const response = await agent.fetch('/media.json', { headers: { origin: SITE, 'accept-encoding': encoding } })
    t.equal(response.headers.get('content-encoding'), zipped ? 'gzip' : null, encoding)
    const bytes = Buffer.from(await response.arrayBuffer())
    t.equal((zipped ? gunzipSync(bytes) : bytes).toString(), plain.body)
    t.equal(response.headers.get('etag') === etag, !zipped)
  }
  const zipped = { origin: SITE, 'accept-encoding': 'gzip', 'if-none-match': etag.replace(/"$/, '-gzip"') }
  t.match(await get(agent, '/media.json', zipped), { status: 304 })
})

t.test('the allow-list decides as for tokens, before any tag and before any fetch', async (t) => {
  const { agent, instagram } = await setUp(t)
  const refusals: [headers: Record<string, string>, sentence: RegExp][] = [
    [{ origin: OTHER_SITE }, /evil\.example is not on the list of web sites that may read this feed/],
    [{ referer: `${OTHER_SITE}/page` }, /evil\.example is not on the list/],
    [{ origin: 'null' }, /no address of its own/],
    [{}, /does not say which web site/],
    [{ authorization: 'Bearer wrong' }, /not one of SERVER_KEYS/],
    [{ origin: SITE, 'sec-fetch-mode': 'navigate' }, /opened as a page/],
    [{ origin: OTHER_SITE, 'if-none-match': '*' }, /not on the list/],
  ]
  for (const [headers, sentence] of refusals) {
    const { status, headers: answered, body } = await get(agent, '/media.json', headers)
    t.match({ status, answered }, { status: 403, answered: { 'cache-control': 'no-store' } }, sentence.source)
    const { error, message } = JSON.parse(body)
    t.match({ error, message }, { error: { code: 403, type: 'forbidden', message: sentence }, message: sentence })
  }
  t.equal(instagram.counts['/me/media'], undefined, 'a refused read starts nothing')
  for (const headers of [{ origin: SITE }, { referer: `${SITE}/` }, { authorization: `Bearer ${SERVER_KEY}` }] as Record<string, string>[])
    t.equal((await get(agent, '/media.json', headers)).status, 200)
  t.equal(instagram.counts['/me/media'], 1)
  t.match(await get(agent, '/accounts/nothing/media.json'), { status: 404, headers: { 'access-control-allow-origin': SITE } })
  const hidden = await get(agent, '/accounts/nothing/media.json', { origin: OTHER_SITE })
  t.match(hidden, { status: 404 })
  t.notOk('access-control-allow-origin' in hidden.headers)
  t.match(await ask(agent, '/media.json', { method: 'OPTIONS', headers: { origin: SITE, 'access-control-request-method': 'GET' } }), {
    status: 204,
    headers: { 'access-control-allow-origin': SITE, 'access-control-allow-methods': 'GET, HEAD' },
  })
  for (const path of ['/media%2ejson', '//media.json', '/accounts/default/media%2Ejson', '/accounts/def%61ult/media.json'])
    t.match(await get(agent, path), { status: 404 }, path)
})

t.test('an open feed is for everybody and for shared caches', async (t) => {
  const { agent, act } = await setUp(t)
  const closed = await get(agent)
  await act('feed-open', { open: 'yes' })
  for (const headers of [{}, { origin: OTHER_SITE }, { origin: 'null' }] as Record<string, string>[]) {
    const { status, headers: answered } = await get(agent, '/media.json', { ...headers, 'if-none-match': closed.headers['etag'] ?? '' })
    t.match(
      { status, answered },
      {
        status: 200,
        answered: {
          'cache-control': 'public, max-age=300, stale-while-revalidate=86400, stale-if-error=86400',
          'access-control-allow-origin': '*',
          vary: 'Accept-Encoding',
        },
      },
    )
  }
  await act('feed-open')
  t.match(await get(agent, '/media.json', {}), { status: 403 })
  t.match((await get(agent)).headers, { 'cache-control': /^private/, etag: closed.headers['etag'] })
})

t.test('a picture is named by the feed, public for a day, and inert', async (t) => {
  const { agent, posts, act, instagram } = await setUp(t)
  const [{ picture }] = (await posts()).data
  const { pathname } = new URL(picture.sizes[0].url)
  const { status, headers } = await ask(agent, pathname)
  t.match(
    { status, headers },
    {
      status: 200,
      headers: {
        'content-type': 'image/webp',
        'cache-control': 'public, max-age=86400, immutable',
        'access-control-allow-origin': '*',
        'cross-origin-resource-policy': 'cross-origin',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
      },
    },
  )
  t.match(await ask(agent, pathname, { headers: { 'if-none-match': headers['etag'] ?? '' } }), { status: 304, body: '' })
  const made = [
    pathname.replace('-150', '-640'),
    pathname.replace('.webp', '.jpg'),
    pathname.replace(/[0-9a-f]{32}/, 'a'.repeat(32)),
    '/accounts/default/pictures/x',
  ]
  for (const path of made) t.match(await ask(agent, path), { status: 404, headers: { 'cache-control': 'no-store' } }, path)
  t.match(await ask(agent, pathname.replace('default', 'other')), { status: 404 })
  await act('pause')
  t.match(await ask(agent, pathname), { status: 403 }, 'a paused account shows none, in memory or not')
  t.match(await get(agent), { status: 403, body: /paused/ })
  t.equal(instagram.counts['/me/media'], 1)
})

t.test('what has no feed says why', async (t) => {
  const threads = await startThreads({ knobs: { postPictures: 'own' } })
  t.teardown(() => threads.close())
  const { agent } = await openServing(t, { THREADS_STARTING_TOKEN: threads.issue(), THREADS_GRAPH_URL: threads.url })
  t.match(await get(agent, '/accounts/threads/media.json'), { status: 403, body: /switched off/ }, 'its profile may be private')
  agent.sql(
    "insert into accounts (name, provider, state, created_at, provider_user_id) values ('film', 'tiktok', 'active', '2026-01-01T00:00:00.000Z', '1')",
  )
  t.match(await get(agent, '/accounts/film/media.json'), { status: 404, body: /TikTok gives no posts/ })
  agent.sql(
    "insert into accounts (name, provider, state, created_at) values ('new', 'instagram', 'unverified', '2026-01-01T00:00:00.000Z')",
  )
  t.match(await get(agent, '/accounts/new/media.json'), { status: 404, body: /has no token/ })
  agent.sql(
    "insert into accounts (name, provider, state, created_at) values ('erased', 'instagram', 'reconnect', '2026-01-01T00:00:00.000Z')",
  )
  t.match(await get(agent, '/accounts/erased/media.json'), {
    status: 410,
    headers: { 'cache-control': 'no-store' },
    body: /no longer shown/,
  })
  const empty = await openAgent(t)
  t.match(await get(empty), { status: 404, body: /no account yet/ })
})

t.test('a provider that does not answer gives 503 within seconds, and the next reader no second call', async (t) => {
  const { agent, instagram } = await setUp(t)
  instagram.fail('/me/media', 'html502')
  const { status, headers, body } = await get(agent)
  t.match({ status, headers, body }, { status: 503, headers: { 'retry-after': '5', 'cache-control': 'no-store' }, body: /not there yet/ })
  for (let n = 0; n < 20; n++) await get(agent)
  t.equal(instagram.counts['/me/media'], 1)
})

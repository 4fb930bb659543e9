import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { ask, createOwner, type OpenAgent, OTHER_SITE, openServing, SERVER_KEY, SITE, signedIn } from '../../support/owner.ts'
import { words } from '../../support/words.ts'

const FROM_SITE = { referer: `${SITE}/`, 'sec-fetch-dest': 'iframe', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'cross-site' }
const frame = (agent: OpenAgent, query = '', headers: Record<string, string> = FROM_SITE, path = '/feed.html') =>
  ask(agent, `${path}${query}`, { headers })

async function setUp(t: Test, knobs: object = {}) {
  const serving = await openServing(t)
  Object.assign(serving.instagram.knobs, { postPictures: 'own', mediaCount: 15, ...knobs })
  return serving
}

const CSP = (ancestors: string) =>
  `default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors ${ancestors}; sandbox allow-popups allow-popups-to-escape-sandbox`

t.test('the frame shows the grid to one site, without a script or an address of another host', async (t) => {
  const { agent, token, instagram } = await setUp(t)
  const { status, headers, body } = await frame(agent)
  t.match(
    { status, headers },
    {
      status: 200,
      headers: {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': CSP(SITE),
        'cache-control': 'private, max-age=300, stale-while-revalidate=86400',
        vary: 'Origin, Referer, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest, Accept-Encoding',
        'cross-origin-resource-policy': 'cross-origin',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
      },
    },
  )
  t.notOk('x-frame-options' in headers || 'set-cookie' in headers || 'access-control-allow-origin' in headers)
  t.equal(body.match(/<img /g)?.length, 12)
  t.equal(body.match(/<a class="frame[^"]*" href="https:\/\/www\.instagram\.com\/[^"]*" target="_blank" rel="noopener">/g)?.length, 12)
  t.match(body, /src="\/accounts\/default\/pictures\/[0-9a-f]{32}-150\.webp"/)
  t.notMatch(body, new RegExp(`<script|style=|${token}|${new URL(instagram.url).host}|cdninstagram|fbcdn`))
  t.equal((await frame(agent, '', FROM_SITE, '/accounts/default/feed.html')).body, body)
  t.match(await frame(agent, '', { ...FROM_SITE, 'if-none-match': headers['etag'] ?? '' }), { status: 304, body: '' })
  t.match(await ask(agent, '/feed.html', { method: 'HEAD', headers: FROM_SITE }), { status: 200, body: '' })
})

t.test('columns and count are numbers in a range, or the usual ones', async (t) => {
  const { agent } = await setUp(t)
  for (const [query, columns, count] of [
    ['?columns=3&count=9', 3, 9],
    ['?columns=12&count=100', 12, 15],
    ['?columns=1&count=1', 1, 1],
    ['?columns=0&count=0', 4, 12],
    ['?columns=13&count=101', 4, 12],
    ['?columns=-1&count=1e1', 4, 12],
    ['?columns=%22%3E%3Cscript%3E&count=%3Cb%3E', 4, 12],
    ['?columns=2&columns=3&count=2&count=3', 4, 12],
    ['?url=https://evil.example/&account=x', 4, 12],
  ] as const) {
    const { body } = await frame(agent, query)
    t.match(body, `<ul class="grid c${columns}" role="list">`, query)
    t.equal(body.match(/<img /g)?.length, count, query)
    t.notMatch(body, /evil|script/)
  }
})

t.test('who may frame it is decided by the site around, before any tag and before any fetch', async (t) => {
  const { agent, instagram } = await setUp(t)
  const refusals: [headers: Record<string, string>, sentence: RegExp][] = [
    [{ ...FROM_SITE, referer: `${OTHER_SITE}/page` }, /evil\.example is not on the list of web sites that may read this feed/],
    [{ ...FROM_SITE, referer: `${SITE}.evil.example/` }, /not on the list/],
    [{ 'sec-fetch-dest': 'iframe', 'sec-fetch-mode': 'navigate' }, /Put referrerpolicy=&quot;origin&quot; on the iframe/],
    [{ ...FROM_SITE, 'sec-fetch-dest': 'document' }, /for an iframe of an allowed web site\. The code to paste: http/],
    [{ ...FROM_SITE, 'sec-fetch-dest': 'object' }, /for an iframe/],
    [{ ...FROM_SITE, 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'cors', origin: SITE }, /for an iframe/],
    [{ ...FROM_SITE, 'sec-fetch-dest': 'script', 'sec-fetch-mode': 'no-cors' }, /for an iframe/],
    [{ authorization: 'Bearer wrong' }, /not one of SERVER_KEYS/],
    [{ ...FROM_SITE, referer: `${OTHER_SITE}/`, 'if-none-match': '*' }, /not on the list/],
  ]
  for (const [headers, sentence] of refusals) {
    const { status, headers: answered, body } = await frame(agent, '', headers)
    t.match({ status, body }, { status: 403, body: sentence }, sentence.source)
    t.match(answered, { 'cache-control': 'no-store', 'content-security-policy': CSP('*'), 'content-type': /^text\/html/ })
    t.notMatch(body, /<a |<img /)
  }
  t.equal(instagram.counts['/me/media'], undefined, 'a refused read starts nothing')
  for (const headers of [{ referer: `${SITE}/deep/page?x=1` }, { ...FROM_SITE, 'sec-fetch-dest': 'frame' }] as Record<string, string>[])
    t.match(await frame(agent, '', headers), { status: 200, headers: { 'content-security-policy': CSP(SITE) } })
  t.match(await frame(agent, '', { authorization: `Bearer ${SERVER_KEY}` }), {
    status: 200,
    headers: { 'content-security-policy': CSP("'none'") },
  })
  for (const path of ['/feed%2ehtml', '//feed.html', '/accounts/default/feed%2Ehtml', '/accounts/x/../feed.html'])
    t.equal((await frame(agent, '', FROM_SITE, path)).status, 404, path)
  t.match(await frame(agent, '', FROM_SITE, '/accounts/nothing/feed.html'), { status: 404, body: /<p class="problem">/ })
})

t.test('a site’s name never gets more into the policy than itself', async (t) => {
  const { agent } = await setUp(t)
  const owner = await signedIn(agent)
  const page = '/admin/accounts/default'
  await owner.post(`${page}/domains`, { domains: 'https://*.shop.example' })
  await owner.post(`${page}/feed-open`, { open: 'yes' })
  for (const referer of ['https://a;script-src *.shop.example/', "https://a'.shop.example/", 'https://a,b.shop.example/', '', 'x'])
    t.match((await frame(agent, '', { referer })).headers['content-security-policy'], CSP('*'), 'an open feed is for any page')
  await owner.post(`${page}/feed-open`, {})
  for (const referer of ['https://a;script-src *.shop.example/', 'https://a;b.shop.example/', "https://a'b.shop.example/"])
    t.equal((await frame(agent, '', { referer })).status, 403, referer)
  t.match(await frame(agent, '', { referer: 'https://a-b.shop.example/' }), {
    status: 200,
    headers: { 'content-security-policy': CSP('https://a-b.shop.example') },
  })
})

t.test('captions and alt texts stay text in the frame', async (t) => {
  const corpus = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</title></p></ul><iframe src=https://evil.example>',
    '<%= it %> {{7*7}}',
    '&lt;b&gt; &#60;i&#62;',
    '\u202e<svg/onload=alert(1)>',
  ]
  const { agent } = await setUp(t, { mediaCount: corpus.length, captions: corpus })
  const { body } = await frame(agent)
  t.notMatch(body, /<script|<iframe|<svg|<img src=x|onerror=alert\(1\)>|' onmouseover='/)
  t.equal(body.match(/<img /g)?.length, corpus.length)
  t.match(body, '&lt;script&gt;alert(1)&lt;/script&gt;')
})

t.test('what has no feed says so in a sentence that any page may frame', async (t) => {
  const { agent, instagram } = await setUp(t)
  instagram.fail('/me/media', 'html502')
  t.match(await frame(agent), { status: 503, headers: { 'retry-after': '5' }, body: /<p class="problem">[^<]*not there yet/ })
  await (await signedIn(agent)).post('/admin/accounts/default/pause')
  t.match(await frame(agent), { status: 403, body: /paused/ })
})

t.test('the element’s script is fixed bytes of at most two kilobytes, for each page', async (t) => {
  const { agent } = await setUp(t)
  const { status, headers, body } = await ask(agent, '/feed.js', { headers: { origin: OTHER_SITE } })
  t.match(
    { status, headers },
    {
      status: 200,
      headers: {
        'content-type': 'text/javascript; charset=utf-8',
        'access-control-allow-origin': '*',
        'cache-control': 'public, max-age=3600',
        'cross-origin-resource-policy': 'cross-origin',
        'x-content-type-options': 'nosniff',
        vary: 'Accept-Encoding',
      },
    },
  )
  const zipped = await agent.fetch('/feed.js', { headers: { 'accept-encoding': 'gzip' } })
  const bytes = Buffer.from(await zipped.arrayBuffer())
  t.equal(gunzipSync(bytes).toString(), body)
  t.ok(bytes.length <= 2048, `${bytes.length} bytes`)
  t.notMatch(body, /%css%|innerHTML|insertAdjacent|document\.write|eval|\/\/ /)
  for (const query of ['?x=1', '?account=<script>', '?v=2']) t.equal((await ask(agent, `/feed.js${query}`)).body, body)
  t.match(await ask(agent, '/feed.js', { headers: { 'if-none-match': headers['etag'] ?? '' } }), { status: 304 })
  const sheet = await ask(agent, '/feed.css')
  t.match(sheet, { status: 200, headers: { 'content-type': 'text/css; charset=utf-8', 'cross-origin-resource-policy': 'cross-origin' } })
})

t.test('no page but the frame may be framed', async (t) => {
  const { owner, stranger } = await createOwner(t)
  const seen = new Set<string>()
  await owner.post('/admin/accounts', { name: 'shop' })
  const pages = words`
    / /setup /status /status?show=attention /admin /admin/sign-in /admin/accounts/shop /admin/accounts/shop/history /admin/history
    /admin/accounts/none /connect/instagram /connect/instagram/callback /invite/x /deletion/x /no-such-page /style.css /page.js
    /logo.svg /openapi.json /healthz /readyz /metrics /token /token.js /token.json /media.json /accounts/shop/pictures/x /feed.js /feed.css
  `
  for (const path of pages)
    for (const visitor of [owner, stranger]) {
      const { headers } = await visitor.get(path, { accept: 'text/html' })
      if (!/html/.test(headers.get('content-type') ?? '')) continue
      t.match(headers.get('content-security-policy'), /frame-ancestors 'none'/, path)
      seen.add(path)
    }
  t.ok(seen.size > 10, [...seen].join(' '))
})

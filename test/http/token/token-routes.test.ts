import t from 'tap'
import { ask, OTHER_SITE, openServing, runScript, SERVER_KEY, SITE } from '../../support/owner.ts'
import { askPort, sendRaw } from '../../support/raw-http.ts'
import { words } from '../../support/words.ts'

const VARY = 'Origin, Referer, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest'
const PATHS = words`/token.js /token.json /token /accounts/default/token.js /accounts/default/token.json /accounts/default/token`
const TYPES: Record<string, string> = { js: 'text/javascript', json: 'application/json', token: 'text/plain' }
const kindOf = (path: string): string => /\.(\w+)$/.exec(path)?.[1] ?? 'token'

/** The only part of an Origin that a refusal may repeat. */
const repeatable = (origin = ''): string | undefined => (origin === 'null' || URL.parse(origin)?.origin === origin ? origin : undefined)

const { agent, token } = await openServing(t)
const port = await agent.listen()
const bodyOf = (path: string): string => (kindOf(path) === 'json' ? JSON.stringify({ token }) : kindOf(path) === 'token' ? token : '')

const ALLOWED: Record<string, Record<string, string>> = {
  'an allowed origin': { origin: SITE },
  'a subdomain of an allowed wildcard': { origin: 'https://one.of.shops.example' },
  'an allowed origin with a port': { origin: 'http://localhost:8080' },
  'a page of an allowed site that says so by Referer': { referer: `${SITE}/some/page?x=1` },
  'a server key': { authorization: `Bearer ${SERVER_KEY}` },
  'a server key in lower-case “bearer”': { authorization: 'bearer another-key-0123456789' },
  'a browser’s fetch': { origin: SITE, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'sec-fetch-site': 'cross-site' },
}
const DENIED: Record<string, Record<string, string>> = {
  nobody: {},
  'another origin': { origin: OTHER_SITE },
  'no origin': { origin: 'null' },
  'an empty origin': { origin: '' },
  'the apex of a wildcard': { origin: 'https://shops.example' },
  'an allowed host without TLS': { origin: 'http://shop.example' },
  'an allowed host at another port': { origin: 'https://shop.example:8443' },
  'an allowed host and a slash': { origin: `${SITE}/` },
  'an allowed host in capitals': { origin: 'https://SHOP.example' },
  'a host that ends like an allowed one': { origin: 'https://myshop.example' },
  'a host that begins like an allowed one': { origin: 'https://shop.example.evil.example' },
  'a list of origins': { origin: `${SITE}, ${OTHER_SITE}` },
  'another origin with an allowed Referer': { origin: OTHER_SITE, referer: `${SITE}/` },
  'no origin with an allowed Referer': { origin: 'null', referer: `${SITE}/` },
  'another origin with a server key': { origin: OTHER_SITE, authorization: `Bearer ${SERVER_KEY}` },
  'another Referer': { referer: `${OTHER_SITE}/${SITE}` },
  'another Referer with a server key': { referer: OTHER_SITE, authorization: `Bearer ${SERVER_KEY}` },
  'X-Origin': { 'x-origin': SITE },
  'X-Forwarded-Host and Host': { host: 'shop.example', 'x-forwarded-host': 'shop.example', forwarded: 'host=shop.example' },
  'a wrong key': { authorization: 'Bearer wrong-key' },
  'both keys as one': { authorization: `Bearer another-key-0123456789,${SERVER_KEY}` },
  'a key without its scheme': { authorization: SERVER_KEY },
  'an empty key': { authorization: 'Bearer ' },
  'a navigation': { origin: SITE, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
  'a frame': { origin: SITE, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
  'an image': { referer: `${SITE}/`, 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
  'a worker': { origin: SITE, 'sec-fetch-mode': 'same-origin', 'sec-fetch-dest': 'worker' },
}

for (const path of PATHS) {
  t.test(`${path} gives the token to allowed callers`, async (t) => {
    for (const [who, headers] of Object.entries(ALLOWED)) {
      t.test(who, async (t) => {
        const { status, headers: answered, body } = await ask(agent, path, { headers })
        t.equal(status, 200)
        if (kindOf(path) === 'js') t.equal(runScript(body, 'InstagramToken').value, token)
        else t.equal(body, bodyOf(path))
        t.equal(answered['content-type'], `${TYPES[kindOf(path)]}; charset=utf-8`)
        t.equal(answered['cache-control'], 'private, max-age=300')
        t.match(answered['etag'], /^"[\w-]+"$/)
        t.equal(answered['vary'], VARY)
        t.equal(answered['x-content-type-options'], 'nosniff')
        t.equal(answered['cross-origin-resource-policy'], 'cross-origin')
        t.equal(answered['access-control-allow-origin'], headers['origin'], 'exactly the origin that asked')
        t.equal(answered['access-control-allow-credentials'], undefined)
        t.equal(answered['content-length'], String(Buffer.byteLength(body)))

        const head = await ask(agent, path, { method: 'HEAD', headers })
        t.equal(head.status, 200)
        t.equal(head.body, '')
        for (const name of ['etag', 'cache-control', 'vary', 'content-type', 'cross-origin-resource-policy', 'access-control-allow-origin'])
          t.equal(head.headers[name], answered[name], `HEAD: ${name}`)

        for (const known of [
          answered['etag'],
          `W/${answered['etag']}`,
          `"other", ${answered['etag']}`,
          `"a", W/${answered['etag']},"b"`,
          '*',
        ]) {
          const again = await ask(agent, path, { headers: { ...headers, 'if-none-match': known ?? '' } })
          t.equal(again.status, 304, known ?? '')
          t.equal(again.body, '')
          for (const name of ['etag', 'cache-control', 'vary', 'access-control-allow-origin', 'cross-origin-resource-policy'])
            t.equal(again.headers[name], answered[name], `304: ${name}`)
        }
        for (const known of ['"other"', (answered['etag'] ?? '').slice(1, -1), '']) {
          t.equal((await ask(agent, path, { headers: { ...headers, 'if-none-match': known } })).status, 200, `not known: ${known}`)
        }
      })
    }
  })

  t.test(`${path} refuses all other callers`, async (t) => {
    for (const [who, headers] of Object.entries(DENIED)) {
      t.test(who, async (t) => {
        for (const method of ['GET', 'HEAD']) {
          const { status, headers: answered, body } = await ask(agent, path, { method, headers: { ...headers, 'if-none-match': '*' } })
          t.equal(status, 403)
          t.equal(answered['cache-control'], 'no-store')
          t.equal(answered['cross-origin-resource-policy'], 'cross-origin', 'so that the page may read the sentence')
          t.equal(answered['x-content-type-options'], 'nosniff')
          t.equal(answered['vary'], VARY)
          t.equal(answered['access-control-allow-origin'], repeatable(headers['origin']))
          t.equal(answered['access-control-allow-credentials'], undefined)
          t.equal(answered['etag'], undefined)
          t.notMatch(body, token)
          if (method === 'HEAD') continue
          t.equal(answered['content-type'], `${TYPES[kindOf(path)]}; charset=utf-8`)
          if (kindOf(path) === 'json') t.match(JSON.parse(body), { error: 'forbidden', message: /\.$/ })
          if (kindOf(path) === 'js') t.match(body, /^\/\/ [^\n]+\n$/, 'one comment')
        }
      })
    }
  })

  t.test(`a preflight for ${path} lets a page read the token or the reason of a refusal`, async (t) => {
    const preflight = { 'access-control-request-method': 'GET', 'access-control-request-headers': 'x-anything' }
    for (const origin of [SITE, OTHER_SITE, 'null', `${SITE}.evil.example`]) {
      const yes = await ask(agent, path, { method: 'OPTIONS', headers: { origin, ...preflight } })
      t.equal(yes.status, 204, origin)
      t.equal(yes.body, '')
      t.equal(yes.headers['access-control-allow-origin'], origin)
      t.equal(yes.headers['access-control-allow-credentials'], undefined)
      t.match(yes.headers['access-control-allow-methods'], /GET/)
      t.notMatch(yes.headers['access-control-allow-methods'], /POST|PUT|DELETE|PATCH/)
      t.match(yes.headers['vary'], /Origin/)
      const read = await ask(agent, path, { headers: { origin, 'x-anything': '1' } })
      t.equal(read.status, origin === SITE ? 200 : 403)
    }
    for (const origin of ['', `${SITE}/`, `${SITE}, ${OTHER_SITE}`, 'https://EVIL.example']) {
      const no = await ask(agent, path, { method: 'OPTIONS', headers: { origin, ...preflight } })
      t.equal(no.status, 403, origin)
      t.equal(no.headers['access-control-allow-origin'], undefined)
      t.equal(no.headers['access-control-allow-methods'], undefined)
      t.equal(no.headers['cache-control'], 'no-store')
    }
    t.equal((await ask(agent, path, { method: 'OPTIONS' })).status, 403)
  })

  t.test(`${path} accepts only GET, HEAD and OPTIONS`, async (t) => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'TRACE']) {
      const { status, body } = await ask(agent, path, { method, headers: { origin: SITE } })
      t.ok(status === 404 || status === 405, `${method}: ${status}`)
      t.notMatch(body, token)
    }
  })
}

t.test('a preflight of any other address finds nothing, without a trace in the log', async (t) => {
  const headers = { origin: SITE, 'access-control-request-method': 'GET' }
  for (const path of ['/', '/feed.js', '/feed.html', '/accounts/default/pictures/1-320.webp', '/admin', '/healthz', '/nothing', '*']) {
    const { status, headers: had } = await ask(agent, path, { method: 'OPTIONS', headers })
    t.ok(status === 404 || status === 400, `${path}: ${status}`)
    t.equal(had['access-control-allow-origin'], undefined)
  }
  t.notMatch(agent.stdout(), /a request failed/)
})

t.test('the script is for script tags and fetch, the JSON for fetch and import', async (t) => {
  const from = (destination: string) => ({ headers: { origin: SITE, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': destination } })
  t.equal((await ask(agent, '/token.js', from('script'))).status, 200)
  t.equal((await ask(agent, '/token.js', from('json'))).status, 403)
  t.equal((await ask(agent, '/token.json', from('json'))).status, 200)
  t.equal((await ask(agent, '/token.json', from('script'))).status, 403)
  t.equal((await ask(agent, '/token', from('script'))).status, 403)
})

t.test('?const= names the constant', async (t) => {
  for (const name of ['MyToken', '_', '$', 'a1', 'x'.repeat(64)]) {
    const { status, body } = await ask(agent, `/token.js?const=${encodeURIComponent(name)}`, { headers: { origin: SITE } })
    t.equal(status, 200)
    const { value, descriptor } = runScript(body, name)
    t.equal(value, token)
    t.match(descriptor, { writable: false, enumerable: true, configurable: true })
  }
  t.equal((await ask(agent, '/token.json?const=1', { headers: { origin: SITE } })).status, 200, 'other resources ignore it')
})

t.test('?const= accepts only one harmless name, and a refusal has no token', async (t) => {
  const wrong = [
    '',
    '1a',
    'a b',
    'a-b',
    'a.b',
    'a;alert(1)',
    'a=1',
    '</script>',
    'ü',
    '\\u0061',
    'x'.repeat(65),
    '__proto__',
    'constructor',
  ]
  const taken = words`class let await undefined NaN window document location fetch Object globalThis eval name`
  for (const query of [
    ...[...wrong, ...taken].map((name) => `const=${encodeURIComponent(name)}`),
    'const=a&const=b',
    'const=a&const=a',
    'const',
    'const=a%00',
    'const=%0a',
    'const=%ff',
    'const=a%20',
  ]) {
    const { status, headers, body } = await ask(agent, `/token.js?${query}`, { headers: { origin: SITE } })
    t.equal(status, 400, query)
    t.notMatch(body, token)
    t.match(body, /^\/\/ [^\n]+\n$/)
    t.equal(headers['cache-control'], 'no-store')
    t.notMatch(body, /alert|<\/script>/)
  }
  t.equal((await ask(agent, '/token.js?const=1a', { headers: { origin: OTHER_SITE } })).status, 403, 'a refused site learns only that')
})

t.test('other names of parameters change nothing', async (t) => {
  const plain = await ask(agent, '/token.js', { headers: { origin: SITE } })
  for (const query of ['?', '?x=1', '?Const=a', '?const[]=a', '?callback=x', `?${'x=1&'.repeat(500)}`]) {
    const { status, body } = await ask(agent, `/token.js${query}`, { headers: { origin: SITE } })
    t.equal(status, 200, query.slice(0, 20))
    t.equal(body, plain.body)
  }
})

t.test('an unknown account is 404 for every caller, without details', async (t) => {
  for (const name of ['nobody', 'DEFAULT', 'default%20', '../..', 'a'.repeat(41), 'a'.repeat(500), '%00', '-', '__proto__', "'--"]) {
    for (const headers of [{ origin: SITE }, { origin: OTHER_SITE }]) {
      const { status, body, headers: answered } = await askPort(port, `/accounts/${name}/token.json`, { headers })
      t.equal(status, 404, name)
      t.equal(answered['access-control-allow-origin'], answered['access-control-allow-origin'] && SITE)
      const preflight = { ...headers, 'access-control-request-method': 'GET' }
      const before = await askPort(port, `/accounts/${name}/token.json`, { method: 'OPTIONS', headers: preflight })
      t.equal(before.headers['access-control-allow-origin'], before.headers['access-control-allow-origin'] && SITE)
      t.notMatch(body, name.length > 2 ? name : token)
    }
  }
})

t.test('an address that a cache in front may read differently is 404', async (t) => {
  const odd = words`/token.js#.css /token# /accounts/default/token.json#x? http://evil.example/token.js https://x/token //x/token`
  for (const target of [...odd, '/setup#.css', '/admin#x.js', 'http://evil.example/admin', '//admin', '/healthz#', '/readyz#a']) {
    const { status, body } = await sendRaw(port, `GET ${target} HTTP/1.1\r\nHost: x\r\nOrigin: ${SITE}\r\nConnection: close\r\n\r\n`)
    t.equal(status, 404, target)
    t.notMatch(body, token, target)
  }
})

t.test('only the real paths are paths', async (t) => {
  const tricks = words`
    /tokenfoo /token.js/x.css /token.js/ /token/ /token.jsx /token.json5 /token.json/..%2f /token%2ejs%2fx /token%2ejs /token%2Ejson
    /%74oken.js /%74oken?const=x /accounts/%64efault/token.js /token.js%20 /token.js;x.css /TOKEN.js /Token //token.js /./token.js
    /../token.js /x/../token.js /%2e%2e/token.js /accounts//token.js /accounts/default//token.js /accounts/default/token.css
    /accounts/default/x/token.js /accounts/default%2ftoken.js /%74oken.css
  `
  for (const path of tricks) {
    const { status, body, headers } = await askPort(port, path, { headers: { origin: SITE } })
    t.equal(status, 404, path)
    t.notMatch(body, token, path)
    t.notOk(body.includes(path), `${path} is not repeated`)
    t.equal(headers['cache-control'], 'no-store', path)
  }
})

t.test('a query may be percent-encoded, as browsers do with some names', async (t) => {
  t.equal((await ask(agent, '/token.js?const=%24shop', { headers: { origin: SITE } })).status, 200)
})

t.test('the constant has the name that was configured', async (t) => {
  const serving = await openServing(t, { JS_CONSTANT_NAME: 'ShopToken' })
  const { body } = await ask(serving.agent, '/token.js', { headers: { origin: SITE } })
  t.equal(runScript(body, 'ShopToken').value, serving.token)
  t.equal(runScript(body, 'InstagramToken').value, undefined)
})

t.test('without ALLOWED_DOMAINS only the agent’s own pages may read', async (t) => {
  const serving = await openServing(t, { ALLOWED_DOMAINS: '' })
  t.equal((await ask(serving.agent, '/token.json', { headers: { origin: 'https://agent.example' } })).status, 200)
  t.equal((await ask(serving.agent, '/token.json', { headers: { origin: SITE } })).status, 403)
  const host = { host: 'shop.example', origin: 'https://shop.example' }
  t.equal((await ask(serving.agent, '/token.json', { headers: host })).status, 403, 'for any Host header')
})

t.test('without a token only allowed sites learn what to do', async (t) => {
  const serving = await openServing(t, { STARTING_TOKEN: '' })
  const json = await ask(serving.agent, '/token.json', { headers: { origin: SITE } })
  t.equal(json.status, 503)
  t.equal(json.headers['cache-control'], 'no-store')
  t.equal(json.headers['access-control-allow-origin'], SITE, 'so that the page can show it')
  t.match(JSON.parse(json.body), { error: 'unavailable', message: /no token yet/ })
  t.match((await ask(serving.agent, '/token.js', { headers: { origin: SITE } })).body, /^\/\/ .*\/setup/)
  t.equal((await ask(serving.agent, '/token.json', { headers: { origin: OTHER_SITE } })).status, 403)
})

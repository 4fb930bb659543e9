import t from 'tap'
import { getPublicSuffix } from 'tldts'
import { parseAllowList } from '../../src/reading/allow-list.ts'
import { decideRead, type ReadDecision, type TokenResource } from '../../src/reading/decide-read.ts'

const { list } = parseAllowList('example.com *.example.org', (host) => getPublicSuffix(host, { allowPrivateDomains: true }) === host)
const KEY = 'server-key-0123456789'
const SITE = 'https://example.com'

/** Headers as Node joins them, or keeps the first of a kind: https://nodejs.org/api/http.html#messageheaders */
function asNode(rawHeaders: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase()
    const value = rawHeaders[at + 1] ?? ''
    const before = headers[name]
    if (before === undefined) headers[name] = value
    else if (name !== 'referer' && name !== 'authorization') headers[name] = `${before}, ${value}`
  }
  return headers
}

function decide(rawHeaders: readonly string[], resource: TokenResource = 'json'): ReadDecision {
  return decideRead({ resource, headers: asNode(rawHeaders), rawHeaders }, list, (token) => token === KEY)
}
const isAllowed = (rawHeaders: readonly string[], resource?: TokenResource) => decide(rawHeaders, resource).allowed
const reasonOf = (rawHeaders: readonly string[]) => {
  const decision = decide(rawHeaders)
  return decision.allowed ? 'allowed' : decision.reason
}
// The headers of Chromium 156 for each kind of request.
const FETCH = ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'cors', 'Sec-Fetch-Dest', 'empty']
const SCRIPT = ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'no-cors', 'Sec-Fetch-Dest', 'script']
const SCRIPT_CORS = ['Sec-Fetch-Site', 'cross-site', 'Sec-Fetch-Mode', 'cors', 'Sec-Fetch-Dest', 'script']
const NAVIGATE = ['Sec-Fetch-Site', 'none', 'Sec-Fetch-Mode', 'navigate', 'Sec-Fetch-User', '?1', 'Sec-Fetch-Dest', 'document']

t.test('lets a listed site read, and returns its origin', async (t) => {
  t.same(decide(['Origin', SITE, ...FETCH]), { allowed: true, origin: SITE, isServer: false })
  t.same(decide(['Host', 'agent.test', 'origin', 'https://a.example.org']), {
    allowed: true,
    origin: 'https://a.example.org',
    isServer: false,
  })
  t.same(decide(['ORIGIN', SITE, ...SCRIPT_CORS], 'script'), { allowed: true, origin: SITE, isServer: false })
})

t.test('lets a preflight of a listed site pass', async (t) => {
  const preflight = ['Access-Control-Request-Method', 'GET', 'Access-Control-Request-Headers', 'authorization', 'Origin', SITE, ...FETCH]
  for (const resource of ['script', 'json', 'text'] as const)
    t.same(decide(preflight, resource), { allowed: true, origin: SITE, isServer: false })
})

t.test('refuses an Origin that is not listed, whatever else the request has', async (t) => {
  const others = ['Referer', `${SITE}/page`, 'Authorization', `Bearer ${KEY}`, ...FETCH]
  for (const origin of [
    '',
    'null',
    'https://evil.com',
    `${SITE}/`,
    `${SITE}, https://evil.com`,
    `${SITE},null`,
    ' ',
    'HTTPS://EXAMPLE.COM',
    'https://example.org',
  ]) {
    t.equal(isAllowed(['Origin', origin]), false, `Origin: ${origin}`)
    t.equal(isAllowed(['Origin', origin, ...others]), false, `Origin: ${origin} in front`)
    t.equal(isAllowed([...others, 'Origin', origin]), false, `Origin: ${origin} behind`)
  }
})

t.test('reads the Referer where there is no Origin, up to its first slash', async (t) => {
  for (const referer of [SITE, `${SITE}/`, `${SITE}/a/b?c=d`, `${SITE}/@evil.com`, 'https://a.example.org/https://evil.com/']) {
    t.same(decide(['Referer', referer]), { allowed: true, origin: null, isServer: false }, referer)
    t.same(decide(['referer', referer, ...SCRIPT], 'script'), { allowed: true, origin: null, isServer: false }, referer)
  }
  const refused = [
    '',
    ' ',
    'null',
    'about:blank',
    'https://evil.com/',
    `https://evil.com/?${SITE}/`,
    'example.com/',
    '//example.com/',
    `${SITE}.evil.com/`,
    `${SITE}?x`,
  ]
  refused.push(
    `${SITE}#/`,
    `${SITE}:443/`,
    'https://u:p@example.com/',
    'https://example.com@evil.com/',
    `${SITE}\\/`,
    `${SITE}\\@evil.com/`,
    'https:/example.com/',
  )
  refused.push(
    'HTTPS://example.com/',
    'https://EXAMPLE.com/',
    'https://example.com./',
    'http://example.com/',
    'ftp://example.com/',
    `blob:${SITE}/x`,
    `${SITE}/, https://evil.com/`,
  )
  refused.push(
    `https://evil.com/, ${SITE}/`,
    ` ${SITE}/`,
    'https:///example.com/',
    'https://',
    'http://',
    '/',
    `file:///${SITE}/`,
    'https://evil.com/.example.org/',
    'https://%65xample.com/',
  )
  for (const referer of refused) {
    t.equal(isAllowed(['Referer', referer]), false, `Referer: ${referer}`)
    t.equal(isAllowed(['Referer', referer, 'Authorization', `Bearer ${KEY}`]), false, `Referer: ${referer} with a key`)
  }
})

t.test('accepts a key only without Origin and Referer', async (t) => {
  t.same(decide(['Authorization', `Bearer ${KEY}`]), { allowed: true, origin: null, isServer: true })
  t.same(decide(['authorization', `bearer ${KEY}`, ...FETCH]), { allowed: true, origin: null, isServer: true })
  for (const value of [
    '',
    'Bearer',
    'Bearer ',
    `Bearer  ${KEY}`,
    `Basic ${KEY}`,
    KEY,
    `Bearer ${KEY} `,
    `Bearer ${KEY},${KEY}`,
    `Bearer ${KEY}x`,
    `Bearer\t${KEY}`,
    `Bearer${KEY}`,
  ]) {
    t.equal(reasonOf(['Authorization', value]), 'wrong key', `Authorization: ${value}`)
  }
  t.equal(reasonOf([]), 'unnamed')
  t.equal(reasonOf(['Host', 'example.com', 'User-Agent', 'curl/8', 'Accept', '*/*', 'Cookie', `origin=${SITE}`]), 'unnamed')
})

t.test('ignores headers with similar names', async (t) => {
  const names = [
    'X-Origin',
    'Origin2',
    'Origi',
    'Origin ',
    'Оrigin',
    'Referrer',
    'X-Referer',
    'Refere',
    'Forwarded',
    'X-Forwarded-Host',
    'Host',
    'Accept',
    'Cookie',
  ]
  for (const name of names) t.equal(isAllowed([name, SITE]), false, name)
  for (const name of ['Proxy-Authorization', 'X-Authorization', 'If-None-Match', 'Cache-Control'])
    t.equal(isAllowed([name, `Bearer ${KEY}`]), false, name)
  // A header's value is never read as a name.
  t.equal(isAllowed(['Accept', 'Origin', SITE, 'x']), false)
  t.equal(isAllowed(['Origin']), false)
})

t.test('refuses a repeated header, even with equal values and in any spelling', async (t) => {
  const good = ['Origin', SITE, ...FETCH]
  t.equal(isAllowed([...good, 'Accept', 'a', 'Accept', 'b', 'X-A', '1', 'X-A', '1']), true)
  for (const [name, value] of [
    ['Origin', SITE],
    ['Sec-Fetch-Site', 'cross-site'],
    ['Sec-Fetch-Mode', 'cors'],
    ['Sec-Fetch-Dest', 'empty'],
  ] as const) {
    t.equal(reasonOf([...good, name, value]), 'doubled', name)
    t.equal(reasonOf([name.toLowerCase(), value, ...good]), 'doubled', name.toLowerCase())
  }
  for (const [name, value] of [
    ['Referer', `${SITE}/`],
    ['Authorization', `Bearer ${KEY}`],
    ['Sec-Fetch-User', '?1'],
  ] as const) {
    t.equal(reasonOf([...good, name, value, name.toUpperCase(), value]), 'doubled', name)
    t.equal(reasonOf([name, value, name, value]), 'doubled', name)
  }
  t.equal(reasonOf(['Origin', '', 'Origin', SITE]), 'doubled')
  t.equal(reasonOf(['Referer', '', 'Referer', `${SITE}/`]), 'doubled')
})

t.test('refuses a navigation and every wrong destination, even for a listed site or with a key', async (t) => {
  const callers = [
    ['Origin', SITE],
    ['Referer', `${SITE}/`],
    ['Authorization', `Bearer ${KEY}`],
  ]
  const all = 'audio audioworklet document embed empty fencedframe font frame iframe image json manifest object paintworklet report'.split(
    ' ',
  )
  all.push(
    ...'script serviceworker sharedworker speculationrules style text track video webidentity worker xslt'.split(' '),
    '',
    'EMPTY',
    'empty, empty',
  )
  const fitting = { script: ['empty', 'script'], json: ['empty', 'json'], text: ['empty'] }
  for (const caller of callers) {
    for (const resource of ['script', 'json', 'text'] as const) {
      t.equal(isAllowed(caller, resource), true, `${caller[0]} alone reads ${resource}`)
      t.same(
        all.filter((destination) => isAllowed([...caller, 'Sec-Fetch-Mode', 'cors', 'Sec-Fetch-Dest', destination], resource)),
        fitting[resource],
        `${caller[0]} with each destination, ${resource}`,
      )
      t.same(
        ['cors', 'no-cors', 'same-origin', 'navigate', 'nested-navigate', 'websocket', '', 'CORS'].filter((mode) =>
          isAllowed([...caller, 'Sec-Fetch-Mode', mode], resource),
        ),
        ['cors', 'no-cors', 'same-origin'],
        `${caller[0]} with each mode, ${resource}`,
      )
      t.equal(isAllowed([...caller, ...NAVIGATE], resource), false)
      t.equal(isAllowed([...NAVIGATE, ...caller], resource), false)
    }
  }
})

t.test('repeats only a canonical http(s) origin of at most 200 ASCII characters', async (t) => {
  const repeated = [
    'https://evil.com',
    'http://localhost:5173',
    'http://127.0.0.1:8080',
    'http://[::1]:3000',
    'https://xn--bcher-kva.example',
    `https://${'a.'.repeat(95)}b`,
  ]
  const kept = [
    '',
    ' ',
    'undefined',
    'https://EVIL.com',
    'https://evil.com/',
    'https://evil.com:443',
    'https://u:p@evil.com',
    'https://bücher.example',
    'https://evil.com*/alert(1)//',
    'https://evil.com\nalert(1)',
    'https://evil.com\u2028x',
    'https://evil.com, https://other.com',
    `https://${'a.'.repeat(96)}b`,
    'file://',
    'ftp://evil.com',
    'blob:https://evil.com',
    'capacitor://localhost',
    'chrome-extension://abcdefghijklmnop',
  ]
  for (const origin of repeated) {
    t.match(decide(['Origin', origin]), { reason: 'origin', site: origin, origin })
    t.match(decide(['Origin', origin, ...NAVIGATE]), { reason: 'navigation', origin })
    t.match(decide(['Referer', `${origin}/page?secret=1`]), { reason: 'referer', site: origin, origin: null })
  }
  for (const origin of kept) {
    t.match(decide(['Origin', origin]), { allowed: false, site: null, origin: null }, encodeURI(origin))
    t.match(decide(['Referer', `${origin}/x`]), { allowed: false, origin: null }, encodeURI(origin))
  }
  t.match(decide(['Origin', 'null']), { reason: 'no address', site: null, origin: 'null' })
  t.match(decide(['Origin', 'file://']), { reason: 'no address' })
  for (const app of ['capacitor://localhost', 'ionic://localhost', 'tauri://localhost', 'moz-extension://0123'])
    t.match(decide(['Origin', app]), { reason: 'app' }, app)
  t.match(decide(['Origin', SITE, 'Origin', 'https://evil.com']), { reason: 'doubled', site: null, origin: null })
})

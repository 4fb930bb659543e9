import { domainToASCII } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { type AllowList, allows, parseAllowList } from '../../src/reading/allow-list.ts'
import { isPublicSuffix } from '../../src/reading/public-suffix.ts'
import { words } from '../support/words.ts'
import { ACCEPTED_ENTRIES, REFUSED_ENTRIES, REFUSED_ORIGINS } from './allow-list.corpus.ts'

// A million cases take a few seconds, on a busy machine many more.
t.setTimeout(120_000)

function listOf(text: string): AllowList {
  const { list, problems } = parseAllowList(text, isPublicSuffix)
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return list
}

t.test('allows each listed origin and refuses its neighbour', async (t) => {
  for (const [entry, allowed, refused] of ACCEPTED_ENTRIES) {
    const list = listOf(entry)
    t.equal(allows(list, allowed), true, `${entry} allows ${allowed}`)
    t.equal(allows(list, refused), false, `${entry} refuses ${refused}`)
  }
})

t.test('refuses every origin of the corpus', async (t) => {
  const list = listOf(
    'example.com *.example.org https://*.example.net:8443 http://localhost:8080 http://127.0.0.1:3000 http://[::1]:3000 münchen.de',
  )
  for (const origin of ['https://example.com', 'https://a.example.org', 'https://a.b.example.net:8443', 'http://localhost:8080']) {
    t.equal(allows(list, origin), true, origin)
  }
  for (const origin of ['http://127.0.0.1:3000', 'http://[::1]:3000', 'https://xn--mnchen-3ya.de'])
    t.equal(allows(list, origin), true, origin)
  t.same(
    REFUSED_ORIGINS.filter((origin) => allows(list, origin)),
    [],
  )
  // A list without exact entries takes the slow path for each of them.
  const wildcards = listOf('*.example.com *.example.org https://*.example.net:8443')
  t.same(
    REFUSED_ORIGINS.filter((origin) => allows(wildcards, origin)),
    ['https://a.example.com', 'https://www.example.com', 'https://example.com.example.com'],
  )
})

t.test('names each wrong entry and its problem', async (t) => {
  for (const [entry, says] of REFUSED_ENTRIES) {
    const { list, problems } = parseAllowList(entry, isPublicSuffix)
    t.equal(problems.length, 1, `${JSON.stringify(entry)} is a problem`)
    t.match(problems[0], says, JSON.stringify(entry))
    t.equal(list.exact.size + list.wildcards.size, 0)
  }
  t.match(parseAllowList('*.github.io', isPublicSuffix).problems, [
    '`*.github.io` would allow everybody’s site under github.io; name your own host',
  ])
})

t.test('refuses a wildcard over names that anyone can get, at any depth, and no other wildcard', async (t) => {
  for (const host of ['amazonaws.com', 'eu-west-3.amazonaws.com', 'windows.net', 'core.windows.net', 'digitaloceanspaces.com']) {
    t.match(parseAllowList(`*.${host}`, isPublicSuffix).problems, [`everybody’s site under ${host}; name your own host`], host)
  }
  for (const host of ['google.com', 'you.github.io', 'bucket.s3.amazonaws.com', 'city.kobe.jp', 'www.ck', 'münchen.de', 'example.co.uk']) {
    t.same(parseAllowList(`*.${host}`, isPublicSuffix).problems, [], host)
  }
  t.same(parseAllowList('https://my-bucket.s3.amazonaws.com amazonaws.com', isPublicSuffix).problems, [], 'a name in full is fine')
})

t.test('collects all problems, in order, and none of the good entries among them', async (t) => {
  const { problems } = parseAllowList('example.com, *.github.io\n*;null a.com;b.com,, https://x.com/y', isPublicSuffix)
  t.same(
    problems.map((problem) => problem.split('`')[1]),
    ['*.github.io', '*;null', 'a.com;b.com', 'https://x.com/y'],
  )
})

t.test('accepts spaces, commas, line breaks and tabs between entries, and reads an empty text as an empty list', async (t) => {
  const list = listOf(' example.com,example.org\r\n  https://example.net ,\t*.example.com\u00a0example.com ')
  t.same([...list.exact], ['https://example.com', 'https://example.org', 'https://example.net'])
  t.same([...list.wildcards], ['https://example.com'])
  for (const text of ['', ' ', ',', ' ,\n, ']) t.same(parseAllowList(text, isPublicSuffix), { list: listOf(''), problems: [] })
  t.equal(allows(listOf(''), ''), false)
})

t.test('shows a wrong entry shortened, printable and without a password', async (t) => {
  t.equal(parseAllowList('https://me:hunter2@example.com', isPublicSuffix).problems[0]?.split('`')[1], '…@example.com')
  t.equal(parseAllowList('\u001b[2J', isPublicSuffix).problems[0]?.includes('\u001b'), false)
  t.ok((parseAllowList(`${'a'.repeat(10_000)}/x`, isPublicSuffix).problems[0] ?? '').length < 200)
})

t.test('answers for an exact origin, or without wildcards, and parses nothing', async (t) => {
  const parse = t.capture(URL, 'parse', URL.parse)
  const list = listOf('example.com *.example.org')
  parse()
  t.equal(allows(list, 'https://example.com'), true)
  t.equal(allows({ ...list, wildcards: new Set() }, 'https://evil.com'), false)
  t.equal(parse().length, 0)
  t.equal(allows(list, 'https://a.example.org'), true)
  t.equal(parse().length, 1)
})

// The oracle: a grammar of canonical origins as one expression, and entries as data instead of text.

interface Entry {
  readonly scheme: 'https' | 'http'
  readonly host: string
  readonly port: number | null
  readonly wildcard: boolean
}

const GRAMMAR = /^(https|http):\/\/((?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}|\[[0-9a-f:]+\])(?::([1-9][0-9]{0,4}))?$/
const DEFAULT_PORT = { https: 443, http: 80 }

function oracle(entries: readonly Entry[], origin: string): boolean {
  const [, scheme, host = '', portText] = GRAMMAR.exec(origin) ?? []
  if (scheme !== 'https' && scheme !== 'http') return false
  const port = portText === undefined ? DEFAULT_PORT[scheme] : Number(portText)
  if (port > 65_535 || (portText !== undefined && port === DEFAULT_PORT[scheme])) return false
  return entries.some((entry) => {
    if (entry.scheme !== scheme || (entry.port ?? DEFAULT_PORT[scheme]) !== port) return false
    const entryHost = domainToASCII(entry.host)
    if (!entry.wildcard) return entryHost === host
    const ours = entryHost.split('.').reverse()
    const theirs = host.split('.').reverse()
    // A broken punycode label is not canonical, though its letters are.
    return theirs.length > ours.length && ours.every((label, i) => label === theirs[i]) && domainToASCII(host) === host
  })
}

function written({ scheme, host, port, wildcard }: Entry, bare: boolean): string {
  // A host of this machine without a scheme is meant without TLS.
  const implied = ADDRESSES.includes(host) ? 'http' : 'https'
  const prefix = bare && scheme === implied ? '' : `${scheme}://`
  return `${prefix}${wildcard ? '*.' : ''}${host}${port === null ? '' : `:${port}`}`
}

const HOSTS = words`example.com shop.example.com example.co.uk münchen.de you.github.io a.b.example.org my_site.net e.com a-b.de`
const ADDRESSES = ['localhost', '127.0.0.1', '[::1]']
const entryArbitrary: fc.Arbitrary<Entry> = fc
  .record({
    scheme: fc.constantFrom('https', 'http'),
    host: fc.constantFrom(...HOSTS, ...ADDRESSES),
    port: fc.constantFrom(null, null, 80, 443, 8080, 8443, 1, 65_535),
    wildcard: fc.boolean(),
  })
  .map((entry) => ({ ...entry, wildcard: entry.wildcard && !ADDRESSES.includes(entry.host) }))

t.test('agrees with the oracle on arbitrary lists and arbitrary origins', async () => {
  const separator = fc.constantFrom(' ', ',', ', ', '\n', '\r\n', '\t')
  const anyOrigin = fc.oneof(
    fc.webUrl({ withFragments: true, withQueryParameters: true }),
    fc.webUrl().map((url) => new URL(url).origin),
    fc.string({ unit: 'binary' }),
    fc
      .tuple(fc.constantFrom('', 'a.', 'a', '.', 'a.b.', 'x@'), entryArbitrary, fc.constantFrom('', '', '.', '/', ':443', '.a'))
      .map(
        ([front, entry, back]) =>
          `${entry.scheme}://${front}${domainToASCII(entry.host)}${entry.port === null ? '' : `:${entry.port}`}${back}`,
      ),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(entryArbitrary, fc.boolean(), separator), { maxLength: 8 }), anyOrigin, (entries, origin) => {
      const list = listOf(entries.map(([entry, bare, between]) => written(entry, bare) + between).join(''))
      return (
        allows(list, origin) ===
        oracle(
          entries.map(([entry]) => entry),
          origin,
        )
      )
    }),
    { numRuns: 5_000 },
  )
})

t.test('never allows an origin that is not canonical', async () => {
  const list = listOf('example.com *.example.com *.münchen.de http://*.example.com:8080')
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 12 }), fc.nat(30), (noise, at) => {
      for (const base of ['https://example.com', 'https://a.example.com', 'http://a.example.com:8080', 'https://a.xn--mnchen-3ya.de']) {
        const origin = base.slice(0, at) + noise + base.slice(at)
        if (allows(list, origin) && URL.parse(origin)?.origin !== origin) return false
      }
      return true
    }),
    { numRuns: 20_000 },
  )
})

t.test('agrees with the oracle on a million mutated origins', async (t) => {
  const cases = 1_000_000
  let state = 20_261_122
  // mulberry32: the same cases on each run
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number): number => Math.floor(random() * limit)
  const pick = (from: readonly string[]): string => from[below(from.length)] ?? ''
  const SIGNS = [...'abcemox-_.:/@\\#?%*, \t\n\0[]019AEX;\'"!~&=ａ。．\u00ad\u200bäßⓒ']
  const FRONTS = '||||a.|a.|a.b.|evil|-|.|u@|u:p@|evil.com/|evil.com#|xn--mnchen-3ya.|1.|*.'.split('|')
  const BACKS = '||||||||||.|/|.evil.com|:443|:80|:8080|:|@evil.com|,https://evil.com|0'.split('|')
  const SCHEMES = 'https|https|https|http|http|HTTPS|ftp|blob:https|ws|httpss'.split('|')
  const lists = Array.from({ length: 300 }, () => {
    const entries = fc.sample(entryArbitrary, { numRuns: 1 + below(6), seed: below(2 ** 31) })
    return { entries, list: listOf(entries.map((entry) => written(entry, false)).join(' ')) }
  })
  let allowed = 0
  for (let n = 0; n < cases; n++) {
    const { entries, list } = lists[below(lists.length)] ?? { entries: [], list: listOf('') }
    const entry = entries[below(entries.length)] as Entry
    const isDefault = entry.port === DEFAULT_PORT[entry.scheme]
    let origin = `${below(8) > 0 ? entry.scheme : pick(SCHEMES)}://${pick(FRONTS)}${domainToASCII(entry.host)}`
    origin += `${entry.port === null || (isDefault && below(2) === 0) ? '' : `:${entry.port}`}${pick(BACKS)}`
    for (let edits = Math.max(0, below(4) - 1); edits > 0; edits--) {
      const at = below(origin.length + 1)
      const kind = below(4)
      if (kind === 0) origin = origin.slice(0, at) + origin.slice(at + 1)
      else if (kind === 1) origin = origin.slice(0, at) + pick(SIGNS) + origin.slice(at)
      else if (kind === 2) origin = origin.slice(0, at) + pick(SIGNS) + origin.slice(at + 1)
      else origin = origin.slice(0, at) + origin.charAt(at).toUpperCase() + origin.slice(at + 1)
    }
    const answer = allows(list, origin)
    if (answer !== oracle(entries, origin)) {
      t.fail(`${JSON.stringify(origin)} is ${answer ? 'allowed' : 'refused'} by ${entries.map((e) => written(e, false)).join(' ')}`)
      return
    }
    if (answer) allowed += 1
  }
  t.ok(allowed > cases / 20 && allowed < cases / 2, `${allowed} of ${cases} were allowed: both answers were tried`)
})

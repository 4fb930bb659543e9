import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { refusalSentence } from '../../src/http/token/refusal-sentence.ts'
import { decideRead, type TokenResource } from '../../src/reading/decide-read.ts'
import { ask, createOwner, OTHER_SITE, openServing, SITE } from '../support/owner.ts'

const APP_URL = 'https://agent.example'
const ALL_SETTINGS = /ALLOWED_DOMAINS|the account’s own list/g

function sentenceFor([name = '', value]: string[], resource: TokenResource = 'script'): string {
  const facts = { resource, headers: { [name.toLowerCase()]: value }, rawHeaders: [] }
  const decision = decideRead(facts, { exact: new Set(), wildcards: new Set() }, () => false)
  return decision.allowed ? '' : refusalSentence(decision, { isOwn: false, account: null, appUrl: APP_URL })
}

t.test('a refusal names the site and the one list that decides', async (t) => {
  const { agent, owner } = await createOwner(t)
  for (const [name, domains] of [
    ['default', ''],
    ['own', 'https://blog.example'],
  ]) {
    await owner.post('/admin/accounts', { name: name ?? '', provider: 'instagram', token: '' })
    await owner.post(`/admin/accounts/${name}/domains`, { domains: domains ?? '' })
  }
  const sentenceAt = async (path: string, headers: Record<string, string>): Promise<string> => {
    const { status, body } = await ask(agent, path, { headers })
    t.equal(status, 403, path)
    return JSON.parse(body).message
  }
  const page = `${agent.url}/admin/accounts/own`
  for (const [path, setting] of [
    ['/token.json', ['ALLOWED_DOMAINS']],
    ['/accounts/default/token.json', ['ALLOWED_DOMAINS']],
    ['/accounts/own/token.json', ['the account’s own list']],
  ] as const) {
    for (const headers of [
      { origin: OTHER_SITE },
      { referer: `${OTHER_SITE}/shop?secret=1` },
      { origin: 'http://localhost:5173' },
      { origin: 'null' },
    ]) {
      const sentence = await sentenceAt(path, headers)
      t.strictSame(sentence.match(ALL_SETTINGS), setting, sentence)
      t.equal(sentence.includes(page), path.includes('own'), sentence)
      const site = headers.referer === undefined ? headers.origin : OTHER_SITE
      t.match(sentence, site === 'null' ? /its origin is “null”.*from a web server/ : `Add ${site} to`)
      t.notMatch(sentence, /secret/)
    }
    t.notMatch(await sentenceAt(path, { origin: 'capacitor://localhost' }), ALL_SETTINGS, 'it does not suggest a list that cannot help')
  }
  await owner.post('/admin/accounts/own/default')
  const unnamed = await sentenceAt('/token.json', { origin: OTHER_SITE })
  t.match(unnamed, 'the account’s own list')
  t.notMatch(unnamed, 'accounts/own', 'the address without a name does not reveal the account’s name')
})

t.test('a page that is not listed can read only a refusal, in every state of the account', async (t) => {
  const { agent, owner } = await createOwner(t)
  for (const name of ['empty', 'paused']) await owner.post('/admin/accounts', { name, provider: 'instagram', token: '' })
  await owner.post('/admin/accounts/paused/pause')
  for (const origin of [OTHER_SITE, 'null', `${SITE}:8443`]) {
    for (const account of ['empty', 'paused', 'nobody', 'default']) {
      for (const suffix of ['', '.js', '.js?const=1a', '.json']) {
        for (const path of [`/accounts/${account}/token${suffix}`, `/token${suffix}`]) {
          const { status, headers } = await ask(agent, path, { headers: { origin, 'if-none-match': '*' } })
          t.equal(headers['access-control-allow-origin'], status === 403 ? origin : undefined, `${status} ${path}`)
        }
      }
    }
  }
})

t.test('for any Origin or Referer a refused script is one comment', async () => {
  const words = fc.constantFrom(
    '*/',
    '\n',
    '\r',
    '\u2028',
    '//',
    '</script>',
    '`',
    '"',
    "'",
    'https://',
    'evil.com',
    ':1',
    '\\',
    'null',
    '{',
    ')',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(words, fc.string()), { maxLength: 6 }), fc.constantFrom('Origin', 'Referer'), (parts, name) => {
      for (const value of [parts.join(''), `https://${parts.join('')}`]) {
        const sentence = sentenceFor([name, value])
        if (/[\n\r\u2028\u2029]/.test(sentence)) return false
        new Function(`// ${sentence}\nreturn 1`)()
      }
      return true
    }),
    { numRuns: 5_000 },
  )
})

t.test('a hundred thousand made-up origins do not fill the memory', async (t) => {
  setFlagsFromString('--expose_gc')
  const collect: () => void = runInNewContext('gc')
  const askAs = (from: number, to: number): void => {
    for (let at = from; at < to; at++) sentenceFor(['Origin', `https://${at}.${'x'.repeat(60)}.example`])
  }
  askAs(0, 1_000)
  collect()
  const before = process.memoryUsage().heapUsed
  askAs(1_000, 101_000)
  collect()
  const grownMb = (process.memoryUsage().heapUsed - before) / 1e6
  t.ok(grownMb < 5, `${grownMb.toFixed(1)} MB more`)

  const { agent } = await openServing(t)
  for (let at = 0; at < 300; at++) {
    const { status, body } = await ask(agent, '/token.js', { headers: { origin: `https://${at}.example` } })
    if (status !== 403 || !body.includes(`https://${at}.example`)) t.fail(body)
  }
})

import t from 'tap'
import { createClient, createOwner } from '../support/owner.ts'

const HTML = { accept: 'text/html' }

t.test('a status page that refreshes itself keeps no session alive', async (t) => {
  const { agent, owner } = await createOwner(t)
  const lastSeen = (): unknown => agent.sql<Record<string, unknown>>('select last_seen_at from sessions')[0]?.['last_seen_at']
  agent.sql("update sessions set last_seen_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-29 minutes')")
  const before = lastSeen()
  t.match(await owner.get('/status', { ...HTML, 'sec-fetch-dest': 'empty' }), { text: /Sign out/ })
  t.equal(lastSeen(), before)
  t.match(await owner.get('/status', { ...HTML, 'sec-fetch-dest': 'document' }), { text: /Sign out/ })
  t.not(lastSeen(), before)
  agent.sql("update sessions set last_seen_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-31 minutes')")
  t.match(await owner.get('/status', HTML), { text: /Sign in<\/a> to see/ })
})

t.test('a visitor without a session of this agent gets the public pages', async (t) => {
  const { agent } = await createOwner(t)
  const stranger = createClient(agent)
  const seen = async (): Promise<string> => (await stranger.get('/status', HTML)).text
  const publicly = await seen()
  for (const cookie of ['', 'x', 'A'.repeat(43), '%00', 'x'.repeat(4000)]) {
    stranger.cookies.set('token-agent-session', cookie)
    t.equal(await seen(), publicly, cookie.slice(0, 9))
  }
})

t.test('assets are cached for a year by a hash of their content, and compressed on request', async (t) => {
  const { agent } = await createOwner(t)
  const page = await (await agent.fetch('/setup')).text()
  const found = [...page.matchAll(/(?:href|src)="(\/(?:style\.css|page\.js|logo\.svg)\?v=[\w-]{10})"/g)].map((match) => match[1] ?? '')
  t.equal(new Set(found).size, 3)
  for (const address of new Set(found)) {
    const { status, headers } = await agent.fetch(address, { headers: { 'accept-encoding': 'gzip' } })
    t.equal(status, 200)
    t.match(headers.get('cache-control'), /max-age=31536000, immutable/)
    t.equal(headers.get('content-encoding'), 'gzip')
    const etag = headers.get('etag') ?? ''
    t.equal((await agent.fetch(address, { headers: { 'if-none-match': etag } })).status, 304)
    const plain = await agent.fetch(address, { headers: { 'accept-encoding': 'gzip;q=0' } })
    t.equal(plain.headers.get('content-encoding'), null)
    t.match((await agent.fetch(address.replace(/=.*/, '=older'))).headers.get('cache-control'), /max-age=3600$/)
  }
  t.match((await agent.fetch('/favicon.ico')).headers.get('content-type'), 'image/svg+xml')
})

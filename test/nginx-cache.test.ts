import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from './support/free-port.ts'
import { OTHER_SITE, openServing, SERVER_KEY, SITE } from './support/owner.ts'
import { launch } from './support/process.ts'
import { type Answered, askPort } from './support/raw-http.ts'
import { binary, missing } from './support/services.ts'
import { type Teardown, tempFolder } from './support/temp-folder.ts'
import { waitFor } from './support/wait-for.ts'

t.setTimeout(300_000)

const skip = missing('nginx')
const ANOTHER = 'https://one.shops.example'
const BROWSER = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }

interface Asker {
  headers: Record<string, string>
  /** The expected Access-Control-Allow-Origin; null = allowed without one. Absent = refused. */
  origin?: string | null
}
const STRANGER: Asker = { headers: {} }
const ASKERS: Asker[] = [
  { headers: { ...BROWSER, origin: OTHER_SITE } },
  { headers: { referer: `${OTHER_SITE}/` } },
  { headers: { ...BROWSER, origin: SITE }, origin: SITE },
  { headers: { ...BROWSER, origin: ANOTHER }, origin: ANOTHER },
  { headers: { referer: `${SITE}/` }, origin: null },
]

/** Starts nginx as a cache in front of the agent; `careless` are lines that make it cache more. */
async function startNginx(t: Teardown, agentPort: number, careless = ''): Promise<{ port: number }> {
  const folder = tempFolder(t, 'nginx')
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' ')
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;' : ''} pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1; daemon off;
     events {}
     http {
       access_log off; ${temporary}
       proxy_cache_path ${folder}/cache keys_zone=all:10m;
       server {
         listen 127.0.0.1:${port};
         location / {
           proxy_pass http://127.0.0.1:${agentPort};
           proxy_cache all; proxy_cache_key $request_uri; proxy_cache_valid any 10m; ${careless}
           add_header X-Cache $upstream_cache_status always;
         }
       }
     }`,
  )
  const nginx = await launch(binary('nginx'), ['-c', join(folder, 'nginx.conf'), '-p', folder, '-e', join(folder, 'error.log')])
  t.teardown(() => nginx.end('SIGTERM'))
  await waitFor('nginx to answer', async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok)
  return { port }
}

function orders<T>(all: T[]): T[][] {
  if (all.length < 2) return [all]
  return all.flatMap((first, at) => orders(all.toSpliced(at, 1)).map((rest) => [first, ...rest]))
}

/** The problems of this answer to this caller. */
function wrong({ headers: sent, origin }: Asker, { status, headers, body }: Answered, token: string): string {
  const good = origin !== undefined
  const said = `${JSON.stringify(sent)} got ${status}, ${headers['access-control-allow-origin']}, ${headers['x-cache']}`
  if (body.includes(token) !== good || status !== (good ? 200 : 403)) return said
  // A refusal may be readable by the refused site only.
  const mayRead = good ? [origin] : [null, sent['origin'] ?? null]
  return mayRead.includes(headers['access-control-allow-origin'] ?? null) ? '' : said
}

const inEveryOrder = async (t: Test, careless: string): Promise<void> => {
  const { agent, token } = await openServing(t)
  const nginx = await startNginx(t, await agent.listen(), careless)
  let asked = 0
  const seen = new Map<string, number>()
  for (const path of ['/token.json', '/token.js']) {
    for (const order of orders(ASKERS)) {
      // Each order has its own, empty place in the cache.
      const url = `${path}?n=${asked++}`
      for (const asker of [STRANGER, ...order, ...order.toReversed(), STRANGER]) {
        const headers = path === '/token.js' && asker.headers['origin'] ? { ...asker.headers, 'sec-fetch-dest': 'script' } : asker.headers
        const answer = await askPort(nginx.port, url, { headers })
        const problem = wrong(asker, answer, token)
        if (problem !== '') t.fail(`${url}: ${problem}`)
        seen.set(answer.headers['x-cache'] ?? '', (seen.get(answer.headers['x-cache'] ?? '') ?? 0) + 1)
      }
    }
  }
  t.equal(asked, 240)
  t.comment(Object.fromEntries(seen))
  const { headers } = await askPort(nginx.port, '/token.json?etag', { headers: { origin: SITE } })
  const hostile = await askPort(nginx.port, '/token.json?etag', { headers: { origin: OTHER_SITE, 'if-none-match': headers['etag'] ?? '' } })
  t.equal(hostile.status, 403, 'knowing the ETag reveals nothing')
}

t.test('a shared cache gives no site’s answer to another, in every order', { skip }, (t) => inEveryOrder(t, ''))

t.test('nor does a cache that stores private answers, because they vary by every deciding header', { skip }, (t) =>
  inEveryOrder(t, 'proxy_ignore_headers Cache-Control Expires Set-Cookie;'),
)

t.test('an open feed costs the agent one request while it is fresh; a listed one is never shared', { skip }, async (t) => {
  const { agent, instagram } = await openServing(t)
  Object.assign(instagram.knobs, { postPictures: 'own', mediaCount: 3 })
  // The cache keeps what the agent's own headers allow, and no other answer.
  const nginx = await startNginx(t, await agent.listen(), 'proxy_cache_valid any 0;')
  const read = (origin: string, path = '/media.json') => askPort(nginx.port, path, { headers: { origin } })
  const statuses = async (origin: string) => [(await read(origin)).status, (await read(origin)).status]
  t.strictSame(await statuses(SITE), [200, 200])
  t.strictSame(await statuses(OTHER_SITE), [403, 403])
  const cached = new Set<string>()
  for (let n = 0; n < 20; n++) cached.add((await read(n % 2 === 0 ? SITE : ANOTHER)).headers['x-cache'] ?? '')
  t.strictSame([...cached], ['MISS'], 'private answers are not kept')

  agent.sql('update accounts set feed_open = 1, revision = revision + 1')
  await waitFor('the feed to be open', async () => (await read(OTHER_SITE)).status === 200)
  const seen: string[] = []
  for (let n = 0; n < 50; n++) {
    const { status, headers } = await read(`https://site-${n}.example`)
    t.match([status, headers['access-control-allow-origin']], [200, '*'])
    seen.push(headers['x-cache'] ?? '')
  }
  t.equal(seen.filter((one) => one !== 'HIT').length, 0, 'the read that found it open was the only one')
  const [{ media_url: address }] = JSON.parse((await read(SITE)).body).data
  const picture = async () => (await read(OTHER_SITE, new URL(address).pathname)).headers['x-cache']
  t.strictSame([await picture(), await picture()], ['MISS', 'HIT'], 'pictures are kept too')

  agent.sql("update accounts set feed_open = 0, serves = 'token', revision = revision + 1")
  await waitFor('the agent to refuse it', async () => (await agent.fetch('/media.json', { headers: { origin: SITE } })).status === 403)
  const { headers, status } = await read(OTHER_SITE)
  t.match([status, headers['x-cache']], [200, 'HIT'], 'until it is stale, which is a day at most:')
  const allowed = [...(headers['cache-control'] ?? '').matchAll(/=(\d+)/g)].map(([, seconds]) => Number(seconds))
  t.ok(allowed.length === 3 && allowed.every((seconds) => seconds <= 86_400), headers['cache-control'] ?? '')
})

t.test('an answer to a server with a key is for that server alone', { skip }, async (t) => {
  const { agent, token } = await openServing(t)
  const nginx = await startNginx(t, await agent.listen())
  const withKey = await askPort(nginx.port, '/token.json', { headers: { authorization: `Bearer ${SERVER_KEY}` } })
  t.match(withKey.body, token)
  for (const headers of [{}, { authorization: 'Bearer another-key' }, { origin: OTHER_SITE }]) {
    const { status, body } = await askPort(nginx.port, '/token.json', { headers })
    t.equal(status, 403)
    t.notMatch(body, token)
  }
})

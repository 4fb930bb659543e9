import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ask, OTHER_SITE, openServing, SERVER_KEY, SITE, WEBHOOK_SECRET } from '../support/owner.ts'
import { type RawAnswer, sendRaw } from '../support/raw-http.ts'
import { words } from '../support/words.ts'

const CANARY = 'canary.example'
const { agent, token } = await openServing(t)
const port = await agent.listen()
const get = (path: string, ...lines: string[]): string => `${[`GET ${path} HTTP/1.1`, ...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`

t.test('a header that must be unique is refused when it is sent twice', async (t) => {
  const twice: [string, string][] = [
    [`Origin: ${SITE}`, `Origin: ${SITE}`],
    [`Origin: ${SITE}`, `Origin: ${OTHER_SITE}`],
    [`Origin: ${OTHER_SITE}`, `origin: ${SITE}`],
    [`Origin: ${SITE}`, 'ORIGIN: null'],
    [`Referer: ${SITE}/`, `Referer: ${SITE}/`],
    [`Referer: ${OTHER_SITE}/`, `Referer: ${SITE}/`],
    [`Authorization: Bearer ${SERVER_KEY}`, 'Authorization: Bearer wrong'],
    ['Authorization: Bearer wrong', `Authorization: Bearer ${SERVER_KEY}`],
    ['Sec-Fetch-Mode: cors', 'Sec-Fetch-Mode: navigate'],
  ]
  for (const lines of twice) {
    // All other headers are right, so that only the repetition can be refused.
    const rest = lines[0].startsWith('Sec') ? [`Origin: ${SITE}`] : []
    for (const path of ['/token', '/token.js', '/token.json']) {
      const { status, body } = await sendRaw(port, get(path, 'Host: agent.example', ...lines, ...rest))
      t.equal(status, 403, `${path} with ${lines.join(' and ')}`)
      t.notMatch(body, token)
    }
  }
})

t.test('nonsense on the wire is refused without an echo', async (t) => {
  const nonsense = {
    'no HTTP at all': `${CANARY}\r\n\r\n`,
    TLS: Buffer.from('16030100050100000100', 'hex'),
    'no Host': get('/token', `Origin: ${SITE}`),
    'a header without a colon': get('/token', 'Host: a', CANARY),
    'a space before the colon': get('/token', 'Host: a', `Origin : ${SITE}`),
    'a folded header': get('/token', 'Host: a', `Origin: ${OTHER_SITE}\r\n ${SITE}`),
    'a NUL in a header': get('/token', 'Host: a', `Origin: ${SITE}\0`),
    'a bare line feed in a header': get('/token', 'Host: a', `X: a\nOrigin: ${SITE}`),
    'both lengths': `POST /hooks/refresh HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
    'two lengths': 'POST /hooks/refresh HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\nConnection: close\r\n\r\n',
    'an unknown method': `FROB /token HTTP/1.1\r\nHost: ${CANARY}\r\nConnection: close\r\n\r\n`,
    'a proxy’s address': get(`http://${CANARY}/nothing`, `Host: ${CANARY}`),
    CONNECT: `CONNECT ${CANARY}:443 HTTP/1.1\r\nHost: ${CANARY}\r\nConnection: close\r\n\r\n`,
    'a future version': 'GET /token HTTP/9.9\r\nHost: a\r\n\r\n',
  }
  for (const [what, bytes] of Object.entries(nonsense)) {
    const { status, raw } = await sendRaw(port, bytes)
    t.ok(status === 0 || (status >= 400 && status < 500), `${what}: ${status}`)
    t.notOk(raw.includes(CANARY) || raw.includes(token), what)
  }
  const malformed = await sendRaw(port, nonsense['a header without a colon'])
  t.equal(malformed.status, 400)
  refusedOnTheWire(t, malformed, 'The request could not be understood.')
})

/** Checks an answer that no route gave: it looks like every other refusal. */
function refusedOnTheWire(t: Test, { headers, body }: RawAnswer, message: string): void {
  t.same(JSON.parse(body), { error: 'invalid', message })
  t.same(Object.fromEntries(headers), {
    'content-type': 'application/json; charset=utf-8',
    'content-length': `${Buffer.byteLength(body)}`,
    'cache-control': 'no-store',
    connection: 'close',
  })
}

t.test('a request that is too large is refused, and not read to its end', async (t) => {
  const long = 'x'.repeat(20_000)
  const address = await sendRaw(port, get(`/token?${long}`, 'Host: a', `Origin: ${SITE}`))
  t.equal(address.status, 431)
  const header = await sendRaw(port, get('/token', 'Host: a', `Origin: ${SITE}`, `X-Long: ${long}`))
  t.equal(header.status, 431)
  const many = await sendRaw(port, get('/token', 'Host: a', ...Array.from({ length: 1000 }, (_, n) => `X-${n}: ${n}`)))
  t.equal(many.status, 431)
  for (const refused of [address, header, many]) refusedOnTheWire(t, refused, 'The headers or the address are too large.')
  const headers = { authorization: `Bearer ${WEBHOOK_SECRET}`, 'content-type': 'application/json' }
  const body = await ask(agent, '/hooks/refresh', { method: 'POST', headers, body: JSON.stringify({ long }) })
  t.equal(body.status, 413)
  t.match(JSON.parse(body.body), { error: 'invalid', message: 'The request is too large.' })
  t.equal(body.headers['cache-control'], 'no-store')
})

t.test('Host and its relatives change nothing and come back nowhere', async (t) => {
  const hosts = {
    host: CANARY,
    'x-forwarded-host': CANARY,
    'x-forwarded-proto': 'gopher',
    'x-forwarded-for': CANARY,
    'x-original-url': `/${CANARY}`,
    'x-rewrite-url': '/token',
    forwarded: `host=${CANARY}`,
  }
  for (const path of words`/ /setup /status /healthz /readyz /style.css /token.js /token.json /token /nothing /%zz`) {
    const { headers, body } = await ask(agent, path, { headers: { ...hosts, origin: SITE } })
    t.notOk(`${JSON.stringify(headers)}${body}`.includes(CANARY), path)
    t.notMatch(body, /gopher/)
  }
  t.notMatch(agent.stdout(), CANARY, 'not even in the log')
})

t.test('neither 404 nor 500 repeats the address', async (t) => {
  const path = `/${CANARY}/<script>?${CANARY}=1`
  const missing = await ask(agent, encodeURI(path))
  t.equal(missing.status, 404)
  t.match(JSON.parse(missing.body), { error: 'not_found', message: /nothing/ })
  t.notMatch(missing.body, CANARY)
  const posted = await ask(agent, path.replaceAll(/[<>]/g, ''), {
    method: 'POST',
    body: CANARY,
    headers: { 'content-type': 'text/x-canary' },
  })
  t.ok(posted.status === 404 || posted.status === 415)
  t.notMatch(posted.body, /canary/)
})

t.test('slow and silent clients are cut off, one with 408, and other requests are not affected', async (t) => {
  // The pause keeps the test's reader from giving up 10 s after the last part.
  const slow = sendRaw(port, 'GET /token HTTP/1.1\r\nHost: a\r\n', { waitMs: 5_000 }, 'X: 1\r\n')
  const started = performance.now()
  const sockets: Socket[] = []
  const closed: Promise<unknown>[] = []
  const open = (first: string, trickle: string): void => {
    const socket = connect({ port: port, host: '127.0.0.1' })
    sockets.push(socket)
    socket.on('error', () => {}).resume()
    const timer = setInterval(() => socket.write(trickle), 500)
    if (trickle === '') clearInterval(timer)
    closed.push(once(socket, 'close').then(() => clearInterval(timer)))
    socket.write(first)
  }
  for (let n = 0; n < 20; n++) {
    open('', '')
    open('GET /token HTTP/1.1\r\nHost: a\r\n', 'X: 1\r\n')
    open(
      `POST /hooks/refresh HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${WEBHOOK_SECRET}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n`,
      ' ',
    )
  }
  let done = false
  const all = Promise.all(closed).then(() => {
    done = true
  })
  while (!done && performance.now() - started < 25_000) {
    const { status } = await ask(agent, '/token.json', { headers: { origin: SITE } })
    if (status !== 200) t.equal(status, 200)
    await Promise.race([all, sleep(100)])
  }
  const seconds = (performance.now() - started) / 1000
  for (const socket of sockets) socket.destroy()
  t.ok(done, 'every one of them was closed')
  t.ok(seconds < 20, `after ${seconds.toFixed(1)} s`)
  t.equal((await slow).status, 408)
  refusedOnTheWire(t, await slow, 'The request took too long to arrive.')
})

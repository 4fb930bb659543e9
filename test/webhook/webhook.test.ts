import type { LookupAddress, LookupAllOptions } from 'node:dns'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { Secret } from '../../src/core/secret.ts'
import { createWebhook, type WebhookOptions } from '../../src/webhook/webhook.ts'
import { selfSignedChain } from '../support/certificates.ts'
import { missing } from '../support/services.ts'
import { tempFolder } from '../support/temp-folder.ts'

const skip = missing('openssl')
const SECRET_PATH = '/services/T000/canary-in-the-address'
const ALERT: Alert = { event: 'person_needed', account: 'shop', state: 'reconnect', message: 'The token of “shop” is refused.' }

type Lookup = NonNullable<WebhookOptions['lookup']>

/** DNS that answers each look-up with the next of these, and from then on with the last. */
function dns(...answers: string[][]): { lookup: Lookup; calls: () => number } {
  let calls = 0
  const lookup = (_host: string, _options: LookupAllOptions, callback: (error: null, addresses: LookupAddress[]) => void): void => {
    const answer = answers[Math.min(calls++, answers.length - 1)] ?? []
    setImmediate(
      callback,
      null,
      answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
  }
  return { lookup: lookup as unknown as Lookup, calls: () => calls }
}

interface Receiver {
  readonly posts: { path: string | undefined; body: Record<string, unknown> }[]
  connections: number
  send(options?: Partial<WebhookOptions>, host?: string): Promise<void>
}

/** A receiver on 127.0.0.1, the only address that the guard allows. */
async function receiver(t: Test, answer: RequestListener = (_request, response) => response.end('ok')): Promise<Receiver> {
  const { caFile, chainFile, keyFile } = selfSignedChain(tempFolder(t), ['hooks.example'])
  const posts: Receiver['posts'] = []
  const server = createServer({ cert: readFileSync(chainFile), key: readFileSync(keyFile) }, async (request: IncomingMessage, response) => {
    posts.push({ path: request.url, body: JSON.parse(await text(request)) })
    answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close().closeAllConnections())
  const made: Receiver = {
    posts,
    connections: 0,
    send(options = {}, host = 'hooks.example') {
      const { port } = server.address() as AddressInfo
      const { send } = createWebhook({
        url: new Secret(`https://${host}:${port}${SECRET_PATH}`),
        appUrl: 'https://agent.example',
        ca: readFileSync(caFile),
        lookup: dns(['127.0.0.1']).lookup,
        isForbidden: (address) => address !== '127.0.0.1',
        ...options,
      })
      return send([ALERT])
    },
  }
  server.on('connection', () => made.connections++)
  return made
}

t.test('posts JSON that a program reads, and chats that show text or content', { skip }, async (t) => {
  const { send, posts } = await receiver(t)
  await send()
  const link = 'https://agent.example/admin/accounts/shop'
  const text = `token-agent at https://agent.example: The token of “shop” is refused.\n${link}`
  t.strictSame(posts, [{ path: SECRET_PATH, body: { ...ALERT, text, content: text, alerts: [{ ...ALERT, link }] } }])
})

t.test('does not connect to an address that is not public, by name or by number', { skip }, async (t) => {
  const to = await receiver(t)
  const refused = { message: /not on the public Internet/ }
  const guarded = { isForbidden: undefined } as unknown as Partial<WebhookOptions>
  for (const addresses of [['127.0.0.1'], ['::1'], ['::ffff:127.0.0.1'], ['8.8.8.8', '127.0.0.1'], ['169.254.169.254'], []]) {
    await t.rejects(to.send({ ...guarded, lookup: dns(addresses).lookup }), refused, addresses.join(' '))
  }
  for (const host of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1', '127.1', '0']) {
    await t.rejects(to.send(guarded, host), refused, host)
  }
  t.equal(to.connections, 0)
})

t.test('connects to the address that was checked, and does not look it up twice', { skip }, async (t) => {
  const to = await receiver(t)
  const rebinding = dns(['127.0.0.1'], ['127.0.0.2'])
  await to.send({ lookup: rebinding.lookup })
  t.equal(rebinding.calls(), 1)
  await t.rejects(to.send({ lookup: dns(['127.0.0.2']).lookup }), { message: /not on the public Internet/ })
})

t.test('follows no redirect', { skip }, async (t) => {
  const other = await receiver(t)
  const to = await receiver(t, (_request, response) => response.writeHead(307, { location: `https://hooks.example/elsewhere` }).end())
  await t.rejects(to.send(), { message: /HTTP 307, and redirects are not followed/ })
  t.equal(other.connections, 0)
  t.equal(to.connections, 1)
})

t.test('counts only a 2xx as arrived', { skip }, async (t) => {
  for (const status of [199 + 1, 204]) await (await receiver(t, (_request, response) => response.writeHead(status).end())).send()
  for (const status of [400, 404, 410, 429, 500]) {
    const to = await receiver(t, (_request, response) => response.writeHead(status).end('no'))
    await t.rejects(to.send(), { message: new RegExp(`HTTP ${status}`) })
  }
})

t.test('a webhook that does not answer in time is an error', { skip }, async (t) => {
  const silent = await receiver(t, () => {})
  await t.rejects(silent.send({ timeoutMs: 300 }), { message: /did not answer within 0.3 seconds/ })
  const nameless = { timeoutMs: 300, lookup: (() => {}) as unknown as Lookup }
  await t.rejects(silent.send(nameless), { message: /did not answer within/ })
})

t.test('an endless answer and a slow one are cut off', { skip }, async (t) => {
  let written = 0
  const flood = await receiver(t, (_request, response) => {
    const chunk = Buffer.alloc(16_384, 'x')
    const pour = (): void => {
      while (!response.destroyed && response.write(chunk)) written += chunk.length
    }
    response.on('drain', pour).on('error', () => {})
    pour()
    response.on('close', () => t.pass('the connection was cut'))
  })
  await flood.send()
  const drip = await receiver(t, (_request, response) => {
    response.writeHead(200).write('a little')
    response.on('close', () => t.pass('the slow connection was cut'))
  })
  await drip.send({ timeoutMs: 300 })
  await new Promise((resolve) => setTimeout(resolve, 600))
  t.ok(written < 16 * 1024 * 1024, `${written} bytes`)
})

t.test('refuses a certificate of no public authority', { skip }, async (t) => {
  const to = await receiver(t)
  await t.rejects(to.send({ ca: undefined } as unknown as Partial<WebhookOptions>), { message: /could not be reached \(.*CERT.*\)/ })
  t.equal(to.posts.length, 0)
})

t.test('refuses every address but https', async (t) => {
  for (const url of ['http://hooks.example/x', 'ftp://hooks.example', 'file:///etc/passwd', 'nonsense']) {
    await t.rejects(createWebhook({ url: new Secret(url), appUrl: '' }).send([ALERT]), { message: /not an https/ })
  }
})

t.test('no error holds the address, which is a secret', { skip }, async (t) => {
  const to = await receiver(t, (_request, response) => response.writeHead(500).end(SECRET_PATH))
  const loopback = dns(['127.0.0.1']).lookup
  const attempts = [
    () => to.send(),
    () => to.send({ isForbidden: () => true }),
    () => to.send({ ca: undefined } as unknown as Partial<WebhookOptions>),
    () =>
      createWebhook({
        url: new Secret(`https://hooks.example:1${SECRET_PATH}`),
        appUrl: '',
        lookup: loopback,
        isForbidden: () => false,
      }).send([ALERT]),
  ]
  for (const attempt of attempts) {
    const error: unknown = await attempt().catch((error: unknown) => error)
    t.ok(error instanceof Error)
    t.notMatch(inspect(error, { depth: 9 }), /canary|hooks\.example/)
  }
})

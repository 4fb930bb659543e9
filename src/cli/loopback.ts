import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/errors.ts'
import { createCertificate } from './certificate.ts'
import { type Answer, answerIn } from './pasted-answer.ts'

/** What the browser shows. */
export interface LoopbackPage {
  readonly status: number
  readonly title: string
  readonly text: string
}

export interface Listener {
  readonly redirectUri: string
  /** Answers the browser first, within two seconds. */
  close(): Promise<void>
}

export interface ListenOptions {
  /** The redirect URIs to try, in this order; port 0 = any free port. */
  readonly redirectUris: readonly string[]
  /** `loopback`, `all`, or an address of this machine. Never changes the redirect URI. */
  readonly where: string
  /** Called with each answer that comes to the redirect URI. */
  readonly onAnswer: (answer: Answer) => Promise<LoopbackPage>
  /** A browser refused the certificate. */
  readonly onTlsError: () => void
}

const LIMITS = { maxHeaderSize: 16 * 1024, headersTimeout: 8_000, requestTimeout: 10_000, keepAlive: false }
const MAX_CONNECTIONS = 16
const LAST_PAGE_MS = 2_000
/** Takes the code out of the address bar. */
const SCRIPT = 'history.replaceState(null,"",location.pathname)'
const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': `default-src 'none'; script-src 'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
  connection: 'close',
}

/** Listens on the first redirect URI whose port is free on all addresses. Throws an AppError where none is. */
export async function listen(options: ListenOptions): Promise<Listener> {
  for (const redirectUri of options.redirectUris) {
    const opened = await listenOn(redirectUri, options)
    if (opened !== null) return opened
  }
  const ports = options.redirectUris.map((uri) => new URL(uri).port)
  const which = ports.length === 1 ? `The port ${ports[0]} is taken.` : `All of the ports ${ports[0]} to ${ports.at(-1)} are taken.`
  throw new AppError(
    'unavailable',
    `${which} Close what uses ${ports.length === 1 ? 'it' : 'one of them'}, or name a registered redirect URI with --redirect.`,
  )
}

/** Null where the port is taken on one of the addresses. */
async function listenOn(redirectUri: string, options: ListenOptions): Promise<Listener | null> {
  const url = new URL(redirectUri)
  const servers: Server[] = []
  const sending = new Set<Promise<unknown>>()
  const close = async (): Promise<void> => {
    for (const server of servers) server.close()
    await Promise.race([Promise.all(sending), sleep(LAST_PAGE_MS, undefined, { ref: false })])
    for (const server of servers) server.closeAllConnections()
  }
  const secure = url.protocol === 'https:' ? createCertificate(Date.now()) : null
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const sent = once(response, 'close').finally(() => sending.delete(sent))
    sending.add(sent)
    void answer(request, response, { url, ...options })
  }
  for (const host of hostsOf(url, options.where)) {
    const server = secure === null ? createHttp(LIMITS, handle) : createHttps({ ...LIMITS, ...secure }, handle)
    server.maxConnections = MAX_CONNECTIONS
    server.on('tlsClientError', options.onTlsError)
    server.on('clientError', (_error, socket) => void socket.destroy())
    const outcome = await opened(server, host, Number(url.port))
    if (outcome === 'taken') {
      await close()
      return null
    }
    // A machine without IPv6 has no ::1, and no :: that listens to both families.
    if (outcome === 'listening') servers.push(server)
    if (options.where === 'all' && servers.length > 0) break
  }
  if (servers.length === 0) throw new AppError('invalid', 'This machine has no such address: name one of its own with --listen.')
  const bound = servers[0]?.address()
  if (url.port === '0' && typeof bound === 'object' && bound !== null) url.port = String(bound.port)
  return { redirectUri: url.href, close }
}

function hostsOf({ hostname }: URL, where: string): readonly string[] {
  if (where === 'all') return ['::', '0.0.0.0']
  if (where !== 'loopback') return [where]
  return hostname === 'localhost' ? ['127.0.0.1', '::1'] : [hostname.replace(/^\[|\]$/g, '')]
}

function opened(server: Server, host: string, port: number): Promise<'listening' | 'taken' | 'no address'> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve('taken')
      else if (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT') resolve('no address')
      else reject(error)
    })
    server.listen(port, host, () => resolve('listening'))
  })
}

type Asked = Pick<ListenOptions, 'onAnswer'> & { readonly url: URL }

async function answer(
  { method, headers, url: path = '' }: IncomingMessage,
  response: ServerResponse,
  { url, onAnswer }: Asked,
): Promise<void> {
  // A name that an attacker points at 127.0.0.1 must read nothing.
  if (headers.host !== url.host) return end(response, 421)
  const target = URL.parse(path, url.origin)
  if (target === null || target.pathname !== url.pathname || !path.startsWith('/')) return end(response, 404)
  if (method !== 'GET') return end(response, 405, { allow: 'GET' })
  // The browser fetches ahead, and the person has not seen the page yet.
  if (/prefetch|prerender/.test(`${headers['sec-purpose'] ?? ''} ${headers['purpose'] ?? ''}`)) return end(response, 503)
  const page = await onAnswer(answerIn(target)).catch(
    (): LoopbackPage => ({ status: 500, title: 'Something failed', text: 'The terminal says what.' }),
  )
  response.writeHead(page.status, HEADERS).end(htmlOf(page))
}

function end(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...headers, 'cache-control': 'no-store', connection: 'close' }).end()
}

function htmlOf({ title, text }: LoopbackPage): string {
  const escaped = (value: string): string => value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}</style>
<script>${SCRIPT}</script>
<h1>${escaped(title)}</h1>
<p>${escaped(text)}</p>
</html>
`
}

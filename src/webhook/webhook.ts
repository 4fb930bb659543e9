import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { SendAlert } from '../alerts/alert.ts'
import { isForbiddenAddress } from '../core/public-address.ts'
import type { Secret } from '../core/secret.ts'

export interface WebhookOptions {
  /** A secret: its holder may post into the operator's channel. */
  readonly url: Secret
  /** Stands in the message, for an operator of several agents. */
  readonly appUrl: string
  readonly isForbidden?: (address: string) => boolean
  readonly lookup?: typeof systemLookup
  readonly timeoutMs?: number
  /** Certificates to trust instead of the usual authorities. */
  readonly ca?: Buffer
}

const TIMEOUT_MS = 5_000
const MAX_BYTES = 64 * 1024
// Discord refuses more than 2,000 characters.
const MAX_TEXT = 1_900
const NOT_PUBLIC = 'the host of ALERT_WEBHOOK_URL has an address that is not on the public Internet, which is refused'

/** Posts alerts as JSON that Slack (`text`) and Discord (`content`) show. Its errors never hold the address. */
export function createWebhook({ url, appUrl, ca, ...options }: WebhookOptions): SendAlert {
  const { isForbidden = isForbiddenAddress, lookup = systemLookup, timeoutMs = TIMEOUT_MS } = options

  // The connection uses the addresses checked here. A second look-up could answer differently (DNS rebinding).
  const guardedLookup: LookupFunction = (host, _options, callback) => {
    lookup(host, { all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(failed(systemCode(error)), [])
      if (addresses.length === 0 || addresses.some(({ address }) => isForbidden(address))) return callback(failed(NOT_PUBLIC), [])
      callback(null, addresses)
    })
  }

  return async ({ event, account, state, message }) => {
    const target = URL.parse(url.reveal())
    if (target?.protocol !== 'https:') throw failed('ALERT_WEBHOOK_URL is not an https:// address')
    // Node looks up no IP address, so guardedLookup would not run.
    const host = target.hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) !== 0 && isForbidden(host)) throw failed(NOT_PUBLIC)
    const text = `token-agent at ${appUrl}: ${message}`.slice(0, MAX_TEXT)
    const body = JSON.stringify({ event, account, state, message, text, content: text })
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'user-agent': 'token-agent' }
    // Node passes `all: true` to a lookup, and takes a list of addresses, only with autoSelectFamily.
    const connecting = { agent: false, lookup: guardedLookup, autoSelectFamily: true, ...(ca === undefined ? {} : { ca }) } as const
    const post = request(target, { method: 'POST', headers, ...connecting })
    const status = await answerOf(post, body, timeoutMs)
    if (status < 200 || status > 299)
      throw failed(`the webhook answered with HTTP ${status}${status >= 300 && status < 400 ? ', and redirects are not followed' : ''}`)
  }
}

/** The HTTP status. The body is not needed, so a long or slow one is cut off. */
function answerOf(post: ClientRequest, body: string, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    // Limits the whole call: look-up, connection and answer.
    const deadline = setTimeout(() => post.destroy(failed(`the webhook did not answer within ${timeoutMs / 1000} seconds`)), timeoutMs)
    post.on('close', () => clearTimeout(deadline))
    post.on('error', (error) => reject(error instanceof DeliveryError ? error : failed(systemCode(error))))
    post.on('response', (answer: IncomingMessage) => {
      let size = 0
      answer.on('error', () => {})
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > MAX_BYTES) answer.destroy()
      })
      resolve(answer.statusCode ?? 0)
    })
    post.end(body)
  })
}

class DeliveryError extends Error {}

function failed(why: string): DeliveryError {
  return new DeliveryError(`The alert was not delivered: ${why}. It is tried again.`)
}

// Node's own message may name the host, so only its code is kept.
function systemCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return `the webhook could not be reached${typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,60}$/.test(code) ? ` (${code})` : ''}`
}

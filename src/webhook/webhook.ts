import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { type Channel, DeliveryError } from '../alerts/channel.ts'
import { shortDigest } from '../core/digest.ts'
import { isForbiddenAddress } from '../core/public-address.ts'
import type { Secret } from '../core/secret.ts'
import { receiverAt } from './bodies.ts'

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
const NOT_PUBLIC = 'the host of ALERT_WEBHOOK_URL has an address that is not on the public Internet, which is refused'

const MEANINGS: Readonly<Record<number, string>> = {
  400: ' and refuses the message',
  401: ' and refuses the address',
  403: ' and refuses the address',
  404: ': it may have been deleted, so make a new one',
  410: ': it was deleted, so make a new one',
  429: ' because it gets too many messages',
}

/** Posts alerts as JSON in the form that the receiver takes. Its errors never hold the address. */
export function createWebhook({ url, appUrl, ca, ...options }: WebhookOptions): Channel {
  const { isForbidden = isForbiddenAddress, lookup = systemLookup, timeoutMs = TIMEOUT_MS } = options

  // The connection uses the addresses checked here. A second look-up could answer differently (DNS rebinding).
  const guardedLookup: LookupFunction = (host, _options, callback) => {
    lookup(host, { all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(new DeliveryError(systemCode(error)), [])
      if (addresses.length === 0 || addresses.some(({ address }) => isForbidden(address)))
        return callback(new DeliveryError(NOT_PUBLIC), [])
      callback(null, addresses)
    })
  }

  const target = URL.parse(url.reveal())
  const { title, body: bodyOf } = receiverAt(target?.hostname ?? '')

  return {
    kind: 'webhook',
    title,
    target: shortDigest(target === null ? '' : target.origin + target.pathname + target.search),
    async send(alerts) {
      if (target?.protocol !== 'https:') throw new DeliveryError('ALERT_WEBHOOK_URL is not an https:// address')
      // Node looks up no IP address, so guardedLookup would not run.
      const host = target.hostname.replace(/^\[|\]$/g, '')
      if (isIP(host) !== 0 && isForbidden(host)) throw new DeliveryError(NOT_PUBLIC)
      const body = JSON.stringify(bodyOf(alerts, appUrl))
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'user-agent': 'token-agent' }
      // Node passes `all: true` to a lookup, and takes a list of addresses, only with autoSelectFamily.
      const connecting = { agent: false, lookup: guardedLookup, autoSelectFamily: true, ...(ca === undefined ? {} : { ca }) } as const
      const post = request(target, { method: 'POST', headers, ...connecting })
      const status = await answerOf(post, body, timeoutMs)
      if (status >= 200 && status <= 299) return
      const meaning = status >= 300 && status < 400 ? ', and redirects are not followed' : (MEANINGS[status] ?? '')
      throw new DeliveryError(`the webhook answered with HTTP ${status}${meaning}`)
    },
  }
}

/** The HTTP status. The body is not needed, so a long or slow one is cut off. */
function answerOf(post: ClientRequest, body: string, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    // Limits the whole call: look-up, connection and answer.
    const deadline = setTimeout(
      () => post.destroy(new DeliveryError(`the webhook did not answer within ${timeoutMs / 1000} seconds`)),
      timeoutMs,
    )
    post.on('close', () => clearTimeout(deadline))
    post.on('error', (error) => reject(error instanceof DeliveryError ? error : new DeliveryError(systemCode(error))))
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

// Node's own message may name the host, so only its code is kept.
function systemCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return `the webhook could not be reached${typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,60}$/.test(code) ? ` (${code})` : ''}`
}

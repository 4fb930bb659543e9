import { createHmac, timingSafeEqual } from 'node:crypto'
import type { SignedCall } from '../../core/provider.ts'
import type { Secret } from '../../core/secret.ts'
import { parse } from './answer.ts'

/**
 * Null where the signature is not the app's. A request is signature "." payload, both base64url; the signature is the
 * HMAC-SHA256 of the payload's text with the app secret.
 * https://developers.facebook.com/docs/facebook-login/guides/advanced/existing-system#parsingsr
 */
export function readSignedRequest(signedRequest: string, secret: Secret): SignedCall | null {
  const [signature, payload, ...rest] = signedRequest.split('.')
  if (signature === undefined || payload === undefined || rest.length > 0) return null
  const given = Buffer.from(signature, 'base64url')
  const expected = createHmac('sha256', secret.reveal()).update(payload).digest()
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null
  const fields = parse(Buffer.from(payload, 'base64url').toString('utf8'))
  if (typeof fields !== 'object' || fields === null) return null
  const { algorithm, user_id: userId, issued_at: issuedAt } = fields as Record<string, unknown>
  if (String(algorithm).toUpperCase() !== 'HMAC-SHA256') return null
  if (typeof userId !== 'string' || !/^\d{1,32}$/.test(userId)) return null
  return { userId, issuedAtMs: instantOf(issuedAt), signed: payload }
}

/** In milliseconds the year 1973, in seconds the year 5138. */
const MIN_MILLISECONDS = 100_000_000_000

/** Seconds, as documented; a larger number counts as milliseconds. */
function instantOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) return null
  return number < MIN_MILLISECONDS ? number * 1000 : number
}

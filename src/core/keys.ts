import { createHash, timingSafeEqual } from 'node:crypto'
import { unquoted } from './quotes.ts'
import type { Secret } from './secret.ts'

/**
 * Compares in constant time, by digests, so that not even the secrets' lengths show. A client that the same file set up may
 * send quotes too.
 */
export function isOneOf(secrets: readonly Secret[]): (candidate: string) => boolean {
  const digests = secrets.map((secret) => digest(secret.reveal()))
  return (candidate) => {
    const asked = digest(unquoted(candidate))
    return digests.reduce((found, one) => timingSafeEqual(one, asked) || found, false)
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

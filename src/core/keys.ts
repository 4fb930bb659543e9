import { createHash, timingSafeEqual } from 'node:crypto'
import { unquoted } from './quotes.ts'
import type { Secret } from './secret.ts'

/**
 * Compares digests in constant time, so not even the secrets' lengths show. Quotes are removed: a client configured from
 * the same env file sends them too.
 */
export function isOneOf(secrets: readonly Secret[]): (candidate: string) => boolean {
  const digests = secrets.map((secret) => digest(secret.reveal()))
  return (candidate) => {
    const given = digest(unquoted(candidate))
    return digests.reduce((isEqual, one) => timingSafeEqual(one, given) || isEqual, false)
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

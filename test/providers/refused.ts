import { inspect } from 'node:util'
import type { Test } from 'tap'
import { ProviderError, type ProviderErrorKind } from '../../src/core/errors.ts'
import type { FaultName } from '../support/instagram-faults.ts'

/** A token that no error may show. */
export const CANARY = 'IGAA-canary-9f2c71d4e8b05a63-canary'

/** The error of a call that must fail. Asserts that it shows neither the token nor a URL. */
export async function refused(t: Test, call: Promise<unknown>, token = CANARY): Promise<ProviderError> {
  const error = await call.then(
    () => t.fail('the call should have been refused'),
    (error: unknown) => error,
  )
  if (!(error instanceof ProviderError)) throw new Error('Not a ProviderError', { cause: error })
  const shown = [
    inspect(error, { depth: 20, showHidden: true }),
    error.stack,
    error.message,
    JSON.stringify(error),
    String(error.cause),
  ].join()
  t.notOk(shown.includes(token) || shown.includes(encodeURIComponent(token)), 'no token in the error')
  t.notMatch(shown, /https?:|127\.0\.0\.1|access_token=/, 'no URL in the error')
  t.match(error.message, /^[A-Z].*[.)]$/s, 'a sentence')
  return error
}

/** What goes wrong on the way, whatever the provider: the kind of error, and its sentence. The time limit is 0.3 s. */
export const WIRE_KINDS = {
  html502: ['transient', /trouble.*HTTP 502/],
  html200: ['transient', /not JSON/],
  empty500: ['transient', /trouble.*HTTP 500/],
  empty200: ['transient', /not JSON/],
  object: ['transient', /without/],
  list: ['transient', /unknown shape/],
  null: ['transient', /unknown shape/],
  wrongTypes: ['transient', /without/],
  notUtf8: ['transient', /not JSON/],
  redirect: ['transient', /could not be reached/],
  hang: ['transient', /did not answer within 0\.3 seconds/],
  reset: ['transient', /could not be reached \(ECONNRESET\)/],
  lost: ['transient', /could not be reached/],
  truncated: ['transient', /not JSON/],
  cut: ['transient', /could not be reached/],
  tenMegabytes: ['transient', /more than 256 KB/],
  flood: ['transient', /more than 256 KB/],
} satisfies Partial<Record<FaultName, [kind: ProviderErrorKind, says: RegExp]>>

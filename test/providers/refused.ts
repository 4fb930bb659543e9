import { inspect } from 'node:util'
import type { Test } from 'tap'
import { ProviderError } from '../../src/core/errors.ts'

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

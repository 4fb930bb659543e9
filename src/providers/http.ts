import { ProviderError } from '../domain/errors.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

export interface Call {
  /** The provider's name, as it stands in a sentence. */
  readonly service: string
  readonly timeoutMs: number
  readonly fetch: typeof globalThis.fetch
  readonly maxBytes?: number
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly body?: FormData | URLSearchParams
}

export const TIMEOUT_MS = 10_000
const MAX_BYTES = 256 * 1024

/**
 * One bounded call: throws `ProviderError` (`transient`) where no whole answer of a sane size came in time.
 *
 * Providers want the token in the query string, and fetch's own errors may quote the URL. So nothing of what was
 * caught is passed on, not even as `cause`: only its system error code (ECONNREFUSED), which cannot hold a token.
 */
export async function call(url: URL, { service, timeoutMs, fetch, maxBytes = MAX_BYTES, method = 'GET', body }: Call): Promise<Answer> {
  // One deadline for the headers and the body together: a body that trickles must not outlast the lease.
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, { signal, method, body: body ?? null, redirect: 'error', headers: { accept: 'application/json' } })
    const text = await readAtMost(response, maxBytes)
    if (text === null)
      throw tryAgain(`${service} answered with more than ${Math.round(maxBytes / 1024)} KB where a few lines were expected`)
    return { status: response.status, headers: response.headers, text }
  } catch (error) {
    if (error instanceof ProviderError) throw error
    if (signal.aborted) throw tryAgain(`${service} did not answer within ${timeoutMs / 1000} seconds`)
    throw tryAgain(`${service} could not be reached${systemCode(error)}`)
  }
}

/** Null where there is more; the rest is not read. */
async function readAtMost(response: Response, maxBytes: number): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    // Leaving the loop cancels the stream, which closes the connection.
    if (size > maxBytes) return null
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

function tryAgain(what: string): ProviderError {
  return new ProviderError('transient', `${what}; the token is kept, and the agent tries again by itself.`)
}

function systemCode(error: unknown): string {
  const cause = error instanceof Error ? error.cause : null
  const code = cause instanceof Error && 'code' in cause ? cause.code : null
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,40}$/.test(code) ? ` (${code})` : ''
}

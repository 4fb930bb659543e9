import { ProviderError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'

interface Download {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
}

export interface Answer extends Omit<Download, 'bytes'> {
  readonly text: string
}

export interface Call {
  /** The provider's name in a sentence. */
  readonly service: string
  readonly timeoutMs: number
  readonly fetch: typeof globalThis.fetch
  readonly maxBytes?: number
  readonly method?: 'GET' | 'POST' | 'DELETE'
  /** A text is JSON. */
  readonly body?: FormData | URLSearchParams | string
  readonly bearer?: Secret
  readonly accept?: string
}

export const TIMEOUT_MS = 10_000
const MAX_BYTES = 256 * 1024

export async function call(url: URL, how: Call): Promise<Answer> {
  const { status, headers, bytes } = await download(url, how)
  return { status, headers, text: new TextDecoder().decode(bytes) }
}

/**
 * One bounded call. Throws a transient `ProviderError` where no complete answer of at most `maxBytes` comes in time.
 *
 * Providers want the token in the query string, and fetch's errors may quote the URL. So a caught error is not passed on,
 * not even as `cause`; only its system error code is (ECONNREFUSED), which cannot hold a token.
 */
export async function download(url: URL, how: Call): Promise<Download> {
  const { service, timeoutMs, fetch, maxBytes = MAX_BYTES, method = 'GET', body, bearer, accept = 'application/json' } = how
  // One deadline for headers and body: a slow body must not outlast the lease.
  const signal = AbortSignal.timeout(timeoutMs)
  const headers = {
    accept,
    ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
    ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer.reveal()}` }),
  }
  try {
    const response = await fetch(url, { signal, method, body: body ?? null, redirect: 'error', headers })
    const bytes = await readAtMost(response, maxBytes)
    if (bytes === null) throw lost(`${service} answered with more than ${Math.round(maxBytes / 1024)} KB, where far less was expected`)
    return { status: response.status, headers: response.headers, bytes }
  } catch (error) {
    if (error instanceof ProviderError) throw error
    if (signal.aborted) throw lost(`${service} did not answer within ${timeoutMs / 1000} seconds`)
    const code = systemCode(error)
    throw failedCall(`${service} could not be reached${code === null ? '' : ` (${code})`}`, { isAnswerLost: !NOT_SENT.has(code ?? '') })
  }
}

/** Null where the body is longer; the rest is not read. */
async function readAtMost(response: Response, maxBytes: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    // Leaving the loop cancels the stream, which closes the connection.
    if (size > maxBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** With these errors no request has left this machine. */
const NOT_SENT: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

const lost = (what: string): ProviderError => failedCall(what, { isAnswerLost: true })

function failedCall(what: string, options: { isAnswerLost: boolean }): ProviderError {
  return new ProviderError('transient', `${what}; the token is kept, and the agent tries again by itself.`, options)
}

function systemCode(error: unknown): string | null {
  const cause = error instanceof Error ? error.cause : null
  const code = cause instanceof Error && 'code' in cause ? cause.code : null
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,40}$/.test(code) ? code : null
}

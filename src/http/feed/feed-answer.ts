import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { AppError, ErrorCode } from '../../core/errors.ts'
import type { PreparedBody } from '../../feeds/prepared-body.ts'
import { acceptsGzip } from '../accepts-gzip.ts'
import { STATUS } from '../errors.ts'
import { matches, VARY } from '../token/token-answer.ts'

/** What decides an answer's headers: who may read, and by which address. */
export interface Readers {
  /** Any web site may read. */
  readonly isOpen: boolean
  /** The answer's `Access-Control-Allow-Origin`; null = the request has no Origin, or may not read the answer. */
  readonly origin: string | null
}

/** Of what any page may use. */
export const FOR_ANY_PAGE = [
  'access-control-allow-origin',
  '*',
  'cross-origin-resource-policy',
  'cross-origin',
  'x-content-type-options',
  'nosniff',
] as const
const SAFE = ['x-content-type-options', 'nosniff', 'cross-origin-resource-policy', 'cross-origin'] as const
const LISTED = ['vary', `${VARY}, Accept-Encoding`, 'cache-control', 'private, max-age=300, stale-while-revalidate=86400'] as const
// A deleted post may stay in other people's caches for a day, and no longer.
const OPEN = [
  'vary',
  'Accept-Encoding',
  'cache-control',
  'public, max-age=300, stale-while-revalidate=86400, stale-if-error=86400',
] as const
const JSON_TYPE = 'application/json; charset=utf-8'
const HTML_TYPE = 'text/html; charset=utf-8'

type Asked = IncomingHttpHeaders

/** The feed, or 304. */
export function answerFeed(reply: FastifyReply, { isOpen, origin }: Readers, body: PreparedBody, asked: Asked): undefined {
  const headers: string[] = [...SAFE, ...(isOpen ? OPEN : LISTED)]
  if (isOpen) headers.push('access-control-allow-origin', '*')
  else if (origin !== null) headers.push('access-control-allow-origin', origin)
  answerBody(reply, { headers, type: JSON_TYPE, body }, asked)
}

/** The feed as a page, which this one site, or any, may frame; null = none. It runs no script and has no access to the agent's origin. */
export function answerFrame(
  reply: FastifyReply,
  { isOpen }: Pick<Readers, 'isOpen'>,
  { body, site }: { body: PreparedBody; site: string | null },
  asked: Asked,
): undefined {
  const headers = [...SAFE, ...(isOpen ? OPEN : LISTED), ...frameHeaders(isOpen ? '*' : (site ?? "'none'"))]
  answerBody(reply, { headers, type: HTML_TYPE, body }, asked)
}

/** A sentence in the place of the feed. It holds no post, so any site may frame it. */
export function answerFrameProblem(reply: FastifyReply, code: ErrorCode, html: string): undefined {
  const status = STATUS[code]
  const headers = [...SAFE, 'vary', VARY, 'cache-control', 'no-store', 'content-type', HTML_TYPE, ...frameHeaders('*')]
  if (status === 503) headers.push('retry-after', '5')
  write(reply, status, [...headers, 'content-length', String(Buffer.byteLength(html))], html)
}

/** An answer prepared once, in the coding that the reader takes; or 304. */
export function answerBody(
  reply: FastifyReply,
  { headers, type, body }: { readonly headers: readonly string[]; readonly type: string; readonly body: PreparedBody },
  asked: Asked,
): undefined {
  const zipped = acceptsGzip(asked['accept-encoding']) ? body.gzip() : null
  const { content, etag } = zipped ?? body
  const known = asked['if-none-match']
  if (known !== undefined && matches(known, etag)) return write(reply, 304, [...headers, 'etag', etag], '')
  const coding = zipped === null ? [] : ['content-encoding', 'gzip']
  write(reply, 200, [...headers, 'etag', etag, ...coding, 'content-type', type, 'content-length', String(content.length)], content)
}

/** No other page of the agent may be framed. */
const frameHeaders = (ancestors: string): string[] => [
  'content-security-policy',
  `default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors ${ancestors}; sandbox allow-popups allow-popups-to-escape-sandbox`,
  'referrer-policy',
  'no-referrer',
]

/** In the shape that instafeed.js and people read. It holds no post, so any site's page may read which setting refuses it. */
export function answerFeedProblem(
  reply: FastifyReply,
  { isOpen, origin }: Readers,
  { code: type, message }: Pick<AppError, 'code' | 'message'>,
): undefined {
  const code = STATUS[type]
  const body = JSON.stringify({ error: { code, type, message }, message })
  const headers: string[] = [...SAFE, 'vary', VARY, 'cache-control', 'no-store', 'content-type', JSON_TYPE]
  if (isOpen || origin !== null) headers.push('access-control-allow-origin', isOpen ? '*' : (origin ?? ''))
  if (code === 503) headers.push('retry-after', '5')
  headers.push('content-length', String(Buffer.byteLength(body)))
  write(reply, code, headers, body)
}

/** Bypasses Fastify's reply, which takes longer than the rest of a read. Node omits the body for HEAD. */
export function write(reply: FastifyReply, status: number, headers: readonly string[], body: string | Uint8Array): undefined {
  reply.hijack()
  reply.raw.writeHead(status, headers as string[])
  reply.raw.end(body)
}

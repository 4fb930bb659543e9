import type { FastifyReply } from 'fastify'
import type { AppError } from '../../core/errors.ts'
import type { FeedBody } from '../../feeds/feed-snapshot.ts'
import { STATUS } from '../errors.ts'
import { matches, VARY } from '../token/token-answer.ts'

/** What decides an answer's headers: who may read, and by which address. */
export interface Readers {
  /** Any web site may read. */
  readonly isOpen: boolean
  /** The answer's `Access-Control-Allow-Origin`; null = the request has no Origin, or may not read the answer. */
  readonly origin: string | null
}

const SAFE = ['x-content-type-options', 'nosniff', 'cross-origin-resource-policy', 'cross-origin'] as const
const LISTED = ['vary', `${VARY}, Accept-Encoding`, 'cache-control', 'private, max-age=300, stale-while-revalidate=86400'] as const
// A deleted post may stay in other people's caches for a day, and no longer.
const OPEN = [
  'vary',
  'Accept-Encoding',
  'cache-control',
  'public, max-age=300, stale-while-revalidate=86400, stale-if-error=86400',
  'access-control-allow-origin',
  '*',
] as const
const JSON_TYPE = 'application/json; charset=utf-8'

/** The feed, or 304. */
export function answerFeed(
  reply: FastifyReply,
  { isOpen, origin }: Readers,
  body: FeedBody,
  asked: { readonly 'if-none-match'?: string | undefined; readonly 'accept-encoding'?: string | string[] | undefined },
): undefined {
  const zipped = acceptsGzip(asked['accept-encoding']) ? body.gzip() : null
  const { content, etag } = zipped ?? body
  const headers: string[] = [...SAFE, ...(isOpen ? OPEN : LISTED), 'etag', etag]
  if (!isOpen && origin !== null) headers.push('access-control-allow-origin', origin)
  const known = asked['if-none-match']
  if (known !== undefined && matches(known, etag)) return write(reply, 304, headers, '')
  if (zipped !== null) headers.push('content-encoding', 'gzip')
  headers.push('content-type', JSON_TYPE, 'content-length', String(content.length))
  write(reply, 200, headers, content)
}

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

function acceptsGzip(header: string | string[] | undefined): boolean {
  return typeof header === 'string' && /(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)/i.test(header)
}

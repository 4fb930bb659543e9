import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AppError } from '../../core/errors.ts'
import type { ReadDecision, TokenResource } from '../../reading/decide-read.ts'
import { type Body, MAX_AGE_SECONDS } from '../../reading/snapshot.ts'
import { CONTENT_TYPES, errorAnswer, STATUS } from '../errors.ts'

// All headers that decide a read, so that no cache gives one site's answer to another.
export const VARY = 'Origin, Referer, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest'
const COMMON = ['vary', VARY, 'x-content-type-options', 'nosniff'] as const
const READABLE = [...COMMON, 'cross-origin-resource-policy', 'cross-origin'] as const
const USUAL_CACHE_CONTROL = `private, max-age=${MAX_AGE_SECONDS}`

export function answerToken(
  { raw: { headers: asked } }: FastifyRequest,
  reply: FastifyReply,
  { origin }: ReadDecision,
  { resource, body, maxAgeSeconds }: { resource: TokenResource; body: Body; maxAgeSeconds: number },
): undefined {
  const { content, etag, length } = body
  const cacheControl = maxAgeSeconds === MAX_AGE_SECONDS ? USUAL_CACHE_CONTROL : `private, max-age=${maxAgeSeconds}`
  const headers: string[] = [...READABLE, 'content-type', CONTENT_TYPES[resource], 'cache-control', cacheControl, 'etag', etag]
  if (origin !== null) headers.push('access-control-allow-origin', origin)
  const known = asked['if-none-match']
  if (known !== undefined && matches(known, etag)) return write(reply, 304, headers, '')
  headers.push('content-length', length)
  write(reply, 200, headers, content)
}

/** Sets the common headers on an answer that Fastify sends. */
export function allowRead(reply: FastifyReply): void {
  reply.header('vary', VARY).header('x-content-type-options', 'nosniff').header('cross-origin-resource-policy', 'cross-origin')
}

/** Not an Error: its stack would cost more than the rest of a refusal. */
export type Problem = Pick<AppError, 'code' | 'message'>

/** A problem holds no token, so any site's page may read which setting refuses it. */
export function answerProblem(reply: FastifyReply, resource: TokenResource, origin: string | null, problem: Problem): undefined {
  refuse(reply, resource, [...READABLE, ...(origin === null ? [] : ['access-control-allow-origin', origin])], problem)
}

/** The 404 of an unknown account for a site that is not listed: scripts of that site cannot read it. */
export function answerHidden(reply: FastifyReply, resource: TokenResource, problem: Problem): undefined {
  refuse(reply, resource, [...COMMON, 'cross-origin-resource-policy', 'same-origin'], problem)
}

function refuse(reply: FastifyReply, resource: TokenResource, readers: readonly string[], { code, message }: Problem): undefined {
  const { headers, body } = errorAnswer(resource, { status: STATUS[code], code, message })
  write(reply, STATUS[code], [...readers, ...headers, 'content-length', String(Buffer.byteLength(body))], body)
}

/** Bypasses Fastify's reply, which takes longer than the rest of a read. Node omits the body for HEAD. */
function write(reply: FastifyReply, status: number, headers: string[], body: string): undefined {
  reply.hijack()
  reply.raw.writeHead(status, headers)
  reply.raw.end(body)
}

/** Weak comparison, as RFC 9110 §13.1.2 requires for If-None-Match. */
export function matches(header: string, etag: string): boolean {
  return header === etag || header.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}

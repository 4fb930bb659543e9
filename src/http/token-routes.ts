import cors from '@fastify/cors'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest, FastifySchema, onRequestHookHandler } from 'fastify'
import { noToken, TokenProblem } from '../application/find-token.ts'
import type { Snapshot } from '../application/snapshot.ts'
import type { AllowList } from '../domain/allow-list.ts'
import { decideRead, type ReadDecision, type TokenResource } from '../domain/decide-read.ts'
import { AppError } from '../domain/errors.ts'
import { constantNameProblem } from '../domain/js-constant.ts'
import type { HttpDeps } from './deps.ts'
import { sendError } from './errors.ts'
import { createRefusalLog } from './request-log.ts'

declare module 'fastify' {
  interface FastifyRequest {
    reading: Reading | null
  }
  interface FastifyContextConfig {
    resource?: TokenResource
  }
}

/** What one request for a token came to: may it read, and if so, what. */
interface Reading {
  readonly decision: ReadDecision
  readonly found: Found
}
type Found = Snapshot | AppError

// Everything the decision looks at, so that no cache hands one site's answer to another.
const VARY = 'Origin, Referer, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest'
const CONTENT_TYPES: Record<TokenResource, string> = {
  script: 'text/javascript; charset=utf-8',
  json: 'application/json; charset=utf-8',
  text: 'text/plain; charset=utf-8',
}
const RESOURCES: ReadonlyArray<{ suffix: string; resource: TokenResource }> = [
  { suffix: '.js', resource: 'script' },
  { suffix: '.json', resource: 'json' },
  { suffix: '', resource: 'text' },
]
const TEXT = { type: 'string' }
const TOKEN = { type: 'object', properties: { token: TEXT }, required: ['token'] }

export const tokenRoutes: FastifyPluginAsync<{ deps: HttpDeps }> = async (app, { deps }) => {
  app.decorateRequest('reading', null)
  const { metering } = deps
  if (metering !== null) {
    app.addHook('onResponse', ({ reading }, reply, done) => {
      if (reading !== null) metering.reads.observe(reply.statusCode, reply.elapsedTime)
      done()
    })
  }
  const logRefusal = createRefusalLog()

  function decide(request: FastifyRequest, reply: FastifyReply, resource: TokenResource, found: Found, done: () => void): void {
    const allowList = listOf(found) ?? deps.allowList
    const decision = decideRead({ resource, rawHeaders: request.raw.rawHeaders }, allowList, deps.isServerKey)
    request.reading = { decision, found }
    reply.header('vary', VARY).header('x-content-type-options', 'nosniff')
    reply.header('cross-origin-resource-policy', decision.allowed ? 'cross-origin' : 'same-origin')
    if (decision.allowed && decision.origin !== null) reply.header('access-control-allow-origin', decision.origin)
    if (!decision.allowed) logRefusal(request, decision.reason)
    // A name that does not exist is no secret: names stand in public addresses.
    if (decision.allowed || isNotFound(found)) done()
    else sendError(request, reply, 403, 'forbidden', decision.reason)
  }

  const routes = RESOURCES.flatMap(({ suffix, resource }) => {
    const onRequest: onRequestHookHandler = (request, reply, done) => {
      if (isRespelt(request.raw.url ?? '')) return sendError(request, reply, 404, 'not_found', 'There is nothing at this address.')
      const found = read(deps, request)
      if (found instanceof Promise) found.then((it) => decide(request, reply, resource, it, done), done)
      else decide(request, reply, resource, found, done)
    }
    return ['', '/accounts/:account'].map((prefix) => ({ url: `${prefix}/token${suffix}`, resource, isNamed: prefix !== '', onRequest }))
  })
  for (const { url, resource, isNamed, onRequest } of routes) {
    app.get(url, { config: { resource }, onRequest, schema: schemaOf(resource, isNamed) }, (request, reply) =>
      serve(request, reply, resource, deps),
    )
  }
  await app.register(async (preflights) => {
    // The list has one reader, decideRead: @fastify/cors is told what it said, so it comes after it. It has the preflights
    // alone: the one header that a read needs of it costs a tenth of the read there.
    await preflights.register(cors, {
      hook: 'preHandler',
      delegator: ({ reading }: FastifyRequest, callback: (error: Error | null, options: object) => void) => {
        if (reading?.decision.allowed !== true || reading.decision.origin === null) return callback(null, { origin: false })
        callback(null, { origin: reading.decision.origin, methods: 'GET, HEAD', maxAge: 300, strictPreflight: false })
      },
    })
    for (const { url, resource, onRequest } of routes) {
      // Only a preflight without an Origin comes here: @fastify/cors answers the others.
      preflights.options(url, { config: { resource }, onRequest }, ({ reading }) => {
        if (isNotFound(reading?.found)) throw reading?.found
        throw new AppError('forbidden', 'A preflight must carry an Origin.')
      })
    }
  })
}

function schemaOf(resource: TokenResource, named: boolean): FastifySchema {
  const what = { script: 'The token as a script that defines a constant', json: 'The token as JSON', text: 'The token as text' }[resource]
  return {
    response: { 200: resource === 'json' ? TOKEN : TEXT },
    api: {
      id: `${named ? 'account' : 'default'}-${resource}`,
      summary: `${what}${named ? ', of a named account' : ''}`,
      type: CONTENT_TYPES[resource].split(';')[0] as string,
      refusals: [304, ...(resource === 'script' ? [400] : []), 403, ...(named ? [404] : []), 503],
      ...(resource === 'script' ? { query: { const: 'Another name for the constant.' } } : {}),
      key: { name: 'serverKey', optional: true },
    },
  }
}

/**
 * The router takes `/token%2ejs` for `/token.js`. A cache in front may not, and would then go by its rules for another
 * file; no page of ours and no browser writes a name so.
 */
function isRespelt(url: string): boolean {
  const percent = url.indexOf('%')
  if (percent === -1) return false
  const query = url.indexOf('?')
  return query === -1 || percent < query
}

/** Without a promise where the reader has none: most requests are answered within one turn of the event loop. */
function read(deps: HttpDeps, request: FastifyRequest): Found | Promise<Found> {
  const { account } = request.params as { account?: string }
  const otherwise = account === undefined ? expectedWithoutName : expected
  try {
    const found = deps.readToken(account ?? null)
    return found instanceof Promise ? found.catch(otherwise) : found
  } catch (error) {
    return otherwise(error)
  }
}

/** An address without a name cannot be a wrong one: there is just no token yet. */
function expectedWithoutName(error: unknown): AppError {
  const known = expected(error)
  return known.code === 'not_found' ? noToken() : known
}

function expected(error: unknown): AppError {
  if (error instanceof AppError) return error
  throw error
}

/** The account's own list; it decides also on who is told that its token cannot be served. */
function listOf(found: Found): AllowList | null {
  if (found instanceof AppError) return found instanceof TokenProblem ? found.allowList : null
  return found.allowList
}

function isNotFound(found: Found | undefined): boolean {
  return found instanceof AppError && found.code === 'not_found'
}

function serve(request: FastifyRequest, reply: FastifyReply, resource: TokenResource, deps: HttpDeps): FastifyReply {
  const { found: snapshot } = request.reading as Reading
  if (isNotFound(snapshot)) throw snapshot
  const name = resource === 'script' ? constantName(request) : null
  if (snapshot instanceof AppError) throw snapshot
  const body = resource === 'script' ? snapshot.script(name ?? snapshot.constantName) : snapshot[resource]
  reply
    .header('content-type', CONTENT_TYPES[resource])
    .header('cache-control', `private, max-age=${snapshot.maxAgeSeconds(deps.nowMs())}`)
    .header('etag', body.etag)
  const known = request.headers['if-none-match']
  if (known !== undefined && matches(known, body.etag)) return reply.code(304).send()
  return reply.send(body.content)
}

function constantName(request: FastifyRequest): string | null {
  const { const: name } = request.query as { const?: unknown }
  if (name === undefined) return null
  const problem = typeof name === 'string' ? constantNameProblem(name) : 'is given more than once'
  if (problem !== null) throw new AppError('invalid', `The name in ?const= ${problem}.`)
  return name as string
}

/** Weak comparison, as RFC 9110 §13.1.2 asks for If-None-Match. */
function matches(header: string, etag: string): boolean {
  return header === etag || header.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}

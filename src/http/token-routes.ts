import cors from '@fastify/cors'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Snapshot } from '../application/read-token.ts'
import { DEFAULT_ACCOUNT } from '../domain/account.ts'
import { decideRead, type ReadDecision, type TokenResource } from '../domain/decide-read.ts'
import { AppError } from '../domain/errors.ts'
import { constantNameProblem } from '../domain/js-constant.ts'
import type { HttpDeps } from './deps.ts'
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
  decision: ReadDecision
  snapshot: Snapshot | null
  error: AppError | null
}

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
const REFUSED_CORS = { origin: false }

export const tokenRoutes: FastifyPluginAsyncTypebox<{ deps: HttpDeps }> = async (app, { deps }) => {
  app.decorateRequest('reading', null)
  const logRefusal = createRefusalLog()

  app.addHook('onRequest', (request, reply, done) => {
    const resource = request.routeOptions.config.resource
    if (resource === undefined) return done()
    reply.header('vary', VARY).header('x-content-type-options', 'nosniff')
    const decide = (snapshot: Snapshot | null, error: AppError | null): void => {
      const decision = decideRead({ resource, rawHeaders: request.raw.rawHeaders }, deps.allowList, deps.isServerKey)
      if (!decision.allowed) logRefusal(request, decision.reason)
      request.reading = { decision, snapshot, error }
      reply.header('cross-origin-resource-policy', decision.allowed ? 'cross-origin' : 'same-origin')
      done()
    }
    const fail = (error: unknown): void => (error instanceof AppError ? decide(null, error) : done(error as Error))
    try {
      const found = deps.readToken((request.params as { account?: string }).account ?? DEFAULT_ACCOUNT)
      if (found instanceof Promise) found.then((snapshot) => decide(snapshot, null), fail)
      else decide(found, null)
    } catch (error) {
      fail(error)
    }
  })

  // The list has one reader, decideRead: @fastify/cors is told what it said.
  await app.register(cors, {
    delegator: (request: FastifyRequest, callback: (error: Error | null, options: object) => void) => {
      const decision = request.reading?.decision
      if (decision?.allowed !== true || decision.origin === null) return callback(null, REFUSED_CORS)
      callback(null, { origin: decision.origin, methods: 'GET, HEAD', maxAge: 300, strictPreflight: false })
    },
  })

  for (const { suffix, resource } of RESOURCES) {
    for (const prefix of ['', '/accounts/:account']) {
      const url = `${prefix}/token${suffix}`
      const config = { resource }
      app.get(url, { config, schema: schemaOf(resource) }, (request, reply) => serve(request, reply, resource, deps))
      // Only a refused preflight comes here: @fastify/cors answers the others.
      app.options(url, { config }, (request) => {
        allowed(request)
        throw new AppError('forbidden', 'A preflight must carry an Origin.')
      })
    }
  }
}

function schemaOf(resource: TokenResource): object {
  if (resource === 'json') return { response: { 200: Type.Object({ token: Type.String() }) } }
  return { response: { 200: Type.String() } }
}

/** Throws the refusal. A name that does not exist is none: names stand in public addresses. */
function allowed(request: FastifyRequest): Reading {
  const reading = request.reading as Reading
  if (reading.error?.code === 'not_found') throw reading.error
  if (!reading.decision.allowed) throw new AppError('forbidden', reading.decision.reason)
  return reading
}

function serve(request: FastifyRequest, reply: FastifyReply, resource: TokenResource, deps: HttpDeps): FastifyReply {
  const { snapshot, error } = allowed(request)
  const name = resource === 'script' ? (constantName(request) ?? deps.settings.jsConstantName) : ''
  if (snapshot === null) throw error
  const body = resource === 'script' ? snapshot.script(name) : snapshot[resource]
  reply
    .header('content-type', CONTENT_TYPES[resource])
    .header('cache-control', `private, max-age=${snapshot.maxAgeSeconds(deps.now())}`)
    .header('etag', body.etag)
  const known = request.headers['if-none-match']
  if (known !== undefined && matches(known, body.etag)) return reply.code(304).send()
  return reply.send(body.bytes)
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

import cors from '@fastify/cors'
import type { FastifyBaseLogger, FastifyPluginAsync, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { AllowList } from '../../reading/allow-list.ts'
import { decideRead, type ReadDecision, type TokenResource } from '../../reading/decide-read.ts'
import { constantNameProblem } from '../../reading/js-constant.ts'
import type { ReadMeter } from '../../reading/read-meter.ts'
import { MAX_AGE_SECONDS, type Snapshot } from '../../reading/snapshot.ts'
import { CONTENT_TYPES, sendError } from '../errors.ts'
import { createRefusalLog } from '../request-log.ts'
import { refusalSentence } from './refusal-sentence.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** On a preflight: whether the read that it asks for is allowed. */
    decision: ReadDecision | null
  }
  interface FastifyContextConfig {
    resource?: TokenResource
  }
}

type Next = (request: FastifyRequest, reply: FastifyReply, resource: TokenResource, found: Snapshot, decision: ReadDecision) => void

// Everything the decision looks at, so that no cache hands one site's answer to another.
const VARY = 'Origin, Referer, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest'
const RESOURCES: ReadonlyArray<{ suffix: string; resource: TokenResource }> = [
  { suffix: '.js', resource: 'script' },
  { suffix: '.json', resource: 'json' },
  { suffix: '', resource: 'text' },
]
const PATH_LENGTHS: Record<TokenResource, number> = { script: '/token.js'.length, json: '/token.json'.length, text: '/token'.length }
const ACCOUNTS_LENGTH = '/accounts/'.length

export interface TokenReading {
  /** The global list. */
  readonly allowList: AllowList
  readonly isServerKey: (token: string) => boolean
  /** Null = the account that the addresses without a name serve. */
  readonly read: (account: string | null) => Snapshot | Promise<Snapshot>
  readonly nowMs: () => number
}

interface Parts {
  readonly reading: TokenReading
  /** Null where no METRICS_KEY is set: nothing is counted then. */
  readonly meter: Pick<ReadMeter, 'observe'> | null
  readonly appUrl: string
  readonly log: FastifyBaseLogger
}

export const tokenRoutes: FastifyPluginAsync<Parts> = async (app, { reading, meter, appUrl, log }) => {
  if (meter !== null) {
    app.addHook('onResponse', (_request, reply, done) => {
      meter.observe(reply.statusCode, reply.elapsedTime)
      done()
    })
  }
  const logRefusal = createRefusalLog(log)

  /** Goes on with what was found where the caller may have it, or be told that it does not exist; else answers. */
  function decide(request: FastifyRequest, reply: FastifyReply, resource: TokenResource, found: Snapshot, next: Next): void {
    const own = found.allowList
    const decision = decideRead({ resource, rawHeaders: request.raw.rawHeaders }, own ?? reading.allowList, reading.isServerKey)
    reply.header('vary', VARY).header('x-content-type-options', 'nosniff')
    // A name that does not exist is no secret: names stand in public addresses. But its 404 is for listed sites to read.
    const isUnknown = isNotFound(found)
    reply.header('cross-origin-resource-policy', decision.allowed || !isUnknown ? 'cross-origin' : 'same-origin')
    if (decision.allowed) {
      if (decision.origin !== null) reply.header('access-control-allow-origin', decision.origin)
      next(request, reply, resource, found, decision)
      return
    }
    const sentence = refusalSentence(decision, {
      isOwn: own !== null,
      account: accountIn(request),
      appUrl,
    })
    logRefusal(request, sentence)
    // A refusal holds no token, so the page may read which setting keeps it out; behind a preflight, too.
    const isPreflight = request.method === 'OPTIONS' && decision.origin !== null
    if (isUnknown || isPreflight) {
      next(request, reply, resource, found, decision)
      return
    }
    if (decision.origin !== null) reply.header('access-control-allow-origin', decision.origin)
    sendError(reply, resource, 403, 'forbidden', sentence)
  }

  /** Within one turn of the event loop where the token is at hand: a promise costs a read more than the decision does. */
  function admit(request: FastifyRequest, reply: FastifyReply, resource: TokenResource, next: Next): Promise<void> | undefined {
    if (isRespelt(request, resource)) {
      sendError(reply, resource, 404, 'not_found', 'There is nothing at this address.')
      return
    }
    const found = reading.read(accountIn(request))
    if (found instanceof Promise) return found.then((it) => decide(request, reply, resource, it, next))
    decide(request, reply, resource, found, next)
  }

  function serve(request: FastifyRequest, reply: FastifyReply, resource: TokenResource, found: Snapshot): void {
    if (isNotFound(found)) throw found.problem
    const name = resource === 'script' ? constantName(request) : null
    if (found.problem !== null) throw found.problem
    const body = resource === 'script' ? found.script(name ?? found.constantName) : found[resource]
    reply
      .header('content-type', CONTENT_TYPES[resource])
      .header('cache-control', cacheControl(found.maxAgeSeconds(reading.nowMs())))
      .header('etag', body.etag)
    const known = request.headers['if-none-match']
    if (known !== undefined && matches(known, body.etag)) reply.code(304).send()
    else reply.send(body.content)
  }

  const routes = RESOURCES.flatMap(({ suffix, resource }) =>
    ['', '/accounts/:account'].map((prefix) => ({ url: `${prefix}/token${suffix}`, resource })),
  )
  for (const { url, resource } of routes) {
    // No hook: each costs a read several calls, and all that could come between is done here.
    app.get(url, { config: { resource } }, (request, reply) => admit(request, reply, resource, serve))
  }
  await app.register(async (preflights) => {
    // The list has one reader, decideRead: @fastify/cors is told what it said, so it comes after it. It has the preflights
    // alone: the one header that a read needs of it costs a tenth of the read there.
    preflights.decorateRequest('decision', null)
    await preflights.register(cors, {
      hook: 'preHandler',
      delegator: ({ decision }: FastifyRequest, callback: (error: Error | null, options: object) => void) => {
        const origin = decision?.origin ?? null
        callback(null, origin === null ? { origin: false } : { origin, methods: 'GET, HEAD', maxAge: 300, strictPreflight: false })
      },
    })
    for (const { url, resource } of routes) {
      const onRequest: onRequestHookHandler = (request, reply, done) => {
        const next: Next = (_request, _reply, _resource, found, decision) => {
          request.decision = decision
          done(isNotFound(found) && !(decision.allowed && decision.origin !== null) ? (found.problem ?? undefined) : undefined)
        }
        admit(request, reply, resource, next)?.catch(done)
      }
      // Only a preflight without an Origin comes here: @fastify/cors answers the others.
      preflights.options(url, { config: { resource }, onRequest }, () => {
        throw new AppError('forbidden', 'A preflight must carry an Origin.')
      })
    }
  })
}

/**
 * The router takes `/token%2ejs`, `/token.js#.css` and `http://any.example/token.js` for `/token.js`. A cache in front may
 * not, and would then go by its rules for another file; no page of ours and no browser writes an address so.
 */
function isRespelt({ raw: { url = '' }, params }: FastifyRequest, resource: TokenResource): boolean {
  const query = url.indexOf('?')
  const { account } = params as { account?: string }
  // Each other spelling of the address that the router has found is longer.
  const length = PATH_LENGTHS[resource] + (account === undefined ? 0 : ACCOUNTS_LENGTH + account.length)
  return (query === -1 ? url.length : query) !== length
}

function accountIn({ params }: FastifyRequest): string | null {
  return (params as { account?: string }).account ?? null
}

function isNotFound({ problem }: Snapshot): boolean {
  return problem?.code === 'not_found'
}

function constantName(request: FastifyRequest): string | null {
  const { const: name } = request.query as { const?: unknown }
  if (name === undefined) return null
  const problem = typeof name === 'string' ? constantNameProblem(name) : 'is given more than once'
  if (problem !== null) throw new AppError('invalid', `The name in ?const= ${problem}.`)
  return name as string
}

const USUAL_CACHE_CONTROL = `private, max-age=${MAX_AGE_SECONDS}`

function cacheControl(maxAgeSeconds: number): string {
  return maxAgeSeconds === MAX_AGE_SECONDS ? USUAL_CACHE_CONTROL : `private, max-age=${maxAgeSeconds}`
}

/** Weak comparison, as RFC 9110 §13.1.2 asks for If-None-Match. */
function matches(header: string, etag: string): boolean {
  return header === etag || header.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}

import cors from '@fastify/cors'
import type { FastifyBaseLogger, FastifyPluginAsync, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { AllowList } from '../../reading/allow-list.ts'
import { decideRead, type TokenResource } from '../../reading/decide-read.ts'
import { constantNameProblem } from '../../reading/js-constant.ts'
import type { ReadMeter } from '../../reading/read-meter.ts'
import type { Snapshot } from '../../reading/snapshot.ts'
import { NOTHING_HERE, sendError } from '../errors.ts'
import { createRefusalLog } from '../request-log.ts'
import { refusalSentence, serversOnlySentence } from './refusal-sentence.ts'
import { allowRead, answerHidden, answerProblem, answerToken, type Problem } from './token-answer.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    resource?: TokenResource
  }
  interface FastifyRequest {
    /** On a preflight: the origin that may read the answer to the actual request. */
    readableBy: string | null
  }
}

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
  /** Null = the default account. */
  readonly read: (account: string | null) => Snapshot | Promise<Snapshot>
  readonly nowMs: () => number
}

interface Parts {
  readonly reading: TokenReading
  /** Null without METRICS_KEY: reads are not counted. */
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

  /** `pass` hands a preflight on to @fastify/cors. */
  function answer(request: FastifyRequest, reply: FastifyReply, found: Snapshot, pass?: () => void): undefined {
    const resource = request.routeOptions.config.resource ?? 'json'
    const { headers, rawHeaders } = request.raw
    const decision = decideRead({ resource, headers, rawHeaders }, found.allowList ?? reading.allowList, reading.isServerKey)
    const { allowed, origin } = decision
    const unknown = found.problem?.code === 'not_found' ? found.problem : null
    if (!allowed) {
      const place = { isOwn: found.allowList !== null, account: accountIn(request), appUrl }
      const sentence = refusalSentence(decision, place)
      logRefusal(request, sentence)
      if (unknown !== null) return answerHidden(reply, resource, unknown)
      if (pass === undefined || origin === null) return answerProblem(reply, resource, origin, { code: 'forbidden', message: sentence })
    }
    // A refused site passes the preflight too, so that its page can read the reason.
    if (pass !== undefined) {
      if (origin !== null) {
        request.readableBy = origin
        allowRead(reply)
        pass()
        return
      }
      return answerProblem(reply, resource, null, unknown ?? { code: 'forbidden', message: 'A preflight must carry an Origin.' })
    }
    const problem = unknown ?? (resource === 'script' ? constantProblem(request) : null)
    if (problem !== null) return answerProblem(reply, resource, origin, problem)
    if (found.problem !== null) return answerProblem(reply, resource, origin, found.problem)
    if (!found.isForPages && decision.allowed && !decision.isServer) {
      const sentence = serversOnlySentence({ account: accountIn(request), appUrl })
      logRefusal(request, sentence)
      return answerProblem(reply, resource, origin, { code: 'forbidden', message: sentence })
    }
    const body = resource === 'script' ? found.script(constantIn(request)) : found[resource]
    answerToken(request, reply, decision, { resource, body, maxAgeSeconds: found.maxAgeSeconds(reading.nowMs()) })
  }

  // Not a hook, which costs a read several calls. Synchronous if the snapshot is fresh: a promise costs more than the
  // decision.
  function handle(request: FastifyRequest, reply: FastifyReply, pass?: () => void): Promise<void> | undefined {
    const { resource = 'json' } = request.routeOptions.config
    if (isNonCanonical(request, resource)) {
      sendError(reply, NOTHING_HERE)
      return
    }
    const found = reading.read(accountIn(request))
    if (found instanceof Promise) return found.then((it) => answer(request, reply, it, pass))
    answer(request, reply, found, pass)
  }

  const routes = RESOURCES.flatMap(({ suffix, resource }) =>
    ['', '/accounts/:account'].map((prefix) => ({ url: `${prefix}/token${suffix}`, config: { resource } })),
  )
  for (const { url, config } of routes) app.get(url, { config }, (request, reply) => handle(request, reply))
  await app.register(async (preflights) => {
    // Only decideRead reads the list; @fastify/cors gets its result. It handles preflights only: on reads it would cost a
    // tenth of the read for one header.
    preflights.decorateRequest('readableBy', null)
    // @fastify/cors adds this route for itself, and answers there as a page that it knows nothing of.
    preflights.addHook('onRequest', (request, reply, done) => {
      if (request.routeOptions.url === '*') sendError(reply, NOTHING_HERE)
      else done()
    })
    await preflights.register(cors, {
      hook: 'preHandler',
      delegator: ({ readableBy }: FastifyRequest, callback: (error: Error | null, options: object) => void) =>
        callback(null, { origin: readableBy ?? false, methods: 'GET, HEAD', maxAge: 300, strictPreflight: false }),
    })
    for (const { url, config } of routes) {
      const onRequest: onRequestHookHandler = (request, reply, done) => void handle(request, reply, done)?.catch(done)
      // @fastify/cors has answered before.
      preflights.options(url, { config, onRequest }, (_request, reply) => reply.code(204).send())
    }
  })
}

/**
 * True for `/token%2ejs`, `/token.js#.css` or `http://any.example/token.js`, which the router reads as `/token.js`. A cache
 * in front may read another file and apply its rules. No page of ours and no browser writes such an address.
 */
function isNonCanonical({ raw: { url = '' }, params }: FastifyRequest, resource: TokenResource): boolean {
  const query = url.indexOf('?')
  const { account } = params as { account?: string }
  // Every other spelling of a routed address is longer.
  const length = PATH_LENGTHS[resource] + (account === undefined ? 0 : ACCOUNTS_LENGTH + account.length)
  return (query === -1 ? url.length : query) !== length
}

function accountIn({ params }: FastifyRequest): string | null {
  return (params as { account?: string }).account ?? null
}

/** The name in ?const=; undefined = the account's own. */
function constantIn({ query }: FastifyRequest): string | undefined {
  return (query as { const?: string }).const
}

function constantProblem({ query }: FastifyRequest): Problem | null {
  const { const: name } = query as { const?: unknown }
  if (name === undefined) return null
  const problem = typeof name === 'string' ? constantNameProblem(name) : 'is given more than once'
  return problem === null ? null : { code: 'invalid', message: `The name in ?const= ${problem}.` }
}

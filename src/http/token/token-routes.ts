import cors from '@fastify/cors'
import type { FastifyBaseLogger, FastifyPluginAsync, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { AllowList } from '../../reading/allow-list.ts'
import { decideRead, type TokenResource } from '../../reading/decide-read.ts'
import { constantNameProblem } from '../../reading/js-constant.ts'
import type { ReadMeter } from '../../reading/read-meter.ts'
import type { Snapshot } from '../../reading/snapshot.ts'
import { sendError } from '../errors.ts'
import { createRefusalLog } from '../request-log.ts'
import { refusalSentence } from './refusal-sentence.ts'
import { allowRead, answerHidden, answerProblem, answerToken, type Problem } from './token-answer.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    resource?: TokenResource
  }
  interface FastifyRequest {
    /** On a preflight: the origin whose page may read the answer to the request that follows. */
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

  /** `pass` is for a preflight that @fastify/cors is to answer. */
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
    // The page of a refused site may ask too: the sentence that it then reads says why.
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
    const body = resource === 'script' ? found.script(constantIn(request)) : found[resource]
    answerToken(request, reply, decision, { resource, body, maxAgeSeconds: found.maxAgeSeconds(reading.nowMs()) })
  }

  // No hook: each costs a read several calls. Within one turn of the event loop where the token is at hand: a promise
  // costs a read more than the decision does.
  function handle(request: FastifyRequest, reply: FastifyReply, pass?: () => void): Promise<void> | undefined {
    const { resource = 'json' } = request.routeOptions.config
    if (isRespelt(request, resource)) {
      sendError(reply, resource, 404, 'not_found', 'There is nothing at this address.')
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
    // The list has one reader, decideRead: @fastify/cors is told what it said. It has the preflights alone: the one header
    // that a read needs of it costs a tenth of the read there.
    preflights.decorateRequest('readableBy', null)
    await preflights.register(cors, {
      hook: 'preHandler',
      delegator: ({ readableBy }: FastifyRequest, callback: (error: Error | null, options: object) => void) =>
        callback(null, { origin: readableBy ?? false, methods: 'GET, HEAD', maxAge: 300, strictPreflight: false }),
    })
    for (const { url, config } of routes) {
      const onRequest: onRequestHookHandler = (request, reply, done) => void handle(request, reply, done)?.catch(done)
      // @fastify/cors answers each one that comes this far.
      preflights.options(url, { config, onRequest }, (_request, reply) => reply.code(204).send())
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

/** The query's; undefined = the account's own. */
function constantIn({ query }: FastifyRequest): string | undefined {
  return (query as { const?: string }).const
}

function constantProblem({ query }: FastifyRequest): Problem | null {
  const { const: name } = query as { const?: unknown }
  if (name === undefined) return null
  const problem = typeof name === 'string' ? constantNameProblem(name) : 'is given more than once'
  return problem === null ? null : { code: 'invalid', message: `The name in ?const= ${problem}.` }
}

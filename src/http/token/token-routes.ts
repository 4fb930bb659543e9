import type { FastifyBaseLogger, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { AllowList } from '../../reading/allow-list.ts'
import { decideRead, type TokenResource } from '../../reading/decide-read.ts'
import { constantNameProblem } from '../../reading/js-constant.ts'
import type { ReadMeter } from '../../reading/read-meter.ts'
import type { Snapshot } from '../../reading/snapshot.ts'
import { sendError } from '../errors.ts'
import { createRefusalLog } from '../request-log.ts'
import { refusalSentence } from './refusal-sentence.ts'
import { answerHidden, answerPreflight, answerProblem, answerToken, type Problem } from './token-answer.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    resource?: TokenResource
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

  function answer(request: FastifyRequest, reply: FastifyReply, resource: TokenResource, found: Snapshot): undefined {
    const { headers, rawHeaders } = request.raw
    const decision = decideRead({ resource, headers, rawHeaders }, found.allowList ?? reading.allowList, reading.isServerKey)
    const { allowed, origin } = decision
    const isPreflight = request.method === 'OPTIONS'
    const unknown = found.problem?.code === 'not_found' ? found.problem : null
    if (!allowed) {
      const place = { isOwn: found.allowList !== null, account: accountIn(request), appUrl }
      const sentence = refusalSentence(decision, place)
      logRefusal(request, sentence)
      if (unknown !== null) return answerHidden(reply, resource, unknown)
      if (!isPreflight || origin === null) return answerProblem(reply, resource, origin, { code: 'forbidden', message: sentence })
    }
    // The page of a refused site may ask too: the sentence that it then reads says why.
    if (isPreflight) {
      if (origin !== null) return answerPreflight(request, reply, origin)
      return answerProblem(reply, resource, null, unknown ?? { code: 'forbidden', message: 'A preflight must carry an Origin.' })
    }
    const problem = unknown ?? (resource === 'script' ? constantProblem(request) : null)
    if (problem !== null) return answerProblem(reply, resource, origin, problem)
    if (found.problem !== null) return answerProblem(reply, resource, origin, found.problem)
    const body = resource === 'script' ? found.script(constantIn(request)) : found[resource]
    answerToken(request, reply, decision, { resource, body, maxAgeSeconds: found.maxAgeSeconds(reading.nowMs()) })
  }

  for (const { suffix, resource } of RESOURCES) {
    // No hook: each costs a read several calls. Within one turn of the event loop where the token is at hand: a promise
    // costs a read more than the decision does.
    const handle = (request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined => {
      if (isRespelt(request, resource)) {
        sendError(reply, resource, 404, 'not_found', 'There is nothing at this address.')
        return
      }
      const found = reading.read(accountIn(request))
      if (found instanceof Promise) return found.then((it) => answer(request, reply, resource, it))
      answer(request, reply, resource, found)
    }
    for (const prefix of ['', '/accounts/:account']) {
      app.get(`${prefix}/token${suffix}`, { config: { resource } }, handle)
      app.options(`${prefix}/token${suffix}`, { config: { resource } }, handle)
    }
  }
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

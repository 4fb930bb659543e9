import type { FastifyPluginAsync, FastifyRequest, FastifySchema } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { HttpDeps } from '../deps.ts'
import { sendError } from '../errors.ts'

const text = { type: 'string' }
const instant = { type: 'string', format: 'date-time' }
const record = (properties: Record<string, object>) => ({ type: 'object', properties, required: Object.keys(properties) })
const Alive = record({ status: text })
const Result = record({ account: text, outcome: text, message: text, nextRefreshAt: { anyOf: [instant, { type: 'null' }] } })
const Summary = record({ refreshed: { type: 'integer' }, failed: { type: 'integer' }, results: { type: 'array', items: Result } })
const Part = { ...record({ state: text, since: instant, message: text }), required: ['state', 'since'] }
const Readiness = record({ ready: { type: 'boolean' }, parts: { type: 'object', additionalProperties: Part } })

const ONLY_POST = 'This address is called with POST, because a refresh changes something. Set the method to POST in your cron service.'

/** For platforms, cron services and operators, and for whoever writes programs for the agent. */
export const operationsRoutes: FastifyPluginAsync<{ deps: HttpDeps }> = async (app, { deps }) => {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    done()
  })

  const alive: FastifySchema = {
    response: { 200: Alive },
    api: { id: 'alive', summary: 'Whether the agent runs', refusals: [] },
  }
  app.get('/healthz', { config: { quiet: true }, schema: alive }, async () => ({ status: 'ok' }))

  const ready: FastifySchema = {
    response: { 200: Readiness, 503: Readiness },
    api: { id: 'ready', summary: 'Whether the agent can serve, and the state of each part', refusals: [] },
  }
  app.get('/readyz', { config: { quiet: true }, schema: ready }, async (_request, reply) => {
    const { ready, parts } = await deps.health()
    const told = Object.entries(parts).map(([name, part]) => [name, { ...part, since: part.since.toISOString() }])
    return reply.code(ready ? 200 : 503).send({ ready, parts: Object.fromEntries(told) })
  })

  const metrics: FastifySchema = {
    response: { 200: text },
    api: {
      id: 'metrics',
      summary: 'Figures for Prometheus',
      type: 'text/plain',
      jsonRefusals: true,
      refusals: [401, 403],
      key: { name: 'metricsKey' },
    },
  }
  app.get('/metrics', { config: { quiet: true }, schema: metrics }, async (request, reply) => {
    if (deps.metering === null) throw new AppError('forbidden', 'Metrics are off; set METRICS_KEY to switch them on.')
    if (!deps.metering.isKey(bearer(request.raw.rawHeaders))) {
      throw new AppError('unauthorized', 'Send the header “Authorization: Bearer …” with the value of METRICS_KEY.')
    }
    return reply.type(deps.metering.contentType).send(await deps.metering.render())
  })

  const refresh: FastifySchema = {
    response: { 200: Summary },
    api: { id: 'refresh', summary: 'Refreshes what is due', refusals: [401, 403, 413, 503], key: { name: 'webhookSecret' } },
  }
  // Cron services send what they like, or say that they send JSON and send nothing: it is read to its end and forgotten.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null))
  // Before the body is read: whoever has no secret is not listened to.
  const checkSecret = async (request: FastifyRequest): Promise<void> => {
    if (deps.isWebhookSecret === null) throw new AppError('forbidden', 'This hook is off; set WEBHOOK_SECRET to switch it on.')
    if (!deps.isWebhookSecret(bearer(request.raw.rawHeaders))) {
      throw new AppError('unauthorized', 'Send the header “Authorization: Bearer …” with the value of WEBHOOK_SECRET.')
    }
    // Whatever it says of its body: JSON would be parsed, and what is no media type refused.
    delete request.raw.headers['content-type']
  }
  app.post('/hooks/refresh', { schema: refresh, onRequest: checkSecret }, async (request) => {
    deps.log.info({ reqId: request.id, route: request.routeOptions.url }, 'refresh asked for by the hook')
    const { refreshed, failed, results } = await deps.refreshDue(request.id)
    return {
      refreshed,
      failed,
      results: results.map((result) => ({ ...result, nextRefreshAt: result.nextRefreshAt?.toISOString() ?? null })),
    }
  })

  // Some cron services GET unless they are set to POST. Before the body is read, as above.
  app.route({
    method: app.supportedMethods.filter((method) => method !== 'POST'),
    url: '/hooks/refresh',
    onRequest: async (_request, reply) => {
      sendError(reply.header('allow', 'POST'), undefined, 405, 'invalid', ONLY_POST)
      return reply
    },
    handler: () => {},
  })

  let description: Promise<string> | null = null
  app.get('/openapi.json', async (_request, reply) => {
    description ??= import('./openapi.ts').then(({ describeApi }) => describeApi(deps)).then(JSON.stringify)
    // One that could not be made is made again for the next who asks.
    description.catch(() => {
      description = null
    })
    reply.type('application/json; charset=utf-8')
    // Tools that show such descriptions run on other sites; it holds nothing that is not in the README.
    reply.header('access-control-allow-origin', '*').header('cache-control', 'public, max-age=300')
    return description
  })
}

/** The token of the one bearer header; empty, which no secret is, for anything else. Of two, `headers` would show the first. */
function bearer(rawHeaders: readonly string[]): string {
  const given = rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'authorization')
  return given.length === 1 ? (/^Bearer +([\x21-\x7e]+)$/i.exec(given[0] ?? '')?.[1] ?? '') : ''
}

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyBaseLogger, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { RefreshSummary } from '../../refreshing/refresh-due.ts'
import type { Health } from '../../status/health.ts'
import { sendError } from '../errors.ts'
import type { Site } from '../site.ts'

const ONLY_POST = 'This address is called with POST, because a refresh changes something. Set the method to POST in your cron service.'

/** Renders the metrics. */
export interface Metering {
  readonly isKey: (token: string) => boolean
  readonly contentType: string
  render(): Promise<string>
}

export interface Hook {
  /** Null without WEBHOOK_SECRET: the hook is off. */
  readonly isSecret: ((token: string) => boolean) | null
  /** `reqId` stands in the log lines of the request and of its attempts. */
  readonly refresh: (reqId: string) => Promise<RefreshSummary>
}

interface Parts {
  readonly health: () => Promise<Health>
  /** Null without METRICS_KEY: metrics are off. */
  readonly metering: Metering | null
  readonly hook: Hook
  readonly site: Site
  readonly log: FastifyBaseLogger
}

export const operationsRoutes: FastifyPluginAsync<Parts> = async (app, { health, metering, hook, site, log }) => {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    done()
  })

  app.get('/healthz', { config: { quiet: true } }, async () => ({ status: 'ok' }))

  app.get('/readyz', { config: { quiet: true } }, async (_request, reply) => {
    const { ready, parts } = await health()
    const states = Object.entries(parts).map(([name, part]) => [name, { ...part, since: part.since.toISOString() }])
    return reply.code(ready ? 200 : 503).send({ ready, parts: Object.fromEntries(states) })
  })

  app.get('/metrics', { config: { quiet: true } }, async (request, reply) => {
    if (metering === null) throw new AppError('forbidden', 'Metrics are off; set METRICS_KEY to switch them on.')
    if (!metering.isKey(bearer(request.raw.rawHeaders))) {
      throw new AppError('unauthorized', 'Send the header “Authorization: Bearer …” with the value of METRICS_KEY.')
    }
    return reply.type(metering.contentType).send(await metering.render())
  })

  // Cron services send arbitrary bodies, or announce JSON and send nothing: the body is read and ignored.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null))
  // Before the body is read: a caller without the secret sends none.
  const checkSecret = async (request: FastifyRequest): Promise<void> => {
    if (hook.isSecret === null) throw new AppError('forbidden', 'This hook is off; set WEBHOOK_SECRET to switch it on.')
    if (!hook.isSecret(bearer(request.raw.rawHeaders))) {
      throw new AppError('unauthorized', 'Send the header “Authorization: Bearer …” with the value of WEBHOOK_SECRET.')
    }
    // Fastify would parse JSON and refuse an invalid media type.
    delete request.raw.headers['content-type']
  }
  app.post('/hooks/refresh', { onRequest: checkSecret }, async (request) => {
    log.info({ reqId: request.id, route: request.routeOptions.url }, 'refresh asked for by the hook')
    const { refreshed, failed, results } = await hook.refresh(request.id)
    return {
      refreshed,
      failed,
      results: results.map((result) => ({ ...result, nextRefreshAt: result.nextRefreshAt?.toISOString() ?? null })),
    }
  })

  // Some cron services send GET by default. Answered before the body is read, as above.
  app.route({
    method: app.supportedMethods.filter((method) => method !== 'POST'),
    url: '/hooks/refresh',
    onRequest: async (_request, reply) => {
      sendError(reply.header('allow', 'POST'), { status: 405, code: 'invalid', message: ONLY_POST })
      return reply
    },
    handler: () => {},
  })

  let description: { body: string; etag: string } | null = null
  app.get('/openapi.json', async ({ headers }, reply) => {
    description ??= describeApi(site)
    // Readable by tools on other sites; it holds nothing that is not in the README.
    reply.header('access-control-allow-origin', '*').header('cache-control', 'public, max-age=300').header('etag', description.etag)
    if (headers['if-none-match'] === description.etag) return reply.code(304).send()
    return reply.type('application/json; charset=utf-8').send(description.body)
  })
}

/** The file with this installation's address. A test compares it with the live answers. */
function describeApi({ settings, viewsFolder }: Site): { body: string; etag: string } {
  const api = JSON.parse(readFileSync(join(viewsFolder, 'openapi.json'), 'utf8'))
  const body = JSON.stringify({ ...api, servers: [{ url: settings.appUrl }] })
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 10)}"` }
}

/** The token of the only bearer header, else empty, which no secret is. Node's `headers` would hide a second header. */
function bearer(rawHeaders: readonly string[]): string {
  const given = rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'authorization')
  return given.length === 1 ? (/^Bearer +([\x21-\x7e]+)$/i.exec(given[0] ?? '')?.[1] ?? '') : ''
}

import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asked for by machines all day long: not worth a line each. */
    quiet?: boolean
  }
}

/**
 * One line a request, with the route's template instead of its address: Fastify's own lines hold the query string, and
 * with it an OAuth code. Reads of a token have none; refusals do, in `createRefusalLog`.
 */
export function logRequests(app: FastifyInstance, log: FastifyBaseLogger): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { config, url: route } = request.routeOptions
    if (config.quiet !== true) {
      const { id: reqId, method } = request
      log.info({ reqId, method, route, status: reply.statusCode, durationMs: Math.round(reply.elapsedTime) }, 'request')
    }
    done()
  })
}

const WINDOW_MS = 60_000
const MAX_ORIGINS = 100

/** Tells which site is refused and why, once a minute for each, and never for more than a hundred. */
export function createRefusalLog(log: FastifyBaseLogger): (request: FastifyRequest, reason: string) => void {
  const seen = new Set<string>()
  let startedAtMs = 0
  return (request, reason) => {
    const nowMs = performance.now()
    if (nowMs - startedAtMs > WINDOW_MS) {
      seen.clear()
      startedAtMs = nowMs
    }
    const stated = request.headers.origin ?? request.headers.referer
    // An origin is what siteOf would make of it, so one that is known needs no second look.
    if (seen.size >= MAX_ORIGINS || (stated !== undefined && seen.has(stated))) return
    const from = siteOf(stated)
    if (seen.has(from)) return
    seen.add(from)
    log.info({ reqId: request.id, route: request.routeOptions.url, from, reason }, 'read refused')
  }
}

// Only an origin: what else stands in these headers is the visitor's affair.
function siteOf(stated: string | undefined): string {
  if (stated === undefined) return 'nobody'
  const site = URL.parse(stated)?.origin ?? 'null'
  return site === 'null' ? 'a page without an address' : site.slice(0, 200)
}

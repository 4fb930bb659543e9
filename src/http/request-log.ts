import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** No log line: machines request this route all day. */
    quiet?: boolean
  }
}

/**
 * Logs one line a request, with the route's template instead of the URL: Fastify's own lines have the query string, which
 * may hold an OAuth code. Token reads are not logged; their refusals are, by `createRefusalLog`.
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

/** Logs which site is refused and why: each site once a minute, at most a hundred sites. */
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
    // A known Origin equals its site already, so it needs no parsing.
    if (seen.size >= MAX_ORIGINS || (stated !== undefined && seen.has(stated))) return
    const from = siteOf(stated)
    if (seen.has(from)) return
    seen.add(from)
    log.info({ reqId: request.id, route: request.routeOptions.url, from, reason }, 'read refused')
  }
}

// Logs only the origin: the rest of a Referer is private to the visitor.
function siteOf(stated: string | undefined): string {
  if (stated === undefined) return 'no site'
  const site = URL.parse(stated)?.origin ?? 'null'
  return site === 'null' ? 'a page without an address' : site.slice(0, 200)
}

import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asked for by machines all day long: not worth a line each. */
    quiet?: boolean
  }
}

/**
 * One line a request, with the route's template instead of its address: Fastify's own lines hold the query string, and
 * with it an OAuth code. Reads of a token are not logged; refusals are, in `createRefusalLog`.
 */
export class RequestLog extends LogController {
  override incomingRequest(): void {}
  override requestCompleted(error: Error | null | undefined, request: FastifyRequest, reply: FastifyReply): void {
    const { config, url: route } = request.routeOptions
    if (config?.resource !== undefined || config?.quiet === true) return
    const line = { reqId: request.id, method: request.method, route, status: reply.statusCode, durationMs: Math.round(reply.elapsedTime) }
    if (error) request.log.warn({ ...line, err: error }, 'request failed')
    else request.log.info(line, 'request')
  }
}

const WINDOW_MS = 60_000
const MAX_ORIGINS = 100

/** Tells which site is refused and why, once a minute for each, and never for more than a hundred. */
export function createRefusalLog(): (request: FastifyRequest, reason: string) => void {
  const seen = new Set<string>()
  let startedAtMs = 0
  return (request, reason) => {
    const nowMs = performance.now()
    if (nowMs - startedAtMs > WINDOW_MS) {
      seen.clear()
      startedAtMs = nowMs
    }
    const from = siteOf(request)
    if (seen.has(from) || seen.size >= MAX_ORIGINS) return
    seen.add(from)
    request.log.info({ reqId: request.id, route: request.routeOptions.url, from, reason }, 'read refused')
  }
}

// Only an origin: what else stands in these headers is the visitor's affair.
function siteOf({ headers: { origin, referer } }: FastifyRequest): string {
  const stated = origin ?? referer
  if (stated === undefined) return 'nobody'
  const site = URL.parse(stated)?.origin ?? 'null'
  return site === 'null' ? 'a page without an address' : site.slice(0, 200)
}

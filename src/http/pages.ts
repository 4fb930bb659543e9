import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { assetUrl, takesGzip } from './assets.ts'
import type { HttpDeps, Settings } from './deps.ts'
import { words } from './words.ts'

export interface Pages {
  /** Sends the page; escapes every value in it. */
  send(reply: FastifyReply, view: string, data: object): FastifyReply
}

const byFolder = new Map<string, Eta>()
/** Less fits one packet anyway. */
const WORTH_PACKING = 1400
/** How long a page waits for a part that hangs before it says so: longer than a store takes that is only busy. */
const PATIENCE_MS = 2_000

export function createPages({ viewsFolder, settings, now }: Pick<HttpDeps, 'viewsFolder' | 'settings' | 'now'>): Pages {
  const eta = byFolder.get(viewsFolder) ?? new Eta({ views: viewsFolder, cache: true, autoEscape: true })
  byFolder.set(viewsFolder, eta)
  const asset = (name: string): string => assetUrl(viewsFolder, name)
  return {
    send(reply, view, data) {
      const { request } = reply
      const path = request.routeOptions.url ?? ''
      const signedIn = (request.ownerSession ?? '') !== ''
      const html = eta.render(view, { settings, words, asset, time, now: now(), path, signedIn, ...data })
      reply.type('text/html; charset=utf-8').header('cache-control', 'no-store')
      if (html.length < WORTH_PACKING || !takesGzip(request)) return reply.send(html)
      return reply.header('content-encoding', 'gzip').send(gzipSync(html))
    },
  }
}

/** In UTC; page.js puts it into the reader's own zone. */
const time = (at: Date): string => `<time datetime="${at.toISOString()}">${words.inUtc(at)}</time>`

/** What every page tells the browser: no script but its own one, nothing from elsewhere, no frame around it. */
export async function registerPageHeaders(
  app: FastifyInstance,
  { appUrl }: Settings,
  referrer: 'no-referrer' | 'same-origin' = 'no-referrer',
): Promise<void> {
  const options: FastifyHelmetOptions = {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        // The status page asks for itself again.
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    referrerPolicy: { policy: referrer },
    // Only where browsers reach the agent over TLS: on http://localhost the header would be ignored, on plain http it would lie.
    strictTransportSecurity: appUrl.startsWith('https:') ? { maxAge: 31_536_000 } : false,
  }
  await app.register(helmet, options)
}

/** Null where the answer fails, or takes longer than somebody looks at an empty page. */
export async function inTime<T>(answer: Promise<T>): Promise<T | null> {
  const late = new AbortController()
  try {
    return await Promise.race([answer.catch(() => null), sleep(PATIENCE_MS, null, { ref: false, signal: late.signal })])
  } finally {
    late.abort()
  }
}

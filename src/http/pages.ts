import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { HttpDeps, Settings } from './deps.ts'

export interface Pages {
  /** Sends the page; escapes every value in it. */
  send(reply: FastifyReply, view: string, data: object): FastifyReply
}

const byFolder = new Map<string, Eta>()

export function createPages({ viewsFolder, settings }: Pick<HttpDeps, 'viewsFolder' | 'settings'>): Pages {
  const eta = byFolder.get(viewsFolder) ?? new Eta({ views: viewsFolder, cache: true, autoEscape: true })
  byFolder.set(viewsFolder, eta)
  return {
    send: (reply, view, data) =>
      reply
        .type('text/html; charset=utf-8')
        .header('cache-control', 'no-store')
        .send(eta.render(view, { settings, ...data })),
  }
}

/** What every page tells the browser: no script, nothing from elsewhere, no frame around it. */
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
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
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

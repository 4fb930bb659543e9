import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import helmet from '@fastify/helmet'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Eta } from 'eta'
import type { HttpDeps } from './deps.ts'

/** The help pages; what they say in public gives away no account, time or error. */
export const pageRoutes: FastifyPluginAsyncTypebox<{ deps: HttpDeps }> = async (app, { deps }) => {
  const { settings } = deps
  const eta = new Eta({ views: deps.viewsFolder, cache: true, autoEscape: true })
  const style = readFileSync(join(deps.viewsFolder, 'style.css'))

  await app.register(helmet, {
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
    referrerPolicy: { policy: 'no-referrer' },
    // Only where browsers reach the agent over TLS: on http://localhost the header would be ignored, on plain http it would lie.
    strictTransportSecurity: settings.appUrl.startsWith('https:') ? { maxAge: 31_536_000 } : false,
  })

  app.get('/style.css', { config: { quiet: true } }, (_request, reply) =>
    reply.type('text/css; charset=utf-8').header('cache-control', 'public, max-age=3600').send(style),
  )

  const page = (url: string, view: string, data: () => Promise<object>): void => {
    app.get(url, async (_request, reply) => {
      if (settings.hideHelpPages) return reply.code(204).send()
      const html = eta.render(view, { settings, path: url, ...(await data()) })
      return reply.type('text/html; charset=utf-8').header('cache-control', 'no-store').send(html)
    })
  }
  page('/', 'home', async () => ({}))
  page('/setup', 'setup', async () => ({ working: await isWorking(deps) }))
  page('/status', 'status', async () => ({ working: await isWorking(deps) }))
}

/** Working = every account's token can be served and nobody has to do anything; null = no account yet. */
async function isWorking(deps: HttpDeps): Promise<boolean | null> {
  try {
    const { accounts, needPerson } = await deps.reportStatus()
    return accounts.length === 0 ? null : needPerson.length === 0
  } catch {
    // The page is wanted most when the store is down.
    return false
  }
}

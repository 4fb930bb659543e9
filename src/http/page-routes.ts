import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { totalOf } from '../domain/overview.ts'
import type { HttpDeps } from './deps.ts'
import { createPages, registerPageHeaders } from './pages.ts'

/** The help pages; what they say in public gives away no account, time or error. */
export const pageRoutes: FastifyPluginAsyncTypebox<{ deps: HttpDeps }> = async (app, { deps }) => {
  const { settings } = deps
  const pages = createPages(deps)
  const style = readFileSync(join(deps.viewsFolder, 'style.css'))

  await registerPageHeaders(app, settings)

  app.get('/style.css', { config: { quiet: true } }, (_request, reply) =>
    reply.type('text/css; charset=utf-8').header('cache-control', 'public, max-age=3600').send(style),
  )

  const page = (url: string, view: string, data: () => Promise<object>): void => {
    app.get(url, async (_request, reply) => {
      if (settings.hideHelpPages) return reply.code(204).send()
      return pages.send(reply, view, { path: url, ...(await data()) })
    })
  }
  page('/', 'home', async () => ({}))
  page('/setup', 'setup', async () => ({ working: await isWorking(deps) }))
  page('/status', 'status', async () => ({ working: await isWorking(deps) }))
}

/** Working = every account's token can be served and nobody has to do anything; null = no account yet. */
async function isWorking(deps: HttpDeps): Promise<boolean | null> {
  try {
    const stock = await deps.stock()
    return totalOf(stock) === 0 ? null : stock.needPerson + stock.unreadable === 0
  } catch {
    // The page is wanted most when the store is down.
    return false
  }
}

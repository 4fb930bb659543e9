import type { FastifyPluginAsync } from 'fastify'
import type { HttpDeps } from './deps.ts'
import { ownerScope } from './owner-scope.ts'
import { signInRoutes } from './sign-in-routes.ts'

/** Everything behind the sign-in. */
export const ownerRoutes: FastifyPluginAsync<{ deps: HttpDeps }> = async (app, { deps }) => {
  const pages = await ownerScope(app, deps)
  signInRoutes(app, deps, pages)
  app.get('/admin', (_request, reply) => pages.send(reply, 'admin', { signedIn: true }))
}

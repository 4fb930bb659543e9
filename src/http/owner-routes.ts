import type { FastifyPluginAsync } from 'fastify'
import { accountRoutes } from './account-routes.ts'
import { connectRoutes } from './connect-routes.ts'
import type { HttpDeps } from './deps.ts'
import { ownerScope } from './owner-scope.ts'
import { signInRoutes } from './sign-in-routes.ts'

/** Everything behind the sign-in. */
export const ownerRoutes: FastifyPluginAsync<{ deps: HttpDeps }> = async (app, { deps }) => {
  const pages = await ownerScope(app, deps)
  signInRoutes(app, deps, pages)
  accountRoutes(app, deps, pages)
  connectRoutes(app, deps, pages)
}

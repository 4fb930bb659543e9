import type { FastifyPluginAsync } from 'fastify'
import type { HttpDeps } from './deps.ts'

/** What the public addresses answer, for programs and people who write them. */
export const openapiRoutes: FastifyPluginAsync<{ deps: HttpDeps }> = async (app, { deps }) => {
  let description: Promise<object> | null = null
  app.get('/openapi.json', async (_request, reply) => {
    description ??= import('./openapi.ts').then(({ describeApi }) => describeApi(deps))
    // Tools that show such descriptions run on other sites; it holds nothing that is not in the README.
    reply
      .header('access-control-allow-origin', '*')
      .header('cache-control', 'public, max-age=300')
      .header('x-content-type-options', 'nosniff')
    return description
  })
}

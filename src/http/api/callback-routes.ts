import formbody from '@fastify/formbody'
import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyPluginAsync } from 'fastify'
import { type DeauthorizeDeps, deleteUserData, findDeletion, userDeauthorized } from '../../accounts/deauthorize.ts'
import type { AccountStore } from '../../core/account-store.ts'
import { CONTENT_TYPES } from '../errors.ts'
import { createPages, registerPageHeaders } from '../pages/pages.ts'
import type { Site } from '../site.ts'

const Params = { type: 'object', properties: { provider: { type: 'string', maxLength: 40 } }, required: ['provider'] } as const
const Signed = {
  type: 'object',
  properties: { signed_request: { type: 'string', maxLength: 8192 } },
  required: ['signed_request'],
} as const

const JSON_TYPE = CONTENT_TYPES.json

interface Parts {
  readonly owner: DeauthorizeDeps & { readonly store: Pick<AccountStore, 'findEvent'> }
  readonly site: Site
}

/**
 * The provider's own calls. Only the signature with the app's secret distinguishes them from a stranger's.
 * https://developers.facebook.com/docs/development/create-an-app/app-dashboard/data-deletion-callback
 */
export const callbackRoutes: FastifyPluginAsync<Parts> = async (scope, { owner, site }) => {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const pages = createPages(site)
  await registerPageHeaders(app, site.settings)
  await app.register(formbody)

  app.post('/callbacks/:provider/deauthorize', { schema: { params: Params, body: Signed } }, async ({ params, body }, reply) => {
    const answer = await userDeauthorized(owner, params.provider, body.signed_request)
    return reply.header('cache-control', 'no-store').type(JSON_TYPE).send(answer)
  })

  app.post('/callbacks/:provider/delete', { schema: { params: Params, body: Signed } }, async ({ params, body }, reply) => {
    const answer = await deleteUserData(owner, params.provider, body.signed_request)
    return reply.header('cache-control', 'no-store').type(JSON_TYPE).send(answer)
  })

  app.get<{ Params: { code: string } }>('/callbacks/:provider/deletions/:code', async ({ params: { code } }, reply) => {
    const request = await findDeletion(owner, code)
    return pages.send(reply.code(request === null ? 404 : 200), 'deletion', { request })
  })
}

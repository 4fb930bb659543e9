import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AccountStore } from '../../core/account-store.ts'
import type { Pages } from '../pages/pages.ts'

const PAGE_LENGTH = 50
const Params = { type: 'object', properties: { account: { type: 'string', maxLength: 40 } }, required: ['account'] } as const
const Before = { type: 'object', properties: { before: { type: 'string', maxLength: 60 } } } as const

export function historyRoutes(scope: FastifyInstance, store: Pick<AccountStore, 'events'>, pages: Pages): void {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()

  app.get('/admin/accounts/:account/history', { schema: { params: Params, querystring: Before } }, ({ params, query }, reply) =>
    history(reply, params.account, query.before),
  )
  app.get('/admin/history', { schema: { querystring: Before } }, ({ query }, reply) => history(reply, null, query.before))

  async function history(reply: FastifyReply, account: string | null, before: string | undefined): Promise<FastifyReply> {
    const events = await store.events(account, PAGE_LENGTH + 1, before)
    const next = events.length > PAGE_LENGTH ? events[PAGE_LENGTH - 1]?.id : null
    return pages.send(reply, 'history', { signedIn: true, account, events: events.slice(0, PAGE_LENGTH), next })
  }
}

import type { FastifyInstance, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { type Connected, confirmConnect, finishConnect, redirectUriOf, startConnect } from '../application/connect-account.ts'
import { DEFAULT_ACCOUNT } from '../domain/account.ts'
import { ConnectError } from '../domain/connector.ts'
import type { HttpDeps } from './deps.ts'
import { sendProblem } from './owner-scope.ts'
import type { Pages } from './pages.ts'

const Text = Type.String({ maxLength: 4096 })
const Params = Type.Object({ provider: Type.String({ maxLength: 40 }) })
const AccountForm = Type.Object({ account: Type.String({ maxLength: 40 }) })
const ConfirmForm = Type.Object({ answer: Text })
const Query = Type.Object({ code: Type.Optional(Text), state: Type.Optional(Text), error: Type.Optional(Text) })

type At<More = object> = { Params: { provider: string } } & More

/** To the provider and back. */
export function connectRoutes(app: FastifyInstance, { owner, settings }: HttpDeps, pages: Pages): void {
  const titleOf = (provider: string): string => owner.connectors.get(provider)?.title ?? provider

  /** Shows what became of it; a failure says what happened and what to do. */
  async function outcome(request: Parameters<typeof sendProblem>[1], reply: FastifyReply, provider: string, work: Promise<Connected>) {
    try {
      const result = await work
      if (result.outcome === 'connected') return reply.redirect(`/admin/accounts/${result.account}?done=connected`, 303)
      return pages.send(reply, 'connect-other-user', { signedIn: true, provider, title: titleOf(provider), ...result })
    } catch (error) {
      if (!(error instanceof ConnectError)) throw error
      const { happened, remedy, wantsRedirectUri } = error
      request.log.warn({ reqId: request.id, provider }, happened)
      const redirectUri = wantsRedirectUri ? redirectUriOf(settings.appUrl, provider) : null
      return sendProblem(pages, request, reply.code(error.isTransient ? 503 : 422), { happened, remedy, redirectUri })
    }
  }

  app.get<At<{ Querystring: { account?: string } }>>(
    '/connect/:provider',
    { schema: { params: Params, querystring: Type.Partial(AccountForm) } },
    async ({ params: { provider }, query: { account = DEFAULT_ACCOUNT } }, reply) => {
      const redirectUri = redirectUriOf(settings.appUrl, provider)
      const available = owner.connectors.has(provider)
      return pages.send(reply, 'connect', { signedIn: true, provider, title: titleOf(provider), account, available, redirectUri })
    },
  )

  app.post<At<{ Body: { account: string } }>>(
    '/connect/:provider',
    { schema: { params: Params, body: AccountForm } },
    async ({ params: { provider }, body: { account }, ownerSession: sessionId }, reply) => {
      const url = await startConnect(owner, { provider, account, sessionId })
      // Not a redirect: browsers hold the whole chain that follows a form to form-action, and the provider's is not ours.
      reply.header('refresh', `0;url=${url.href}`)
      return pages.send(reply, 'connect-go', { signedIn: true, title: titleOf(provider), url: url.href })
    },
  )

  app.get<At<{ Querystring: { code?: string; state?: string; error?: string } }>>(
    '/connect/:provider/callback',
    { schema: { params: Params, querystring: Query } },
    (request, reply) => {
      const { code, state, error } = request.query
      const { provider } = request.params
      return outcome(request, reply, provider, finishConnect(owner, { provider, code, state, error, sessionId: request.ownerSession }))
    },
  )

  app.post<At<{ Body: { answer: string } }>>(
    '/connect/:provider/confirm',
    { schema: { params: Params, body: ConfirmForm } },
    (request, reply) => {
      const { provider } = request.params
      const confirmed = confirmConnect(owner, { provider, answer: request.body.answer, sessionId: request.ownerSession })
      return outcome(
        request,
        reply,
        provider,
        confirmed.then(({ account }) => ({ outcome: 'connected', account, username: null })),
      )
    },
  )
}

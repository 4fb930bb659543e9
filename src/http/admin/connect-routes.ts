import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { accountMeant, addAccount, freeName } from '../../accounts/add-account.ts'
import { chooseAccount, confirmConnect, declineConnect, finishConnect, startConnect } from '../../accounts/connect.ts'
import { type ConnectDeps, type Connected, connectableOf, redirectUriOf } from '../../accounts/connected.ts'
import type { ManageDeps } from '../../accounts/manage.ts'
import { isAccountName } from '../../core/account.ts'
import { AppError, ConnectError } from '../../core/errors.ts'
import { STATUS } from '../errors.ts'
import type { Pages } from '../pages/pages.ts'
import type { Site } from '../site.ts'
import type { AnswerByLink } from './invite-routes.ts'
import { sendProblem } from './owner-scope.ts'

const text = { type: 'string', maxLength: 4096 } as const
const name = { type: 'string', maxLength: 40 } as const
const Params = { type: 'object', properties: { provider: name }, required: ['provider'] } as const
const AccountQuery = { type: 'object', properties: { account: name } } as const
const AccountForm = { type: 'object', properties: { account: name, domains: { type: 'string', maxLength: 10_000 } } } as const
const ConfirmForm = { type: 'object', properties: { answer: text }, required: ['answer'] } as const
const ChooseForm = { type: 'object', properties: { answer: text, choice: name }, required: ['answer', 'choice'] } as const
const Return = { type: 'object', properties: { code: text, state: text, error: text, error_description: text, scopes: text } } as const

interface Parts {
  readonly owner: ConnectDeps & ManageDeps
  readonly site: Site
  readonly log: FastifyBaseLogger
  readonly pages: Pages
  readonly answerByLink: AnswerByLink
}

/** The OAuth routes: to the provider and back. */
export function connectRoutes(scope: FastifyInstance, { owner, site, log, pages, answerByLink }: Parts): void {
  const { appUrl, allowedDomains } = site.settings
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const titleOf = (provider: string): string => owner.providers.get(provider)?.title ?? provider

  /** Shows the result; a failure says what happened and what to do. */
  async function outcome(request: Parameters<typeof sendProblem>[1], reply: FastifyReply, provider: string, work: Promise<Connected>) {
    try {
      const result = await work
      if (result.outcome === 'connected') return reply.redirect(`/admin/accounts/${result.account}?done=connected`, 303)
      if (result.outcome === 'choice')
        return pages.send(reply, 'connect-choice', { signedIn: true, provider, title: titleOf(provider), ...result })
      return pages.send(reply, 'connect-other-user', { signedIn: true, provider, title: titleOf(provider), ...result })
    } catch (error) {
      return refused(request, reply, provider, error)
    }
  }

  function refused(request: Parameters<typeof sendProblem>[1], reply: FastifyReply, provider: string, error: unknown) {
    if (!(error instanceof ConnectError)) throw error
    const { happened, remedy, wantsRedirectUri } = error
    log.warn({ reqId: request.id, provider }, happened)
    const redirectUri = wantsRedirectUri ? redirectUriOf(appUrl, provider) : null
    return sendProblem(pages, request, reply.code(error.isTransient ? 503 : 422), { happened, remedy, redirectUri })
  }

  /** The form that leads to the provider. It asks only for what the agent does not know. */
  async function form(
    reply: FastifyReply,
    provider: string,
    named: string | undefined,
    refused: { problem?: string; domains?: string } = {},
  ) {
    const meant = named ?? (await accountMeant(owner, provider))
    const existing = meant !== null && isAccountName(meant) ? await owner.store.find(meant) : null
    return pages.send(reply, 'connect', {
      signedIn: true,
      provider,
      title: titleOf(provider),
      account: meant ?? (await freeName(owner, provider)) ?? '',
      isKnown: meant !== null,
      existing: existing?.username ?? existing?.name ?? null,
      wantsSite: allowedDomains === null && (existing?.allowedDomains ?? null) === null,
      available: owner.providers.get(provider)?.connect !== undefined,
      redirectUri: redirectUriOf(appUrl, provider),
      problem: null,
      domains: '',
      ...refused,
    })
  }

  app.get('/connect/:provider', { schema: { params: Params, querystring: AccountQuery } }, ({ params, query }, reply) =>
    form(reply, params.provider, query.account),
  )

  app.post('/connect/:provider', { schema: { params: Params, body: AccountForm } }, async (request, reply) => {
    const { provider } = request.params
    const { account: named, domains = '' } = request.body
    connectableOf(owner, provider)
    const account = named ?? (await accountMeant(owner, provider)) ?? ''
    try {
      if (domains.trim() !== '') await addAccount(owner, { account, provider, domains, isNew: false }, 'owner')
    } catch (error) {
      if (!(error instanceof AppError) || error.code === 'unavailable') throw error
      return form(reply.code(STATUS[error.code]), provider, account, { domains, problem: error.message })
    }
    try {
      const url = await startConnect(owner, { provider, account, sessionId: request.ownerSession })
      // Not a redirect: browsers apply form-action to every redirect after a form, and the policy cannot list the provider's.
      reply.header('refresh', `0;url=${url.href}`)
      return pages.send(reply, 'connect-go', { signedIn: true, title: titleOf(provider), url: url.href })
    } catch (error) {
      return refused(request, reply, provider, error)
    }
  })

  const callback = { config: { open: true }, schema: { params: Params, querystring: Return } }
  app.get('/connect/:provider/callback', callback, async (request, reply) => {
    if (!isNavigation(request)) {
      const text = 'Nothing was done: this address is for a browser that opens it, not for one that fetches it ahead.\n'
      return reply.code(503).header('vary', AHEAD.join(', ')).type('text/plain; charset=utf-8').send(text)
    }
    const { code, state, error, error_description: errorDescription, scopes } = request.query
    const { provider } = request.params
    const params = { provider, code, state, error, errorDescription, scopes }
    const answered = await answerByLink(request, reply, params)
    if (answered !== null) return answered
    if (request.ownerSession === '') return reply.redirect(site.returnPages.signInFrom(request.routeOptions.url ?? '', request.params), 303)
    return outcome(request, reply, provider, finishConnect(owner, { ...params, sessionId: request.ownerSession }))
  })

  app.post('/connect/:provider/confirm', { schema: { params: Params, body: ConfirmForm } }, (request, reply) => {
    const { provider } = request.params
    const answer = { provider, answer: request.body.answer, sessionId: request.ownerSession }
    return outcome(request, reply, provider, confirmConnect(owner, answer))
  })

  app.post('/connect/:provider/choose', { schema: { params: Params, body: ChooseForm } }, (request, reply) => {
    const { provider } = request.params
    const choice = { provider, ...request.body, sessionId: request.ownerSession }
    return outcome(request, reply, provider, chooseAccount(owner, choice))
  })

  app.post('/connect/:provider/decline', { schema: { params: Params, body: ConfirmForm } }, async (request, reply) => {
    const { provider } = request.params
    const declined = await declineConnect(owner, { provider, answer: request.body.answer, sessionId: request.ownerSession })
    return reply.redirect(declined === null ? '/admin' : `/admin/accounts/${declined.account}?done=declined`, 303)
  })
}

// https://developer.chrome.com/docs/web-platform/prerender-pages, and headers of older browsers and link previews.
const AHEAD = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz']

/** True for a browser that opens the address itself: not for a prefetch, and not inside another page. */
function isNavigation({ method, headers }: FastifyRequest): boolean {
  const { 'sec-fetch-dest': destination } = headers
  const isAhead = AHEAD.some((name) => /prefetch|prerender|preview/i.test(String(headers[name] ?? '')))
  return method === 'GET' && !isAhead && (destination === undefined || destination === 'document')
}

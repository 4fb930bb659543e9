import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { findAuthorization } from '../../accounts/authorization.ts'
import { type CallbackParams, chooseAccount, declineConnect, finishConnect, startConnect } from '../../accounts/connect.ts'
import { connectingBy, type LinkDeps } from '../../accounts/connect-link.ts'
import type { Connected } from '../../accounts/connected.ts'
import { type ConnectLink, findLink, isLinkSecret } from '../../accounts/links.ts'
import { digest, randomId } from '../../core/digest.ts'
import { ConnectError } from '../../core/errors.ts'
import type { Pages } from '../pages/pages.ts'
import type { Site } from '../site.ts'
import { cookiesOf } from './owner-scope.ts'

const COOKIE_SECONDS = 3600
const text = { type: 'string', maxLength: 4096 } as const
const Params = { type: 'object', properties: { secret: { type: 'string', maxLength: 100 } }, required: ['secret'] } as const
const Form = { type: 'object', properties: { answer: text, choice: { type: 'string', maxLength: 40 } } } as const

type Problem = Pick<ConnectError, 'happened' | 'remedy'>

interface Parts {
  readonly owner: LinkDeps
  readonly site: Site
  readonly log: FastifyBaseLogger
  readonly pages: Pages
}

/** Answers the provider's callback where it belongs to a link; null = it does not. */
export type AnswerByLink = (
  request: FastifyRequest,
  reply: FastifyReply,
  params: Omit<CallbackParams, 'sessionId'>,
) => Promise<FastifyReply | null>

/** What a request to the provider is bound to: this browser, by this link. No session of the owner has such an id. */
const sessionOf = (cookie: string): string => `link ${digest(cookie)}`

/** The page of a link, for a client without a password. An owner's session in the same browser counts nothing here. */
export function inviteRoutes(scope: FastifyInstance, { owner, site, log, pages }: Parts): AnswerByLink {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const cookies = cookiesOf(site.settings)
  const titleOf = (provider: string): string => owner.providers.get(provider)?.title ?? provider

  /** `secret` leads the form of a page at the callback's address back to the link's. */
  function show(reply: FastifyReply, secret: string, link: ConnectLink | null, problem: Problem | null = null) {
    const state = link?.state ?? 'unknown'
    const isDead = !['open', 'waits', 'used'].includes(state)
    if (reply.statusCode === 200 && isDead) reply.code(link === null ? 404 : 410)
    const { note = null, expectedUsername = null } = link ?? {}
    const title = link === null ? '' : titleOf(link.provider)
    return pages.send(withoutReferrer(reply), 'invite', {
      bare: true,
      signedIn: false,
      state,
      heading: isDead ? 'This link does not work' : `Connect ${title}`,
      title,
      note,
      expectedUsername,
      problem,
      action: `/invite/${secret}`,
    })
  }

  async function outcome(reply: FastifyReply, link: ConnectLink, secret: string, work: Promise<Connected>): Promise<FastifyReply> {
    try {
      const result = await work
      if (result.outcome !== 'choice') return withoutReferrer(reply).redirect(`/invite/${secret}`, 303)
      const data = { bare: true, signedIn: false, title: titleOf(link.provider), action: `/invite/${secret}` }
      return pages.send(withoutReferrer(reply), 'connect-choice', { ...result, ...data, account: null })
    } catch (error) {
      return refused(reply, secret, error)
    }
  }

  async function refused(reply: FastifyReply, secret: string, error: unknown): Promise<FastifyReply> {
    if (!(error instanceof ConnectError)) throw error
    log.warn({ reqId: reply.request.id }, error.happened)
    return show(reply.code(error.isTransient ? 503 : 422), secret, await findLink(owner, secret), error)
  }

  const config = { open: true, stranger: true }
  app.get('/invite/:secret', { config, schema: { params: Params } }, async ({ params }, reply) =>
    show(reply, params.secret, await findLink(owner, params.secret)),
  )

  app.post('/invite/:secret', { config, schema: { params: Params, body: Form } }, async (request, reply) => {
    const { secret } = request.params
    const { answer, choice } = request.body ?? {}
    const link = await findLink(owner, secret)
    if (link?.state !== 'open') return show(reply, secret, link)
    const { provider, account } = link
    const held = request.cookies[cookies.link] ?? ''
    const isOwn = held.startsWith(`${secret}.`)
    if (answer !== undefined && choice !== undefined) {
      if (!isOwn) return show(reply.code(409), secret, link, OTHER_LINK)
      const sessionId = sessionOf(held)
      if (choice !== '') {
        return outcome(reply, link, secret, chooseAccount(connectingBy(owner, link), { provider, sessionId, answer, choice }))
      }
      await declineConnect(owner, { provider, sessionId, answer })
      return withoutReferrer(reply).redirect(`/invite/${secret}`, 303)
    }
    const cookie = isOwn ? held : `${secret}.${randomId()}`
    try {
      const url = await startConnect(owner, { provider, account, sessionId: sessionOf(cookie) })
      withoutReferrer(reply).setCookie(cookies.link, cookie, { ...cookies.options, maxAge: COOKIE_SECONDS })
      reply.header('refresh', `0;url=${url.href}`)
      return pages.send(reply, 'connect-go', { bare: true, signedIn: false, title: titleOf(provider), url: url.href })
    } catch (error) {
      return refused(reply, secret, error)
    }
  })

  return async (request, reply, params) => {
    const cookie = request.cookies[cookies.link] ?? ''
    const [secret = ''] = cookie.split('.')
    if (!isLinkSecret(owner, secret)) return null
    const sessionId = sessionOf(cookie)
    const { provider, state = '' } = params
    // An owner who tries a link in their own browser is a client only where the answer belongs to the link.
    if (request.ownerSession !== '' && (await findAuthorization(owner, { provider, state, sessionId })) === null) return null
    request.ownerSession = ''
    const link = await findLink(owner, secret)
    if (link === null || link.state === 'revoked' || link.state === 'expired') return show(reply, secret, link)
    return outcome(reply, link, secret, finishConnect(connectingBy(owner, link), { ...params, sessionId }))
  }
}

const OTHER_LINK: Problem = {
  happened: 'This browser has opened another link meanwhile, so nothing was changed.',
  remedy: 'Press the button below to begin again.',
}

// The address holds the link's secret.
const withoutReferrer = (reply: FastifyReply): FastifyReply => reply.header('referrer-policy', 'no-referrer')

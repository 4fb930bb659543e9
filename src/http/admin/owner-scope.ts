import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { SignIn } from '../../sign-in/sign-in.ts'
import { FASTIFY_SENTENCES, STATUS } from '../errors.ts'
import { createPages, type Pages, registerPageHeaders } from '../pages/pages.ts'
import type { Settings, Site } from '../site.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The id of the owner's session; empty for strangers. */
    ownerSession: string
    /** The browser sent a session cookie, but the store does not answer, so the session cannot be checked. */
    sessionUnknown: boolean
  }
  interface FastifyContextConfig {
    /** Open to strangers. */
    open?: boolean
    /** The owner's session counts nothing here. */
    stranger?: boolean
    /** Requested by a page, not by a person, so it keeps no session alive. */
    part?: boolean
  }
}

export interface VisitorParts {
  readonly signIn: Pick<SignIn, 'findSession'>
  readonly site: Site
  readonly log: FastifyBaseLogger
}

export interface Cookies {
  readonly session: string
  readonly device: string
  /** The ticket of a sign-in that waits for the next draw. */
  readonly ticket: string
  /** Binds a client's request to the provider to this browser and to the link. */
  readonly link: string
  readonly options: { path: '/'; httpOnly: true; sameSite: 'lax'; secure: boolean }
}

/** `__Host-` keeps other hosts of the same domain from setting these cookies; browsers accept it only over TLS. */
export function cookiesOf({ appUrl }: Settings): Cookies {
  const secure = appUrl.startsWith('https:')
  const prefix = secure ? '__Host-' : ''
  return {
    session: `${prefix}token-agent-session`,
    device: `${prefix}token-agent-device`,
    ticket: `${prefix}token-agent-ticket`,
    link: `${prefix}token-agent-link`,
    options: { path: '/', httpOnly: true, sameSite: 'lax', secure },
  }
}

/** Makes every route of `app` require a signed-in owner, unless the route is `open`. */
export async function ownerScope(app: FastifyInstance, { signIn, site, log }: VisitorParts): Promise<Pages> {
  const { settings } = site
  const { session } = cookiesOf(settings)
  const pages = createPages(site)
  app.decorateRequest('ownerSession', '')
  app.decorateRequest('sessionUnknown', false)
  // Before the body is read: a form of another site is not even parsed.
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('cache-control', 'no-store')
    const refusal = crossSitePost(request, settings.appUrl)
    done(refusal === null ? undefined : new AppError('forbidden', refusal))
  })
  // Not no-referrer: the Origin of the agent's own forms would then be `null`. https://fetch.spec.whatwg.org/#append-a-request-origin-header
  await registerPageHeaders(app, settings, 'same-origin')
  await app.register(cookie)
  await app.register(formbody)
  app.addHook('preParsing', async (request, reply) => {
    const { open, part, stranger } = request.routeOptions.config
    if (stranger === true) return
    const held = request.cookies[session] ?? null
    // True only while findSession runs, so that it stays true if the store does not answer.
    request.sessionUnknown = held !== null
    const id = await signIn.findSession(held, part === true ? 'page' : 'person')
    request.sessionUnknown = false
    request.ownerSession = id ?? ''
    if (id === null && open !== true)
      return reply.redirect(site.returnPages.signInFrom(request.routeOptions.url ?? '', request.params), 303)
  })
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    const status = error instanceof AppError ? STATUS[error.code] : (error.statusCode ?? 500)
    if (status >= 500) log.error({ err: error, reqId: request.id, route: request.routeOptions.url }, 'a request failed')
    const known = error instanceof AppError ? error.message : FASTIFY_SENTENCES[status]
    const happened = known ?? 'Something went wrong here; the agent’s log has the details.'
    reply.code(status)
    return sendProblem(pages, request, reply, { happened, remedy: 'Go back and try again.' })
  })
  return pages
}

/** Finds the session on public pages, which show more to a signed-in owner. */
export async function visitorScope(app: FastifyInstance, { signIn, site, log }: VisitorParts): Promise<void> {
  const { session } = cookiesOf(site.settings)
  app.decorateRequest('ownerSession', '')
  app.decorateRequest('sessionUnknown', false)
  await app.register(cookie)
  app.addHook('preHandler', async (request, reply) => {
    const held = request.cookies[session] ?? null
    if (held === null) return
    try {
      // A person's navigation has `document`; `empty` is the page refreshing itself every half a minute.
      const by = request.headers['sec-fetch-dest'] === 'empty' ? 'page' : 'person'
      request.ownerSession = (await signIn.findSession(held, by)) ?? ''
    } catch (err) {
      log.warn({ err, reqId: request.id }, 'nobody can say whether this browser is signed in')
      request.sessionUnknown = true
    }
    // Not no-referrer: the Origin of the form that signs out would then be `null`.
    if (request.ownerSession !== '') reply.header('referrer-policy', 'same-origin')
  })
}

export interface Problem {
  readonly happened: string
  readonly remedy: string
  /** The redirect URI to register at the provider, if that is the remedy. */
  readonly redirectUri?: string | null
}

export function sendProblem(pages: Pages, request: FastifyRequest, reply: FastifyReply, problem: Problem): FastifyReply {
  return pages.send(reply, 'problem', {
    signedIn: request.ownerSession !== '',
    sessionUnknown: request.sessionUnknown,
    redirectUri: null,
    ...problem,
  })
}

/**
 * Refuses unsafe requests that do not come from the agent's own pages. SameSite cookies are not enough: another app on the
 * same domain counts as the same site.
 */
function crossSitePost({ method, headers }: FastifyRequest, appUrl: string): string | null {
  if (method === 'GET' || method === 'HEAD') return null
  const site = headers['sec-fetch-site']
  // `none` = started by the person, such as a reload that sends the form again.
  if (site !== undefined) return site === 'same-origin' || site === 'none' ? null : 'This form was sent by another web site.'
  if (headers.origin === appUrl) return null
  return `The browser does not say that this form is the agent’s own. Open the agent at ${appUrl}; if that is not its address, set APP_URL.`
}

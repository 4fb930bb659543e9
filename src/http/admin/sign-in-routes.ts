import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import { MAX_PASSWORD_LENGTH } from '../../sign-in/password.ts'
import type { SignIn } from '../../sign-in/sign-in.ts'
import type { Pages } from '../pages/pages.ts'
import type { Site } from '../site.ts'
import { cookiesOf } from './owner-scope.ts'

const DEVICE_SECONDS = 400 * 24 * 3600
/** The ticket's validity. */
const TICKET_SECONDS = 5
const WAIT_SECONDS = 1
const STORE_WAIT_SECONDS = 5
// Before normalization a letter and its accents may be up to four characters.
const typed = { type: 'string', maxLength: 4 * MAX_PASSWORD_LENGTH } as const
const Form = { type: 'object', properties: { password: typed, again: { type: 'string' }, page: { type: 'string' } } } as const

const NOTES = {
  wait: 'Many sign-ins arrive at the moment. The agent checks four a second, and yours waits for its turn. You are not locked out.',
  storeDown: 'The agent’s database does not answer at the moment, so the agent cannot check any sign-in. Your password is not the reason.',
}

interface Say {
  readonly problem?: string
  readonly note?: string
  readonly again?: string
}

interface Parts {
  readonly signIn: SignIn
  readonly site: Site
  readonly log: FastifyBaseLogger
  readonly pages: Pages
}

export function signInRoutes(scope: FastifyInstance, { signIn, site, log, pages }: Parts): void {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const { settings, returnPages } = site
  const cookies = cookiesOf(settings)
  const { password } = signIn

  const empty = { mode: password.mode, problem: null, note: null, again: null, page: null }
  const page = (reply: FastifyReply, say: Say = {}): FastifyReply =>
    pages.send(reply, 'sign-in', { ...empty, page: pageOf(reply.request), spent: password.isSpent(), ...say })
  /** The page that the form carries on; null = the owner's first page. */
  const pageOf = ({ query, body }: FastifyRequest): string | null => {
    const { page } = (body ?? query) as { page?: string }
    return returnPages.pageIn(page) === '/admin' ? null : (page ?? null)
  }
  const form = (spent: boolean) => pages.share('/admin/sign-in', 'sign-in', async () => ({ ...empty, spent }))
  const [sendForm, sendSpentForm] = [form(false), form(true)]

  app.get('/admin/sign-in', { config: { open: true } }, (request, reply) => {
    const asked = pageOf(request)
    if (request.ownerSession !== '') return reply.redirect(returnPages.pageIn(asked), 303)
    if (asked !== null) return page(reply)
    return password.isSpent() ? sendSpentForm(reply) : sendForm(reply)
  })

  app.post('/admin/sign-in', { config: { open: true }, schema: { body: Form } }, async (request, reply) => {
    if (password.mode === 'off') return page(reply.code(403))
    const result = await signIn
      .enter({
        password: request.body.password ?? null,
        again: request.body.again ?? null,
        device: request.cookies[cookies.device] ?? null,
        ticket: request.cookies[cookies.ticket] ?? null,
      })
      .catch((err: unknown) => {
        if (!(err instanceof AppError && err.code === 'unavailable')) throw err
        log.error({ err, reqId: request.id, route: request.routeOptions.url }, 'a request failed')
        return null
      })
    if (result === null) return page(reply.code(503).header('retry-after', String(STORE_WAIT_SECONDS)), { note: NOTES.storeDown })
    if (result.outcome === 'wait') {
      reply.code(429).header('retry-after', String(WAIT_SECONDS))
      reply.setCookie(cookies.ticket, result.ticket, { ...cookies.options, maxAge: TICKET_SECONDS })
      return page(reply, { note: NOTES.wait, again: result.again })
    }
    if (request.cookies[cookies.ticket] !== undefined) reply.clearCookie(cookies.ticket, cookies.options)
    if (result.outcome === 'type_again')
      return page(reply.code(400), { note: 'Type the password again: this page was open for more than a minute.' })
    if (result.outcome === 'refused') {
      const spent = password.isSpent() ? 'The one-time password has been used already.' : 'This is not the password.'
      return page(reply.code(403), { problem: `${spent} Check for blanks and capital letters.` })
    }
    return reply
      .setCookie(cookies.session, result.session, cookies.options)
      .setCookie(cookies.device, result.device, { ...cookies.options, maxAge: DEVICE_SECONDS })
      .redirect(returnPages.pageIn(request.body.page), 303)
  })

  app.post('/admin/sign-out', async (request, reply) => {
    await signIn.leave(request.ownerSession, false)
    return reply.clearCookie(cookies.session, cookies.options).redirect('/admin/sign-in', 303)
  })
  app.post('/admin/sign-out-everywhere', async (request, reply) => {
    await signIn.leave(request.ownerSession, true)
    for (const name of [cookies.session, cookies.device]) reply.clearCookie(name, cookies.options)
    return reply.redirect('/admin/sign-in', 303)
  })
}

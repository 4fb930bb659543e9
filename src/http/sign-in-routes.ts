import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { MAX_PASSWORD_LENGTH } from '../application/password.ts'
import { signIn, signOut } from '../application/sign-in.ts'
import type { HttpDeps } from './deps.ts'
import { cookiesOf } from './owner-scope.ts'
import type { Pages } from './pages.ts'

const DEVICE_SECONDS = 400 * 24 * 3600
// A keyboard may write each letter and its accents as characters of their own.
const typed = { type: 'string', maxLength: 4 * MAX_PASSWORD_LENGTH } as const
const Form = { type: 'object', properties: { password: typed }, required: ['password'] } as const

export function signInRoutes(scope: FastifyInstance, deps: HttpDeps, pages: Pages): void {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const cookies = cookiesOf(deps.settings)
  const { password } = deps.signIn

  const page = (reply: FastifyReply, problem: string | null): FastifyReply =>
    pages.send(reply, 'sign-in', { mode: password.mode, spent: password.isSpent(), problem })

  app.get('/admin/sign-in', { config: { open: true } }, (request, reply) =>
    request.ownerSession === '' ? page(reply, null) : reply.redirect('/admin', 303),
  )

  app.post('/admin/sign-in', { config: { open: true }, schema: { body: Form } }, async (request, reply) => {
    if (password.mode === 'off') return page(reply.code(403), null)
    const result = await signIn(deps.signIn, request.body.password, request.cookies[cookies.device] ?? null)
    if (result.outcome === 'wait') {
      reply.code(429).header('retry-after', String(result.seconds))
      return page(reply, `Too many wrong passwords were given. Wait ${result.seconds} seconds, then try again; nobody is locked out.`)
    }
    if (result.outcome === 'refused') {
      const spent = password.isSpent() ? 'The one-time password has been used already.' : 'This is not the password.'
      return page(reply.code(403), `${spent} Check for blanks and capital letters.`)
    }
    return reply
      .setCookie(cookies.session, result.session, cookies.options)
      .setCookie(cookies.device, result.device, { ...cookies.options, maxAge: DEVICE_SECONDS })
      .redirect('/admin', 303)
  })

  const leave = (everywhere: boolean) => async (request: { ownerSession: string }, reply: FastifyReply) => {
    await signOut(deps.signIn, request.ownerSession, everywhere)
    return reply.clearCookie(cookies.session, cookies.options).redirect('/admin/sign-in', 303)
  }
  app.post('/admin/sign-out', leave(false))
  app.post('/admin/sign-out-everywhere', leave(true))
}

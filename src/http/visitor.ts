import cookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import { findSession } from '../application/sign-in.ts'
import type { HttpDeps } from './deps.ts'
import { cookiesOf } from './owner-scope.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** A browser with a session's cookie, of which nobody can say whether it is alive: the store does not answer. */
    perhapsOwner: boolean
  }
}

/** Pages for everybody that say more to a signed-in owner. */
export async function visitorScope(app: FastifyInstance, { signIn, settings }: HttpDeps): Promise<void> {
  const { session } = cookiesOf(settings)
  app.decorateRequest('ownerSession', '')
  app.decorateRequest('perhapsOwner', false)
  await app.register(cookie)
  app.addHook('preHandler', async (request, reply) => {
    const held = request.cookies[session] ?? null
    if (held === null) return
    try {
      // A browser fetches a page that it shows with `document`; whatever else asks is the page itself, every half a minute.
      const by = request.headers['sec-fetch-dest'] === 'empty' ? 'page' : 'person'
      request.ownerSession = (await findSession(signIn, held, by)) ?? ''
    } catch (err) {
      request.log.warn({ err, reqId: request.id }, 'nobody can say whether this browser is signed in')
      request.perhapsOwner = true
    }
    // Not no-referrer: the Origin of the form that signs out would then be `null`.
    if (request.ownerSession !== '') reply.header('referrer-policy', 'same-origin')
  })
}

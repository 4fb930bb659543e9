import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance } from 'fastify'
import { findAccount } from '../../accounts/manage.ts'
import type { Pictures } from '../../accounts/pictures.ts'
import type { AccountStore } from '../../core/account-store.ts'
import { inTime } from '../pages/pages.ts'
import { drawLetter } from './avatar.ts'

const text = { type: 'string', maxLength: 40 } as const
const Params = { type: 'object', properties: { account: text }, required: ['account'] } as const
/** The user id whose picture the page means, so that the browser caches one for each user of the account. */
const Query = { type: 'object', properties: { of: text } } as const

const DAY_SECONDS = 24 * 3600
/** A slow provider may have answered by then. */
const LETTER_SECONDS = 60

interface Parts {
  readonly store: Pick<AccountStore, 'find'>
  readonly pictures: Pick<Pictures, 'of'>
}

/** Serves an account's picture from the agent's own origin; without a picture an SVG with a letter. */
export function pictureRoutes(scope: FastifyInstance, owner: Parts): void {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  app.get(
    '/admin/accounts/:account/picture',
    { schema: { params: Params, querystring: Query }, config: { part: true, quiet: true } },
    async ({ params, query }, reply) => {
      const account = await findAccount(owner, params.account)
      const picture = await inTime(owner.pictures.of(account))
      // The image comes from elsewhere: opened as a document it must not run anything.
      reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'; sandbox")
      // After a sign-out the browser must not show it from its cache.
      reply.header('vary', 'cookie')
      const isWanted = picture !== null && query.of === account.providerUserId
      reply.header('cache-control', `private, max-age=${isWanted ? DAY_SECONDS : LETTER_SECONDS}`)
      if (picture !== null) return reply.type(picture.type).send(picture.bytes)
      return reply.type('image/svg+xml; charset=utf-8').send(drawLetter(account.name, account.username ?? account.name))
    },
  )
}

import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance } from 'fastify'
import { findAccount } from '../../accounts/manage.ts'
import type { Pictures } from '../../accounts/pictures.ts'
import type { AccountStore } from '../../core/account-store.ts'
import { inTime } from '../pages/pages.ts'
import { drawLetter } from './avatar.ts'

const text = { type: 'string', maxLength: 40 } as const
const Params = { type: 'object', properties: { account: text }, required: ['account'] } as const
/** Whose picture the page means: the browser keeps one for each user that the account has had. */
const Query = { type: 'object', properties: { of: text } } as const

const DAY_SECONDS = 24 * 3600
/** A provider that was slow may have answered by then. */
const LETTER_SECONDS = 60

interface Parts {
  readonly store: Pick<AccountStore, 'find'>
  readonly pictures: Pick<Pictures, 'of'>
}

/** An account's picture as an image of the agent's own; always an image, the letter where there is no picture. */
export function pictureRoutes(scope: FastifyInstance, owner: Parts): void {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  app.get(
    '/admin/accounts/:account/picture',
    { schema: { params: Params, querystring: Query }, config: { part: true, quiet: true } },
    async ({ params, query }, reply) => {
      const account = await findAccount(owner, params.account)
      const picture = await inTime(owner.pictures.of(account))
      // Somebody else made it: opened by itself, it may do nothing at all.
      reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'; sandbox")
      // Nor may the browser show it to whoever comes after the owner has signed out.
      reply.header('vary', 'cookie')
      const isWanted = picture !== null && query.of === account.providerUserId
      reply.header('cache-control', `private, max-age=${isWanted ? DAY_SECONDS : LETTER_SECONDS}`)
      if (picture !== null) return reply.type(picture.type).send(picture.bytes)
      return reply.type('image/svg+xml; charset=utf-8').send(drawLetter(account.name, account.username ?? account.name))
    },
  )
}

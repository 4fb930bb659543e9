import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { acceptGrant, type LinkDeps, makeLink, revokeLink } from '../../accounts/connect-link.ts'

const text = (maxLength: number) => ({ type: 'string', maxLength }) as const
const Params = { type: 'object', properties: { account: text(40) }, required: ['account'] } as const
const Make = { type: 'object', properties: { note: text(4000), username: text(200) } } as const
const Decide = { type: 'object', properties: { link: text(100) }, required: ['link'] } as const

export const LINK_DONE: Readonly<Record<string, string>> = {
  link_accepted: 'The client’s permission was taken. The new token is served from now on.',
  link_declined: 'Nothing was changed, and the client’s permission was deleted.',
  link_revoked: 'The link does not work any more.',
}

interface Parts {
  readonly owner: LinkDeps
  readonly appUrl: string
  readonly show: (reply: FastifyReply, account: string, data: { readonly madeLink: string }) => Promise<FastifyReply>
  /** Runs the action, and shows the account with its result or its refusal. */
  readonly act: (
    reply: FastifyReply,
    account: string,
    work: () => Promise<string>,
    form: { field: string; typed?: object },
  ) => Promise<FastifyReply>
}

/** What the owner does with the link of an account. */
export function linkRoutes(scope: FastifyInstance, { owner, appUrl, show, act }: Parts): void {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const at = (what: string): string => `/admin/accounts/:account/${what}`

  app.post(at('link'), { schema: { params: Params, body: Make } }, async ({ params: { account }, body }, reply) => {
    const { note = '', username = '' } = body ?? {}
    try {
      const secret = await makeLink(owner, account, { note, username })
      // Shown once, in no address: the agent keeps a hash alone.
      return await show(reply, account, { madeLink: `${appUrl}/invite/${secret}` })
    } catch (error) {
      return act(reply, account, () => Promise.reject(error), { field: 'link', typed: { note, username } })
    }
  })

  const decide = (what: string, done: string, work: (account: string, link: string) => Promise<void>) =>
    app.post(at(what), { schema: { params: Params, body: Decide } }, ({ params: { account }, body: { link } }, reply) =>
      act(reply, account, () => work(account, link).then(() => done), { field: 'link' }),
    )
  decide('link-accept', 'link_accepted', (account, link) => acceptGrant(owner, account, link))
  decide('link-decline', 'link_declined', (account, link) => revokeLink(owner, account, link))
  decide('link-revoke', 'link_revoked', (account, link) => revokeLink(owner, account, link))
}

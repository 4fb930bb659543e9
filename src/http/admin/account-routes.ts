import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { accountMeant, addAccount } from '../../accounts/add-account.ts'
import type { LinkDeps } from '../../accounts/connect-link.ts'
import type { FeedDeps } from '../../accounts/feed-settings.ts'
import * as manage from '../../accounts/manage.ts'
import { totalOf } from '../../accounts/overview.ts'
import { pasteToken } from '../../accounts/paste-token.ts'
import { type AdvisedAccount, describePage, type ViewDeps } from '../../accounts/view.ts'
import { acceptToken } from '../../core/accept-token.ts'
import { AppError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import type { StaleUntil } from '../../reading/token-reader.ts'
import type { Status } from '../../status/status.ts'
import { STATUS } from '../errors.ts'
import { inTime, type Pages } from '../pages/pages.ts'
import { waysOf } from '../pages/provider-ways.ts'
import { type ListQuery, listingOf, pageRequestOf } from '../pages/status-page.ts'
import type { TrialReading } from '../pages/visits.ts'
import type { Site } from '../site.ts'
import { createAccountPage, type Idling } from './account-page.ts'
import { doneSentence } from './done-sentence.ts'
import { feedRoutes } from './feed-routes.ts'
import { linkRoutes } from './link-routes.ts'

const text = (maxLength: number) => ({ type: 'string', maxLength }) as const
const ticked = text(10)
const Params = { type: 'object', properties: { account: text(40) }, required: ['account'] } as const
const Create = {
  type: 'object',
  properties: { name: text(100), provider: text(40), token: text(10_000), domains: text(10_000) },
  required: ['provider'],
} as const
const Token = { type: 'object', properties: { token: text(10_000), otherUser: ticked }, required: ['token'] } as const
const Domains = { type: 'object', properties: { domains: text(10_000) }, required: ['domains'] } as const
const Constant = { type: 'object', properties: { constant: text(200) }, required: ['constant'] } as const
const PageUse = { type: 'object', properties: { scopes: text(4000), allow: ticked }, required: ['scopes'] } as const
const Remove = { type: 'object', properties: { name: text(100), revoke: ticked }, required: ['name'] } as const

interface Shown {
  readonly madeLink?: string
  readonly message?: string | null
  readonly problem?: string
  /** The id of the field that the problem concerns and stands beside; null = none. */
  readonly field?: string | null
  readonly typed?: object
}

interface Home {
  readonly message?: string | null
  readonly problem?: string
  /** What was typed; `name` only in the form that asks for it. */
  readonly typed?: { readonly name?: string; readonly domains: string }
}

interface Parts {
  readonly owner: LinkDeps & ViewDeps & FeedDeps & Idling
  readonly status: Pick<Status, 'summary' | 'recount'>
  readonly reading: TrialReading
  readonly site: Site
  readonly pages: Pages
}

export function accountRoutes(scope: FastifyInstance, { owner, status, reading, site, pages }: Parts): void {
  const { settings } = site
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const describe = createAccountPage({ owner, reading, site })

  async function home(reply: FastifyReply, data: Home): Promise<FastifyReply> {
    const asked = pageRequestOf(reply.request.query as ListQuery)
    void status.recount().catch(() => {})
    const work = [describePage(owner, asked), owner.links.waiting(), inTime(status.summary())] as const
    const [{ accounts, total, served }, waiting, summary] = await Promise.all(work)
    const listing = listingOf('/admin', asked, total)
    return pages.send(reply, 'admin', {
      accounts: defaultFirst(accounts, listing.pages),
      needAttention: summary?.needAttention ?? 0,
      total: summary === null ? total : totalOf(summary),
      listing,
      served,
      waiting,
      ways: waysOf(owner.providers, settings.appUrl),
      ...data,
    })
  }

  async function show(reply: FastifyReply, name: string, data: Shown) {
    const { done } = reply.request.query as { done?: unknown }
    return pages.send(reply, 'account', {
      signedIn: true,
      ...(await describe(name, done === 'connected')),
      field: null,
      typed: {},
      madeLink: null,
      ...data,
    })
  }

  /** Runs the action and shows the account again. A refusal is shown with the form as it was typed. */
  async function act(
    reply: FastifyReply,
    name: string,
    work: () => Promise<string>,
    form: Pick<Shown, 'field' | 'typed'> = {},
  ): Promise<FastifyReply> {
    try {
      return reply.redirect(`/admin/accounts/${name}?done=${await work()}`, 303)
    } catch (error) {
      if (!(error instanceof AppError) || error.code === 'not_found' || error.code === 'unavailable') throw error
      return show(reply.code(STATUS[error.code]), name, { problem: error.message, ...form })
    }
  }

  app.get('/admin', (request, reply) => home(reply, { message: doneSentence(request) }))

  app.post('/admin/accounts', { schema: { body: Create } }, async ({ body }, reply) => {
    const { provider: kind, domains = '' } = body
    const token = body.token?.trim() ?? ''
    const isNew = body.name !== undefined
    const name = body.name?.trim() ?? (await accountMeant(owner, kind)) ?? ''
    try {
      if (!isNew && token === '') throw new AppError('invalid', 'The field of the token is empty: paste the token, then save it.')
      // Checked before the account is created: a password manager may have filled the field.
      const provider = owner.providers.get(kind)
      if (token !== '' && provider !== undefined) acceptToken(owner.secrets, provider, new Secret(token))
      await addAccount(owner, { account: name, provider: kind, domains, isNew }, 'owner')
    } catch (error) {
      if (!(error instanceof AppError) || error.code === 'unavailable') throw error
      return home(reply.code(STATUS[error.code]), { problem: error.message, typed: { domains, ...(isNew ? { name } : {}) } })
    }
    return act(reply, name, () => (token === '' ? Promise.resolve('created') : take(name, token, false)), { field: 'token' })
  })

  app.get('/admin/accounts/:account', { schema: { params: Params } }, (request, reply) =>
    show(reply, request.params.account, { message: doneSentence(request) }),
  )

  const at = (what: string): string => `/admin/accounts/:account/${what}`

  async function take(account: string, typed: string, otherUser: boolean): Promise<string> {
    const { provider } = await manage.findAccount(owner, account)
    const taken = await pasteToken(owner, { account, provider, token: new Secret(typed), actor: 'owner', otherUser })
    if (taken.outcome !== 'taken') throw new AppError('conflict', taken.message)
    if (taken.result?.outcome === 'failed') throw new AppError('conflict', `The token is stored, but: ${taken.result.message}`)
    return taken.result === null ? 'stored' : taken.result.outcome === 'verified' ? 'checked' : 'taken'
  }

  app.post(at('token'), { schema: { params: Params, body: Token } }, ({ params: { account }, body }, reply) =>
    act(reply, account, () => take(account, body.token.trim(), body.otherUser !== undefined), { field: 'token' }),
  )

  async function saveDomains(account: string, typed: string): Promise<string> {
    const { warnings, staleUntil } = await manage.setDomains(owner, account, typed, 'owner')
    return withStaleUntil(warnings.length === 0 ? 'domains' : 'domains_shared', staleUntil)
  }

  app.post(at('domains'), { schema: { params: Params, body: Domains } }, ({ params: { account }, body }, reply) =>
    act(reply, account, () => saveDomains(account, body.domains), { field: 'domains', typed: body }),
  )

  app.post(at('constant'), { schema: { params: Params, body: Constant } }, ({ params: { account }, body }, reply) => {
    const save = async (): Promise<string> => withStaleUntil('constant', await manage.setConstant(owner, account, body.constant, 'owner'))
    return act(reply, account, save, { field: 'constant', typed: body })
  })

  app.post(at('page-use'), { schema: { params: Params, body: PageUse } }, ({ params: { account }, body }, reply) => {
    const allow = body.allow === 'yes'
    const save = (): Promise<StaleUntil> => manage.setPageUse(owner, account, { allow, scopes: body.scopes || null }, 'owner')
    const decided = (staleUntil: StaleUntil): string => withStaleUntil(allow ? 'pages_allowed' : 'servers_only', staleUntil)
    return act(reply, account, () => save().then(decided), { field: 'page-use' })
  })

  feedRoutes(scope, { owner, act, withStaleUntil })
  linkRoutes(scope, { owner, appUrl: settings.appUrl, show, act })

  app.post(at('refresh'), { schema: { params: Params } }, ({ params }, reply) =>
    act(reply, params.account, async () => {
      const result = await manage.refreshNow(owner, params.account, 'owner')
      if (result?.outcome === 'failed') throw new AppError('conflict', result.message)
      return result?.outcome ?? 'lost'
    }),
  )

  for (const [path, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.post(at(path), { schema: { params: Params } }, ({ params }, reply) =>
      act(reply, params.account, async () => {
        const staleUntil = await manage.setPaused(owner, params.account, paused, 'owner')
        return withStaleUntil(paused ? 'paused' : 'resumed', staleUntil)
      }),
    )
  }

  app.post(at('default'), { schema: { params: Params } }, ({ params }, reply) =>
    act(reply, params.account, async () => {
      return withStaleUntil('default', await manage.makeDefault(owner, params.account, 'owner'))
    }),
  )

  app.post(at('remove'), { schema: { params: Params, body: Remove } }, async (request, reply) => {
    const { params, body } = request
    if (body.name.trim() !== params.account) {
      return show(reply.code(400), params.account, { problem: `To remove the account, type its name: ${params.account}`, field: 'remove' })
    }
    const { removal, staleUntil } = await manage.removeAccount(owner, params.account, body.revoke !== undefined, 'owner')
    return reply.redirect(`/admin?done=${withStaleUntil(removal, staleUntil)}`, 303)
  })
}

/** The query of the next page: the result, and until when other instances may serve the old state. */
function withStaleUntil(done: string, staleUntil: StaleUntil): string {
  return staleUntil === null ? done : `${done}&until=${staleUntil.getTime()}`
}

/** Puts the default after the accounts that need attention. A list of several pages keeps the store's order. */
function defaultFirst(accounts: AdvisedAccount[], pages: number): AdvisedAccount[] {
  const rank = ({ needsAttention, isDefault }: AdvisedAccount): number => (needsAttention ? 0 : isDefault ? 1 : 2)
  return pages > 1 ? accounts : accounts.toSorted((a, b) => rank(a) - rank(b))
}

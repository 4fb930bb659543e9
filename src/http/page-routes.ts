import type { FastifyError, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { isAccountName } from '../domain/account.ts'
import type { AppError } from '../domain/errors.ts'
import { assetRoutes } from './assets.ts'
import type { HttpDeps } from './deps.ts'
import { answerError, explain, sendError, wantsPage } from './errors.ts'
import { visitorScope } from './owner-scope.ts'
import { createPages, inTime, registerPageHeaders } from './pages.ts'
import { describeSetup, isWorking } from './setup-page.ts'
import { createSnippets } from './snippets.ts'
import { describeStatusPage, PAGE_LENGTH } from './status-page.ts'

/** The help pages; what they say in public gives away no account, time or error. */
export const pageRoutes: FastifyPluginAsync<{ deps: HttpDeps }> = async (app, { deps }) => {
  const { settings, log } = deps
  const pages = createPages(deps)
  const snippets = createSnippets(deps.viewsFolder)

  await registerPageHeaders(app, settings)
  await visitorScope(app, deps)
  assetRoutes(app, deps.viewsFolder)

  // Here and not at the root, so that they have a page's headers and know who is signed in.
  app.setNotFoundHandler((request, reply) => {
    if (!wantsPage(request)) return sendError(reply, undefined, 404, 'not_found', 'There is nothing at this address.')
    return pages.send(reply.code(404), 'not-found', {})
  })
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    if (!wantsPage(request)) return answerError(error, request, reply, log)
    const { status, message } = explain(error, request, log)
    return pages.send(reply.code(status), 'problem', { happened: message, remedy: 'Try again in a moment.', redirectUri: null })
  })

  const page = (url: string, view: string, data: (request: FastifyRequest) => Promise<object>): void => {
    app.get(url, async (request, reply) => {
      if (settings.hideHelpPages) return reply.code(204).send()
      return pages.send(reply, view, await data(request))
    })
  }
  page('/', 'home', async (request) => {
    const { account: named } = request.query as { account?: unknown }
    const account = typeof named === 'string' && isAccountName(named) ? named : null
    const { constantName, hasOwnList } = await settingsOf(deps, account)
    return {
      account,
      snippets: snippets({ appUrl: settings.appUrl, account, constantName }),
      hasOwnList,
      isEmpty: isWorking(await inTime(deps.stock())) === null,
      choice: await choiceOf(deps, request),
    }
  })
  page('/setup', 'setup', (request) => describeSetup(app, deps, request))
  page('/status', 'status', (request) => describeStatusPage(deps, request))
}

/** The account's own, where it can be told; else the global one. */
async function settingsOf(
  { readToken, settings }: HttpDeps,
  account: string | null,
): Promise<{ constantName: string; hasOwnList: boolean }> {
  try {
    const { constantName, allowList } = await readToken(account)
    return { constantName, hasOwnList: allowList !== null }
  } catch {
    return { constantName: settings.jsConstantName, hasOwnList: false }
  }
}

/** The names that the owner may choose from: all of them, or none where they are too many for a list. */
async function choiceOf({ owner }: HttpDeps, { ownerSession }: FastifyRequest): Promise<{ names: string[]; total: number } | null> {
  if (ownerSession === '') return null
  const found = await inTime(owner.overview.page({ offset: 0, limit: PAGE_LENGTH, search: '', onlyNeedy: false }))
  if (found === null || found.total === 0) return null
  return { names: found.total > PAGE_LENGTH ? [] : found.accounts.map(({ name }) => name), total: found.total }
}

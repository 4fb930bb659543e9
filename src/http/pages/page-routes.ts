import type { FastifyError, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { isAccountName } from '../../core/account.ts'
import type { AppError } from '../../core/errors.ts'
import { visitorScope } from '../admin/owner-scope.ts'
import type { HttpDeps } from '../deps.ts'
import { answerError, explain, sendError, wantsPage } from '../errors.ts'
import { assetRoutes } from './assets.ts'
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
  const nothingHere = pages.share('', 'not-found', async () => ({}))
  app.setNotFoundHandler(async (request, reply) => {
    if (!wantsPage(request)) {
      sendError(reply, undefined, 404, 'not_found', 'There is nothing at this address.')
      return reply
    }
    return isStranger(request) ? nothingHere(reply.code(404)) : pages.send(reply.code(404), 'not-found', {})
  })
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    if (!wantsPage(request)) return answerError(error, request, reply, log)
    const { status, message } = explain(error, request, log)
    return pages.send(reply.code(status), 'problem', { happened: message, remedy: 'Try again in a moment.', redirectUri: null })
  })

  const page = (url: string, view: string, data: (request: FastifyRequest | null) => Promise<object>): void => {
    const sendShared = pages.share(url, view, () => data(null))
    app.get(url, async (request, reply) => {
      if (settings.hideHelpPages && request.ownerSession === '') return reply.code(204).send()
      if (isStranger(request) && accountOf(request) === null) return sendShared(reply)
      return pages.send(reply, view, () => data(request))
    })
  }
  page('/', 'home', async (request) => {
    const account = accountOf(request)
    const { constantName, hasOwnList } = await settingsOf(deps, account)
    return {
      account,
      snippets: snippets({ appUrl: settings.appUrl, account, constantName }),
      hasOwnList,
      isEmpty: isWorking(await inTime(deps.stock())) === null,
      choice: request === null ? null : await choiceOf(deps, request),
    }
  })
  page('/setup', 'setup', (request) => describeSetup(deps, isOwner(request)))
  page('/status', 'status', (request) => describeStatusPage(deps, request))
}

const isOwner = (request: FastifyRequest | null): boolean => request !== null && request.ownerSession !== ''

/** Someone to whom a page says what it says to all who are not signed in. */
const isStranger = ({ ownerSession, perhapsOwner }: FastifyRequest): boolean => ownerSession === '' && !perhapsOwner

/** Whose code the home page shows. */
function accountOf(request: FastifyRequest | null): string | null {
  if (request === null || request.routeOptions.url !== '/') return null
  const { account } = request.query as { account?: unknown }
  return typeof account === 'string' && isAccountName(account) ? account : null
}

/** The account's own, where it can be told; else the global one. */
async function settingsOf(
  { lookAtToken, settings }: HttpDeps,
  account: string | null,
): Promise<{ constantName: string; hasOwnList: boolean }> {
  const found = await lookAtToken(account)
  return { constantName: found.problem === null ? found.constantName : settings.jsConstantName, hasOwnList: found.allowList !== null }
}

/** The names that the owner may choose from: all of them, or none where they are too many for a list. */
async function choiceOf({ owner }: HttpDeps, { ownerSession }: FastifyRequest): Promise<{ names: string[]; total: number } | null> {
  if (ownerSession === '') return null
  const found = await inTime(owner.overview.page({ offset: 0, limit: PAGE_LENGTH, search: '', onlyNeedy: false }))
  if (found === null || found.total === 0) return null
  return { names: found.total > PAGE_LENGTH ? [] : found.accounts.map(({ name }) => name), total: found.total }
}

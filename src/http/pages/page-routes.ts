import type { FastifyError, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { isAccountName } from '../../core/account.ts'
import type { AppError } from '../../core/errors.ts'
import type { VisitorParts } from '../admin/owner-scope.ts'
import { visitorScope } from '../admin/owner-scope.ts'
import { answerError, explain, NOTHING_HERE, sendError, wantsPage } from '../errors.ts'
import { assetRoutes } from './assets.ts'
import { createPages, inTime, registerPageHeaders } from './pages.ts'
import { describeSetup, isWorking, type SetupParts } from './setup-page.ts'
import { createSnippets, profileLink } from './snippets.ts'
import { describeStatusPage, PAGE_LENGTH, type StatusParts } from './status-page.ts'

/** The parts of the help pages. In public they show no account, time or error. */
type Parts = SetupParts & StatusParts & VisitorParts

export const pageRoutes: FastifyPluginAsync<Parts> = async (app, parts) => {
  const { site, status, log } = parts
  const { settings } = site
  const pages = createPages(site)
  const snippets = createSnippets(site.viewsFolder)

  await registerPageHeaders(app, settings)
  await visitorScope(app, parts)
  assetRoutes(app, site.viewsFolder)

  // In this scope, so that these answers have a page's headers and the owner's session.
  const nothingHere = pages.share('', 'not-found', async () => ({}))
  app.setNotFoundHandler(async (request, reply) => {
    if (!wantsPage(request)) {
      sendError(reply, NOTHING_HERE)
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
    const { constantName, ...shown } = await settingsOf(parts, account)
    const profile = profileLink(null, parts.owner.providers.get(shown.provider))
    return {
      account,
      snippets: snippets({ appUrl: settings.appUrl, account, constantName, profile }),
      ...shown,
      isEmpty: isWorking(await inTime(status.summary())) === null,
      choice: request === null ? null : await choiceOf(parts, request),
    }
  })
  page('/setup', 'setup', (request) => describeSetup(parts, request))
  page('/status', 'status', (request) => describeStatusPage(parts, request))
}

/** True if the visitor gets the shared page of strangers. */
const isStranger = ({ ownerSession, sessionUnknown }: FastifyRequest): boolean => ownerSession === '' && !sessionUnknown

/** The account whose code the home page shows. */
function accountOf(request: FastifyRequest | null): string | null {
  if (request === null || request.routeOptions.url !== '/') return null
  const { account } = request.query as { account?: unknown }
  return typeof account === 'string' && isAccountName(account) ? account : null
}

/** What the home page shows of an account. Without a token it is taken for one of the first provider. */
async function settingsOf(
  { reading, site: { settings } }: Parts,
  account: string | null,
): Promise<{ constantName: string; provider: string; hasOwnList: boolean; onlyServers: boolean }> {
  const found = await reading.peek(account)
  const [[provider, constantName] = ['', '']] = Object.entries(settings.constantNames)
  const hasOwnList = found.allowList !== null
  if (found.problem !== null) return { provider, constantName, hasOwnList, onlyServers: false }
  return { provider: found.provider, constantName: found.constantName, hasOwnList, onlyServers: !found.isForPages }
}

/** The account names for the owner's choice; empty if they are too many for a list. */
async function choiceOf({ owner }: Parts, { ownerSession }: FastifyRequest): Promise<{ names: string[]; total: number } | null> {
  if (ownerSession === '') return null
  const found = await inTime(owner.overview.page({ offset: 0, limit: PAGE_LENGTH, search: '', onlyNeedy: false }))
  if (found === null || found.total === 0) return null
  return { names: found.total > PAGE_LENGTH ? [] : found.accounts.map(({ name }) => name), total: found.total }
}

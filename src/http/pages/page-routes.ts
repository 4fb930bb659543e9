import type { FastifyError, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { isAccountName } from '../../core/account.ts'
import type { AppError } from '../../core/errors.ts'
import type { MediaAccess } from '../../core/media.ts'
import { type Serves, servesOf } from '../../core/serves.ts'
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
  const { site, status, owner, log } = parts
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
    const { constantName, provider, problem, ...shown } = await settingsOf(parts, account)
    const isOwner = request !== null && request.ownerSession !== ''
    const profile = profileLink(isOwner ? ((await inTime(owner.store.find(account)))?.username ?? null) : null, provider)
    return {
      account,
      snippets: snippets({ appUrl: settings.appUrl, account, constantName, profile }),
      ...shown,
      provider: provider.name,
      builds: BUILDS,
      // Strangers see neither accounts nor their errors.
      problem: isOwner ? problem : null,
      title: provider.title,
      isEmpty: problem !== null && isWorking(await inTime(status.summary())) === null,
      choice: request === null ? null : await choiceOf(parts, request),
    }
  })
  page('/setup', 'setup', (request) => describeSetup(parts, request))
  page('/status', 'status', (request) => describeStatusPage(parts, request))
}

/** The code for builds and servers: its snippet, its heading, and its name on the button that copies it. */
const BUILDS = [
  ['media-next', 'Next', 'the component for Next'],
  ['media-eleventy', 'Eleventy', 'the data file for Eleventy'],
  ['media-astro', 'Astro', 'the Astro component'],
  ['media-hugo', 'Hugo', 'the partial for Hugo'],
  ['media-curl', 'In a shell', 'the command for a shell'],
] as const

/** True if the visitor gets the shared page of strangers. */
const isStranger = ({ ownerSession, sessionUnknown }: FastifyRequest): boolean => ownerSession === '' && !sessionUnknown

/** The account whose code the home page shows. */
function accountOf(request: FastifyRequest | null): string | null {
  if (request === null || request.routeOptions.url !== '/') return null
  const { account } = request.query as { account?: unknown }
  return typeof account === 'string' && isAccountName(account) ? account : null
}

interface Shown {
  readonly constantName: string
  readonly provider: { readonly name: string; readonly title: string; readonly media?: MediaAccess | undefined }
  readonly hasOwnList: boolean
  readonly onlyServers: boolean
  readonly serves: Serves
  /** Why the code does not work now. */
  readonly problem: string | null
}

/** What the home page shows of an account. Without a token it is taken for one of the first provider. */
async function settingsOf({ reading, owner, site: { settings } }: Parts, account: string | null): Promise<Shown> {
  const found = await reading.peek(account)
  const [usual = ''] = Object.keys(settings.constantNames)
  const name = (found.problem === null ? found.provider : found.feed?.provider) ?? usual
  const provider: Shown['provider'] = owner.providers.get(name) ?? { name, title: name }
  const shown = { provider, hasOwnList: found.allowList !== null, onlyServers: false, constantName: settings.constantNames[name] ?? '' }
  if (found.problem === null) {
    const { constantName, isForPages, givesFeed } = found
    return { ...shown, constantName, onlyServers: !isForPages, serves: givesFeed ? 'both' : 'token', problem: null }
  }
  if (found.feed !== null) return { ...shown, serves: 'feed', problem: found.feed.problem?.message ?? null }
  const serves = servesOf({ serves: null }, owner.feedMode, provider.media)
  // A flood of made-up names gets the shorter page.
  const isMadeUp = account !== null && found.problem.code === 'not_found'
  return { ...shown, serves: isMadeUp && serves === 'both' ? 'feed' : serves, problem: found.problem.message }
}

/** The account names for the owner's choice; empty if they are too many for a list. */
async function choiceOf({ owner }: Parts, { ownerSession }: FastifyRequest): Promise<{ names: string[]; total: number } | null> {
  if (ownerSession === '') return null
  const found = await inTime(owner.overview.page({ offset: 0, limit: PAGE_LENGTH, search: '', onlyNeedy: false }))
  if (found === null || found.total === 0) return null
  return { names: found.total > PAGE_LENGTH ? [] : found.accounts.map(({ name }) => name), total: found.total }
}

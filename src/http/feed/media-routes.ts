import type { FastifyBaseLogger, FastifyError, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { FeedSnapshot } from '../../feeds/feed-snapshot.ts'
import { decideRead } from '../../reading/decide-read.ts'
import { answerError, NOTHING_HERE, sendError } from '../errors.ts'
import { createRefusalLog } from '../request-log.ts'
import { refusalSentence } from '../token/refusal-sentence.ts'
import type { TokenReading } from '../token/token-routes.ts'
import { answerFeed, answerFeedProblem, type Readers } from './feed-answer.ts'
import type { FeedAccess, FeedParts } from './feed-parts.ts'
import { pictureRoutes } from './picture-routes.ts'

export interface FeedRouteParts {
  readonly reading: Pick<TokenReading, 'allowList' | 'isServerKey' | 'nowMs'> & {
    /** The name of the default account; null = none. */
    defaultName(): string | null | Promise<string | null>
  }
  readonly feeds: FeedAccess
  readonly appUrl: string
  readonly log: FastifyBaseLogger
}

const MEDIA_LENGTH = '/media.json'.length
const ACCOUNTS_LENGTH = '/accounts/'.length
const NO_ACCOUNT = new AppError('not_found', 'There is no account yet. Is this your site? /setup on this agent says how to connect one.')

export const mediaRoutes: FastifyPluginAsync<FeedRouteParts> = async (app, { reading, feeds, appUrl, log }) => {
  const logRefusal = createRefusalLog(log)
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    if (error instanceof AppError) answerFeedProblem(reply, { isOpen: true, origin: null }, error)
    else answerError(error, request, reply, log)
  })

  /** Who reads; null = the request is answered, because it may not read. */
  function decide(request: FastifyRequest, reply: FastifyReply, found: FeedSnapshot): Readers | null {
    if (found.isOpen) return { isOpen: true, origin: null }
    const { headers, rawHeaders } = request.raw
    const decision = decideRead({ resource: 'json', headers, rawHeaders }, found.allowList ?? reading.allowList, reading.isServerKey)
    if (decision.allowed) return { isOpen: false, origin: decision.origin }
    const message = refusalSentence(decision, { isOwn: found.allowList !== null, account: accountIn(request), appUrl, reads: 'feed' })
    logRefusal(request, message)
    // A site that is not listed does not learn which accounts there are.
    const isUnknown = found.problem?.code === 'not_found'
    const readers = { isOpen: false, origin: isUnknown ? null : decision.origin }
    answerFeedProblem(reply, readers, isUnknown ? found.problem : { code: 'forbidden', message })
    return null
  }

  function answer(request: FastifyRequest, reply: FastifyReply, parts: FeedParts, found: FeedSnapshot): Promise<void> | undefined {
    const readers = decide(request, reply, found)
    if (readers === null) return
    if (found.problem === null) return shown(request, reply, parts, { found, readers })
    if (found.first === null) return answerFeedProblem(reply, readers, found.problem)
    // Only a reader who may read starts a fetch.
    return afterFirst(request, reply, parts, { account: found.first, readers })
  }

  function shown(
    request: FastifyRequest,
    reply: FastifyReply,
    { fetching }: FeedParts,
    { found, readers }: { found: FeedSnapshot & { problem: null }; readers: Readers },
  ): undefined {
    fetching.noteRead(found.account)
    answerFeed(reply, readers, found.bodyAt(reading.nowMs()), request.raw.headers)
  }

  async function afterFirst(
    request: FastifyRequest,
    reply: FastifyReply,
    parts: FeedParts,
    { account: { account, userId }, readers }: { account: { account: string; userId: string }; readers: Readers },
  ): Promise<void> {
    try {
      await parts.fetching.first(account, userId)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return answerFeedProblem(reply, readers, error)
    }
    const found = await parts.reader.read(account)
    if (found.problem === null) shown(request, reply, parts, { found, readers })
    else answerFeedProblem(reply, readers, found.problem)
  }

  function readNamed(request: FastifyRequest, reply: FastifyReply, name: string | null): Promise<void> | undefined {
    if (name === null) {
      const none: FeedSnapshot = { problem: NO_ACCOUNT, first: null, allowList: null, isOpen: false }
      const readers = decide(request, reply, none)
      return readers === null ? undefined : answerFeedProblem(reply, readers, NO_ACCOUNT)
    }
    const parts = feeds.loaded()
    if (parts === null) return feeds.load().then((it) => withParts(request, reply, it, name))
    return withParts(request, reply, parts, name)
  }

  function withParts(request: FastifyRequest, reply: FastifyReply, parts: FeedParts, name: string): Promise<void> | undefined {
    const found = parts.reader.read(name)
    if (found instanceof Promise) return found.then((it) => answer(request, reply, parts, it))
    return answer(request, reply, parts, found)
  }

  // Synchronous if the feed was looked up within the last second, as a read of a token is.
  function handle(request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined {
    if (isNonCanonical(request)) {
      sendError(reply, NOTHING_HERE)
      return
    }
    const name = accountIn(request) ?? reading.defaultName()
    if (name instanceof Promise) return name.then((it) => readNamed(request, reply, it))
    return readNamed(request, reply, name)
  }

  for (const prefix of ['', '/accounts/:account']) {
    app.get(`${prefix}/media.json`, { config: { resource: 'json' } }, handle)
    app.options(`${prefix}/media.json`, (request, reply) => preflight(request, reply))
  }
  await app.register(pictureRoutes, { feeds })

  /** Lets every page ask: the answer to the request itself says whether it may read. */
  function preflight({ raw: { headers } }: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { origin } = headers
    return reply
      .code(204)
      .headers({ vary: 'Origin, Access-Control-Request-Headers', 'access-control-max-age': '300' })
      .headers(origin === undefined || origin.includes(',') ? {} : ALLOWED_BY_PREFLIGHT(origin))
      .send()
  }
}

const ALLOWED_BY_PREFLIGHT = (origin: string) => ({
  'access-control-allow-origin': /^(?:https?:\/\/[\w.:[\]-]{1,300}|null)$/.test(origin) ? origin : 'null',
  'access-control-allow-methods': 'GET, HEAD',
  'access-control-allow-headers': 'authorization, cache-control, if-none-match, pragma',
})

/** True for spellings that the router reads as this address; a cache in front may apply the rules of another file. */
function isNonCanonical({ raw: { url = '' }, params }: FastifyRequest): boolean {
  const query = url.indexOf('?')
  const { account } = params as { account?: string }
  const length = MEDIA_LENGTH + (account === undefined ? 0 : ACCOUNTS_LENGTH + account.length)
  return (query === -1 ? url.length : query) !== length
}

function accountIn({ params }: FastifyRequest): string | null {
  return (params as { account?: string }).account ?? null
}

import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { FeedSnapshot, ShownFeed } from '../../feeds/feed-snapshot.ts'
import { decideRead, type ReadResource } from '../../reading/decide-read.ts'
import { NOTHING_HERE, sendError } from '../errors.ts'
import { createRefusalLog } from '../request-log.ts'
import { refusalSentence } from '../token/refusal-sentence.ts'
import type { TokenReading } from '../token/token-routes.ts'
import type { Readers } from './feed-answer.ts'
import type { FeedAccess, FeedParts } from './feed-parts.ts'

export interface FeedRouteParts {
  readonly reading: Pick<TokenReading, 'allowList' | 'isServerKey' | 'nowMs'> & {
    /** The name of the default account; null = none. */
    defaultName(): string | null | Promise<string | null>
  }
  readonly feeds: FeedAccess
  readonly appUrl: string
  readonly log: FastifyBaseLogger
}

/** One form of a feed, such as JSON or a page. */
export interface FeedForm {
  /** The end of its address, with the slash. */
  readonly file: string
  readonly resource: ReadResource
  show(request: FastifyRequest, reply: FastifyReply, found: ShownFeed, readers: Readers): undefined
  refuse(reply: FastifyReply, readers: Readers, problem: Pick<AppError, 'code' | 'message'>): undefined
}

type Handle = (request: FastifyRequest, reply: FastifyReply) => Promise<void> | undefined

const ACCOUNTS_LENGTH = '/accounts/'.length
const NO_ACCOUNT = new AppError('not_found', 'There is no account yet. Is this your site? /setup on this agent says how to connect one.')

/** Answers reads of a feed in one form. Synchronous if the feed was looked up within the last second, as a read of a token is. */
export function createFeedHandler({ reading, feeds, appUrl, log }: FeedRouteParts, form: FeedForm): Handle {
  const logRefusal = createRefusalLog(log)

  /** Who reads; null = the request is answered, because it may not read. */
  function decide(request: FastifyRequest, reply: FastifyReply, found: FeedSnapshot): Readers | null {
    if (found.isOpen) return { isOpen: true, origin: null }
    const { headers, rawHeaders } = request.raw
    const { resource } = form
    const decision = decideRead({ resource, headers, rawHeaders }, found.allowList ?? reading.allowList, reading.isServerKey)
    if (decision.allowed) return { isOpen: false, origin: decision.origin }
    const place = { isOwn: found.allowList !== null, account: accountIn(request), appUrl }
    const message = refusalSentence(decision, { ...place, reads: resource === 'frame' ? resource : 'feed' })
    logRefusal(request, message)
    // A site that is not listed does not learn which accounts there are.
    const isUnknown = found.problem?.code === 'not_found'
    const readers = { isOpen: false, origin: isUnknown ? null : decision.origin }
    form.refuse(reply, readers, isUnknown ? found.problem : { code: 'forbidden', message })
    return null
  }

  function answer(request: FastifyRequest, reply: FastifyReply, parts: FeedParts, found: FeedSnapshot): Promise<void> | undefined {
    const readers = decide(request, reply, found)
    if (readers === null) return
    if (found.problem === null) return shown(request, reply, parts, { found, readers })
    if (found.first === null) return form.refuse(reply, readers, found.problem)
    // Only a reader who may read starts a fetch.
    return afterFirst(request, reply, parts, { account: found.first, readers })
  }

  function shown(
    request: FastifyRequest,
    reply: FastifyReply,
    { fetching }: FeedParts,
    { found, readers }: { found: ShownFeed; readers: Readers },
  ): undefined {
    fetching.noteRead(found.account)
    form.show(request, reply, found, readers)
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
      return form.refuse(reply, readers, error)
    }
    const found = await parts.reader.read(account)
    if (found.problem === null) shown(request, reply, parts, { found, readers })
    else form.refuse(reply, readers, found.problem)
  }

  function readNamed(request: FastifyRequest, reply: FastifyReply, name: string | null): Promise<void> | undefined {
    if (name === null) {
      const none: FeedSnapshot = { problem: NO_ACCOUNT, first: null, allowList: null, isOpen: false }
      const readers = decide(request, reply, none)
      return readers === null ? undefined : form.refuse(reply, readers, NO_ACCOUNT)
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

  return (request, reply) => {
    if (isNonCanonical(request, form.file)) {
      sendError(reply, NOTHING_HERE)
      return
    }
    const name = accountIn(request) ?? reading.defaultName()
    if (name instanceof Promise) return name.then((it) => readNamed(request, reply, it))
    return readNamed(request, reply, name)
  }
}

/** True for spellings that the router reads as this address; a cache in front may apply the rules of another file. */
function isNonCanonical({ raw: { url = '' }, params }: FastifyRequest, file: string): boolean {
  const query = url.indexOf('?')
  const { account } = params as { account?: string }
  const length = file.length + (account === undefined ? 0 : ACCOUNTS_LENGTH + account.length)
  return (query === -1 ? url.length : query) !== length
}

function accountIn({ params }: FastifyRequest): string | null {
  return (params as { account?: string }).account ?? null
}

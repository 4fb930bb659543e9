import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { PictureBytes } from '../../feeds/feed.ts'
import type { FeedSnapshot } from '../../feeds/feed-snapshot.ts'
import { matches } from '../token/token-answer.ts'
import { answerFeedProblem, FOR_ANY_PAGE, write } from './feed-answer.ts'
import type { FeedAccess, FeedParts } from './feed-parts.ts'

/** An `<img>` names no site, so whoever knows a picture's address gets it, as long as the account's feed names it. */
const READERS = { isOpen: true, origin: null } as const
// A day, not a year: a deleted picture must leave the caches.
const HEADERS = [
  ...FOR_ANY_PAGE,
  'cache-control',
  'public, max-age=86400, immutable',
  'content-security-policy',
  "default-src 'none'; frame-ancestors 'none'; sandbox",
] as const
const NO_PICTURE = new AppError('not_found', 'There is no such picture. Pictures go with their posts: read /media.json again.')

export const pictureRoutes: FastifyPluginAsync<{ readonly feeds: FeedAccess }> = async (app, { feeds }) => {
  app.get('/accounts/:account/pictures/:file', { config: { resource: 'json' } }, (request, reply) => {
    const parts = feeds.loaded()
    return parts === null ? feeds.load().then((it) => handle(it, request, reply)) : handle(parts, request, reply)
  })
}

function handle(parts: FeedParts, request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined {
  const { account, file } = request.params as { account: string; file: string }
  const found = parts.reader.read(account)
  if (found instanceof Promise) return found.then((it) => answer(parts, request, reply, { found: it, file }))
  return answer(parts, request, reply, { found, file })
}

function answer(
  { pictures }: FeedParts,
  request: FastifyRequest,
  reply: FastifyReply,
  { found, file }: { found: FeedSnapshot; file: string },
): Promise<void> | undefined {
  if (found.problem !== null) return answerFeedProblem(reply, READERS, found.problem)
  // A made-up name costs no query.
  const named = found.files.get(file)
  if (named === undefined) return answerFeedProblem(reply, READERS, NO_PICTURE)
  const etag = `"${file.slice(0, file.lastIndexOf('.'))}"`
  const known = request.raw.headers['if-none-match']
  if (known !== undefined && matches(known, etag)) return write(reply, 304, [...HEADERS, 'etag', etag], '')
  const picture = pictures.get(found.account, named.name, named.width)
  if (picture instanceof Promise) return picture.then((it) => send(reply, etag, it))
  send(reply, etag, picture)
}

function send(reply: FastifyReply, etag: string, picture: PictureBytes | null): undefined {
  if (picture === null) return answerFeedProblem(reply, READERS, NO_PICTURE)
  const { type, bytes } = picture
  write(reply, 200, [...HEADERS, 'etag', etag, 'content-type', type, 'content-length', String(bytes.length)], bytes)
}

import type { FastifyError, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import { answerError } from '../errors.ts'
import { answerFeed, answerFeedProblem } from './feed-answer.ts'
import { pictureRoutes } from './picture-routes.ts'
import { createFeedHandler, type FeedRouteParts } from './read-feed.ts'

export const mediaRoutes: FastifyPluginAsync<FeedRouteParts> = async (app, parts) => {
  const { reading, feeds, log } = parts
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    if (error instanceof AppError) answerFeedProblem(reply, { isOpen: true, origin: null }, error)
    else answerError(error, request, reply, log)
  })
  const handle = createFeedHandler(parts, {
    file: '/media.json',
    resource: 'json',
    show: (request, reply, found, readers) => answerFeed(reply, readers, found.bodyAt(reading.nowMs()), request.raw.headers),
    refuse: answerFeedProblem,
  })
  for (const prefix of ['', '/accounts/:account']) {
    app.get(`${prefix}/media.json`, { config: { resource: 'json' } }, handle)
    app.options(`${prefix}/media.json`, (request, reply) => preflight(request, reply))
  }
  await app.register(pictureRoutes, { feeds })
}

/** Lets every page ask: the answer to the request itself says whether it may read. */
function preflight({ raw: { headers } }: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { origin } = headers
  return reply
    .code(204)
    .headers({ vary: 'Origin, Access-Control-Request-Headers', 'access-control-max-age': '300' })
    .headers(origin === undefined || origin.includes(',') ? {} : ALLOWED_BY_PREFLIGHT(origin))
    .send()
}

const ALLOWED_BY_PREFLIGHT = (origin: string) => ({
  'access-control-allow-origin': /^(?:https?:\/\/[\w.:[\]-]{1,300}|null)$/.test(origin) ? origin : 'null',
  'access-control-allow-methods': 'GET, HEAD',
  'access-control-allow-headers': 'authorization, cache-control, if-none-match, pragma',
})

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyError, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import type { ShownPost } from '../../feeds/body.ts'
import { lazily, type PreparedBody, toBody } from '../../feeds/prepared-body.ts'
import { answerError } from '../errors.ts'
import { viewsOf } from '../pages/pages.ts'
import { answerBody, answerFrame, answerFrameProblem, FOR_ANY_PAGE } from './feed-answer.ts'
import { createFeedHandler, type FeedRouteParts } from './read-feed.ts'

// What other people's pages embed: the script of <token-agent-feed>, and the same grid as a page for an iframe.

const HEADERS = [...FOR_ANY_PAGE, 'cache-control', 'public, max-age=3600', 'vary', 'Accept-Encoding'] as const

export const embedRoutes: FastifyPluginAsync<FeedRouteParts & { readonly viewsFolder: string }> = async (app, parts) => {
  const { viewsFolder } = parts
  const eta = lazily(() => viewsOf(viewsFolder))
  const fileIn = (name: string): string => readFileSync(join(viewsFolder, name), 'utf8')
  // Fixed bytes, the same for all readers.
  const script = lazily(() => toBody(withoutComments(fileIn('feed.js')).replace('%css%', () => inOneLine(fileIn('feed.css')))))
  const sheet = lazily(() => toBody(fileIn('feed.css') + fileIn('feed-page.css')))

  const serve = (file: string, type: string, body: () => PreparedBody): void => {
    app.get(file, async (request, reply) => answerBody(reply, { headers: HEADERS, type, body: body() }, request.raw.headers))
  }
  serve('/feed.js', 'text/javascript; charset=utf-8', script)
  serve('/feed.css', 'text/css; charset=utf-8', sheet)

  const render = (data: object): string => eta().render('feed', { sheet: `/feed.css?v=${sheet().etag.slice(1, -1)}`, ...data })
  const answerProblem = (reply: FastifyReply, { code, message }: Pick<AppError, 'code' | 'message'>): undefined =>
    answerFrameProblem(reply, code, render({ title: 'No posts', problem: message }))
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    if (error instanceof AppError) answerProblem(reply, error)
    else answerError(error, request, reply, parts.log)
  })
  const handle = createFeedHandler(parts, {
    file: '/feed.html',
    resource: 'frame',
    show(request, reply, { posts }, readers) {
      const { columns, count } = shapeOf(request)
      const shown = posts.slice(0, count).map((post, at) => toTile(post, at, columns))
      const title = posts[0]?.username === undefined ? 'The newest posts' : `The newest posts of ${posts[0].username}`
      const body = toBody(render({ title, columns, posts: shown }), `${readers.isOpen}`)
      answerFrame(reply, readers, { body, site: siteOf(request) }, request.raw.headers)
    },
    refuse: (reply, _readers, problem) => answerProblem(reply, problem),
  })
  for (const path of ['/feed.html', '/accounts/:account/feed.html']) app.get(path, handle)
}

/** Comments and indentation are for readers of the repository. */
const withoutComments = (script: string): string => script.replace(/^\s*(?:\/\/.*)?\n?/gm, '')
const inOneLine = (css: string): string => css.replace(/\s*([{};,\n]|: )\s*/g, (_, mark: string) => mark.trim())

/** `?columns=` and `?count=`; anything else than a number in the range is the usual one. */
function shapeOf({ query }: FastifyRequest): { columns: number; count: number } {
  const { columns, count } = query as { columns?: unknown; count?: unknown }
  const within = (value: unknown, usual: number, most: number): number => {
    const number = typeof value === 'string' && /^\d{1,3}$/.test(value) ? Number(value) : 0
    return number >= 1 && number <= most ? number : usual
  }
  return { columns: within(columns, 4, 12), count: within(count, 12, 100) }
}

function toTile({ permalink, caption, media_type, picture }: ShownPost, at: number, columns: number): object {
  const tile = { permalink, caption, isVideo: media_type === 'VIDEO' }
  if (picture === undefined) return tile
  const { alt, width, height, sizes } = picture
  // Relative, so that the policy’s 'self' fits where a visitor reaches the agent by another name.
  const pathOf = (url: string): string => new URL(url).pathname
  // A wide picture is cut at both sides, so more of it than the tile is needed.
  const shownPercent = (100 / columns) * Math.max(1, width / height)
  return {
    ...tile,
    picture: {
      alt,
      isFirstRow: at < columns,
      sizes: `${shownPercent.toFixed(1)}vw`,
      srcset: sizes.map((size) => `${pathOf(size.url)} ${size.width}w`).join(', '),
      src: pathOf(sizes[0]?.url ?? ''),
    },
  }
}

/**
 * The site of the page around, which `decideRead` has found on the list. `frame-ancestors` names no other: the list would
 * tell an agency's clients of each other.
 */
function siteOf({ headers: { referer } }: FastifyRequest): string | null {
  return referer === undefined ? null : (URL.parse(referer)?.origin ?? null)
}

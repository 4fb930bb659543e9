import { gzipSync } from 'node:zlib'
import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { words as times } from '../../core/format-time.ts'
import { megabytes } from '../../core/sizes.ts'
import { acceptsGzip } from '../accepts-gzip.ts'
import type { Settings, Site } from '../site.ts'
import { assetUrl } from './assets.ts'
import { labels } from './labels.ts'

export interface Pages {
  /** Renders the page in its turn and sends it; escapes every value. Sends 503 if too many pages wait. */
  send(reply: FastifyReply, view: string, data: object | (() => Promise<object>)): FastifyReply
  /** Sends a page that is the same for all strangers, rendered at most once a second. */
  share(path: string, view: string, data: () => Promise<object>): (reply: FastifyReply) => Promise<FastifyReply>
}

interface SharedAnswer {
  readonly plain: Buffer
  readonly gzipped: Buffer
}

const words = { ...times, ...labels, megabytes }
const byFolder = new Map<string, Eta>()
/** In characters; a smaller page fits one packet anyway. */
const MIN_GZIP_LENGTH = 1400
/** How long a page waits for a hanging part; longer than a busy store takes to answer. */
const TIMEOUT_MS = 2_000
const SHARED_MS = 1_000

export function createPages({ viewsFolder, settings, returnPages, now }: Site, clockMs = () => performance.now()): Pages {
  const eta = viewsOf(viewsFolder)
  const enqueue = createPageQueue()
  const asset = (name: string): string => assetUrl(viewsFolder, name)
  const render = (view: string, data: { readonly path: string; readonly signedIn: boolean }): string =>
    eta.render(view, { settings, words, asset, time, now: now(), signInLink: returnPages.signInFrom(data.path), ...data })

  return {
    send(reply, view, data) {
      const { request } = reply
      const path = request.routeOptions.url ?? ''
      const signedIn = (request.ownerSession ?? '') !== ''
      const isAdmitted = enqueue(signedIn ? 'owner' : 'stranger', async () => {
        try {
          const own = typeof data === 'function' ? await data() : data
          if (reply.raw.destroyed) return
          const html = render(view, { path, signedIn, ...own })
          const gzips = html.length >= MIN_GZIP_LENGTH && acceptsGzip(request.headers['accept-encoding'])
          sendHtml(reply, gzips ? gzipSync(html) : html, gzips)
        } catch (error) {
          reply.send(error)
        }
      })
      return isAdmitted ? reply : sendHtml(reply.code(503).header('retry-after', '2'), BUSY, false)
    },
    share(path, view, data) {
      let last: { answer: Promise<SharedAnswer>; goodUntilMs: number } | null = null

      async function make(): Promise<SharedAnswer> {
        const html = render(view, { path, signedIn: false, ...(await data()) })
        return { plain: Buffer.from(html), gzipped: gzipSync(html) }
      }
      function current(): Promise<SharedAnswer> {
        if (last !== null && clockMs() < last.goodUntilMs) return last.answer
        const made = { answer: make(), goodUntilMs: Number.POSITIVE_INFINITY }
        last = made
        made.answer.then(
          () => {
            made.goodUntilMs = clockMs() + SHARED_MS
          },
          () => {
            made.goodUntilMs = 0
          },
        )
        return made.answer
      }
      return async (reply) => {
        const { plain, gzipped } = await current()
        const gzips = acceptsGzip(reply.request.headers['accept-encoding'])
        return sendHtml(reply, gzips ? gzipped : plain, gzips)
      }
    },
  }
}

/** The folder's templates. They escape every value. */
export function viewsOf(folder: string): Eta {
  const eta = byFolder.get(folder) ?? new Eta({ views: folder, cache: true, autoEscape: true })
  byFolder.set(folder, eta)
  return eta
}

function sendHtml(reply: FastifyReply, html: string | Buffer, isGzipped: boolean): FastifyReply {
  reply.type('text/html; charset=utf-8').header('cache-control', 'no-store')
  if (isGzipped) reply.header('content-encoding', 'gzip')
  return reply.send(html)
}

/** A constant: it is sent when there is no time to render a page. */
const BUSY = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>One moment · token-agent</title>
<main><h1>One moment</h1><p>Many pages are asked for at this moment. Reload this one in a few seconds.</p></main></html>
`

type Visitor = 'owner' | 'stranger'
/** The maximum of pages that wait or are being rendered. */
const MAX_PAGES: Record<Visitor, number> = { owner: 8, stranger: 8 }

/** Renders one page per turn of the event loop, the owner's first, so that reads come in between; false = too many wait. */
function createPageQueue(): (visitor: Visitor, make: () => Promise<void>) => boolean {
  const pages: Record<Visitor, number> = { owner: 0, stranger: 0 }
  const waiting: Record<Visitor, (() => void)[]> = { owner: [], stranger: [] }
  const isIdle = (): boolean => waiting.owner.length + waiting.stranger.length === 0

  function beginNext(): void {
    const begin = waiting.owner.shift() ?? waiting.stranger.shift()
    if (!isIdle()) setImmediate(beginNext)
    begin?.()
  }
  return (visitor, make) => {
    if (pages[visitor] >= MAX_PAGES[visitor]) return false
    if (isIdle()) setImmediate(beginNext)
    pages[visitor]++
    waiting[visitor].push(() => void make().finally(() => pages[visitor]--))
    return true
  }
}

/** In UTC; page.js converts it to the reader's time zone. */
const time = (at: Date): string => `<time datetime="${at.toISOString()}">${words.inUtc(at)}</time>`

/** Security headers of every page: only the agent's own script, nothing from other origins, no framing. */
export async function registerPageHeaders(
  app: FastifyInstance,
  { appUrl }: Settings,
  referrer: 'no-referrer' | 'same-origin' = 'no-referrer',
): Promise<void> {
  const options: FastifyHelmetOptions = {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        // The status page fetches itself.
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    referrerPolicy: { policy: referrer },
    // Only over TLS: browsers ignore the header elsewhere. Without subdomains, which may be other people's servers.
    strictTransportSecurity: appUrl.startsWith('https:') ? { maxAge: 31_536_000, includeSubDomains: false } : false,
  }
  await app.register(helmet, options)
}

/** Null if the answer fails, or takes longer than `TIMEOUT_MS`. */
export function inTime<T>(answer: Promise<T>): Promise<T | null> {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, TIMEOUT_MS, null).unref()
    answer.then(resolve, () => resolve(null)).finally(() => clearTimeout(late))
  })
}

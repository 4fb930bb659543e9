import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Answer, Graph } from './instagram-graph.ts'
import { json, Refusal, strict } from './instagram-graph.ts'
import type { Knobs } from './instagram-knobs.ts'
import { pictureOf } from './instagram-pictures.ts'

// The posts of a user and the server of their pictures: PROVIDERS.md, sections A and B; FEEDS.md.

const EIGHT = ['caption', 'id', 'media_type', 'media_url', 'permalink', 'thumbnail_url', 'timestamp', 'username']
/** Those that every token may read, and the others. */
const FEW = { instagram: EIGHT, threads: [...EIGHT, 'text', 'is_reply'] }
const MORE = ['media_product_type', 'alt_text', 'children', 'shortcode', 'is_quote_post']
/** The fields that a post lacks, by its number, as posts with licensed music or of closed accounts do. */
const GAPS: Readonly<Record<number, string>> = { 0: 'media_url', 1: 'permalink', 2: 'caption', 4: 'thumbnail_url' }
/** One post in so many is a video. */
const VIDEO_AT = 5

export function createMedia(graph: Graph, now: () => number, knobs: Knobs, url: () => string) {
  const isThreads = knobs.service === 'threads'

  function list(params: URLSearchParams): Answer {
    const given = strict(params, ['access_token'], ['fields', 'limit', 'after'])
    const held = graph.check(given['access_token'] ?? '')
    const limit = Number(given['limit'] ?? 25)
    if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw new Refusal(100, '(#100) limit must be between 1 and 100')
    const fields = ['id', ...(given['fields'] ?? 'id').replace(/\{[^}]*\}/g, '').split(',')]
    const few = FEW[isThreads ? 'threads' : 'instagram']
    const allowed = knobs.mediaFields === 'all' ? [...few, ...MORE] : few
    const unknown = fields.find((field) => !allowed.includes(field) || (isThreads ? field === 'caption' : field === 'text'))
    if (unknown !== undefined) throw graph.noField(unknown)
    const start = given['after'] === undefined ? 0 : Number(Buffer.from(given['after'], 'base64url').toString())
    const isEmptyFirst = knobs.emptyFirstPage && given['after'] === undefined
    const all = knobs.posts ?? numbers().map((index) => item(index, graph.user(held.userId).username))
    const end = isEmptyFirst ? 0 : Math.min(start + limit, all.length)
    const data = all.slice(start, end).map((post) => pick(post, fields))
    const cursor = (at: number) => Buffer.from(String(at)).toString('base64url')
    const next = new URLSearchParams(params)
    next.set('after', cursor(end))
    // The address of the next page holds the token.
    const more = end < all.length ? { next: `${url()}${graph.service.mediaPath}?${next}` } : {}
    const answer = json({ data, paging: { cursors: { before: cursor(start), after: cursor(end) }, ...more } })
    if (knobs.usagePercent === null) return answer
    const usage = JSON.stringify({ call_count: knobs.usagePercent, total_time: 1, total_cputime: 1 })
    return { ...answer, headers: { ...answer.headers, 'x-app-usage': usage } }
  }

  /** Newest first. */
  function numbers(): number[] {
    const first = knobs.newestPost
    return Array.from({ length: knobs.mediaCount }, (_, at) => first - at).filter((one) => !knobs.deletedPosts.includes(one))
  }

  function pick(post: unknown, fields: readonly string[]): unknown {
    if (knobs.posts !== null || typeof post !== 'object' || post === null) return post
    const gap = knobs.mediaGaps ? GAPS[-Number((post as { at: number }).at)] : undefined
    return Object.fromEntries(Object.entries(post).filter(([field]) => fields.includes(field) && field !== gap))
  }

  function item(number: number, username: string): Record<string, unknown> {
    const index = Math.abs(number)
    const isVideo = index % VIDEO_AT === VIDEO_AT - 1
    const isCarousel = !isVideo && index % 3 === 2
    const id = 18_000_000_000_000_001n + BigInt(number < 0 ? 2 * index : 2 * index + 1)
    const site = isThreads ? `https://www.threads.${index % 2 === 0 ? 'com' : 'net'}/@${username}/post/` : 'https://www.instagram.com/p/'
    const isForeign = isThreads && knobs.foreignPosts
    const type = isVideo ? 'VIDEO' : isCarousel ? 'CAROUSEL_ALBUM' : isThreads && index % 7 === 3 ? 'TEXT_POST' : 'IMAGE'
    return {
      at: number,
      id: String(id),
      [isThreads ? 'text' : 'caption']: knobs.captions?.[index % knobs.captions.length] ?? `Picture number ${index}`,
      media_type: isForeign && index % 3 === 0 ? 'REPOST_FACADE' : type,
      media_product_type: isThreads ? 'THREADS' : 'FEED',
      ...(type === 'TEXT_POST' ? {} : { media_url: isVideo ? addressOf(`${number}.mp4`) : addressOf(`${number}.png`) }),
      ...(isVideo ? { thumbnail_url: addressOf(`${number}.png`) } : {}),
      ...(knobs.captions !== null || index % 4 === 0
        ? { alt_text: knobs.captions?.[index % knobs.captions.length] ?? `Hills and a sun, number ${index}` }
        : {}),
      ...(isCarousel ? { children: { data: [0, 1].map((one) => ({ id: `${id}${one}`, media_type: 'IMAGE' })) } } : {}),
      permalink: `${site}${number}/`,
      timestamp: new Date(Date.parse('2026-09-26T22:36:43Z') + number * 3_600_000).toISOString().replace('.000Z', '+0000'),
      username,
      is_reply: isForeign && index % 4 === 0,
      is_quote_post: index % 5 === 1,
    }
  }

  const signatureOf = (path: string, oe: string): string =>
    createHash('sha256').update(`post picture ${path} ${oe}`).digest('hex').slice(0, 32)

  function addressOf(file: string): string {
    if (knobs.postPictures === 'meta') return `https://scontent.cdninstagram.com/${file.replace('.png', '.jpg')}`
    const oe = Math.floor(now() / 1000 + knobs.pictureLifeSeconds).toString(16)
    return `${url()}/cdn/${file}?${new URLSearchParams({ oe, oh: signatureOf(`/cdn/${file}`, oe) })}`
  }

  /** The address is signed and dies by its own hexadecimal date. */
  function picture(path: string, params: URLSearchParams, headers: IncomingHttpHeaders): Answer {
    const { oe = '', oh } = strict(params, ['oe', 'oh'])
    if (oh !== signatureOf(path, oe)) return { status: 403, body: 'URL signature mismatch' }
    if (Number.parseInt(oe, 16) * 1000 <= now()) return { status: 403, body: 'URL signature expired' }
    for (const name of ['authorization', 'cookie', 'referer'])
      if (headers[name] !== undefined) throw new Refusal(100, `A picture’s server need not know ${name}`)
    const { pictureBytes } = knobs
    const body = typeof pictureBytes === 'function' ? pictureBytes(path) : (pictureBytes ?? pictureOf(path))
    return { status: 200, body, headers: { 'content-type': 'image/png', 'cache-control': 'max-age=1209600' } }
  }

  return { list, picture }
}

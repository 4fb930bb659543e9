import { ProviderError } from '../../core/errors.ts'
import type { Media, PostPage, PostRequest } from '../../core/media.ts'
import type { Secret } from '../../core/secret.ts'
import { type Answer, type Call, call } from '../http.ts'
import { isRecord, parse } from './answer.ts'
import { fetchPicture, isMetas } from './picture.ts'
import { readPost } from './post.ts'
import type { createRefusals } from './refusal.ts'
import type { GraphService } from './service.ts'

/** A hundred posts with the longest captions have 1 MB; 24 usual ones 40 KB. */
const MAX_BYTES = 1024 * 1024
/** A picture of 1440 by 1800 has 270 KB. */
const PICTURE_BYTES = 4 * 1024 * 1024

interface MediaOptions extends Pick<Call, 'fetch' | 'timeoutMs'> {
  readonly graphUrl: string
  readonly refusal: ReturnType<typeof createRefusals>
}

/** The posts of one service's users. Nothing of an answer is passed on that has not been checked. */
export function createMedia({ title, media }: Pick<GraphService, 'title' | 'media'>, options: MediaOptions): Media {
  const { graphUrl, timeoutMs, fetch, refusal } = options
  const ownOrigin = new URL(graphUrl).origin

  /** The next page is asked for at the known host by its cursor, because the address in `paging.next` comes from outside. */
  async function ask(accessToken: Secret, { limit, after }: PostRequest, fields: string): Promise<Omit<PostPage, 'isShort'>> {
    const url = new URL(graphUrl.replace(/\/+$/, '') + media.path)
    const cursor = after === undefined ? {} : { after }
    url.search = new URLSearchParams({ fields, limit: String(limit), ...cursor, access_token: accessToken.reveal() }).toString()
    const answer = await call(url, { service: title, timeoutMs, fetch, maxBytes: MAX_BYTES })
    const body = parse(answer.text)
    const refused = refusal(answer, body)
    if (refused !== null) throw refused
    if (!isRecord(body) || !Array.isArray(body['data'])) {
      throw new ProviderError(
        'transient',
        `${title} gave an answer without a list of posts; the last posts stay, and the agent asks again.`,
      )
    }
    // More than was asked for is no reason to keep more.
    const listed = body['data'].slice(0, limit).filter((one) => !isForeign(one))
    const read = listed.flatMap((one) => readPost(one, media, (picture) => isMetas(picture, ownOrigin)) ?? [])
    const seen = new Set<string>()
    return {
      // A feed must not show a post twice.
      posts: read.filter(({ id }) => !seen.has(id) && seen.add(id)),
      refused: listed.length - read.length,
      isEmpty: listed.length === 0,
      after: cursorOf(body['paging']),
      usagePercent: usageOf(answer),
    }
  }

  /** A repost or a reply is not the user's own post. */
  function isForeign(value: unknown): boolean {
    return isRecord(value) && (media.foreignTypes.includes(String(value['media_type'])) || value['is_reply'] === true)
  }

  return {
    async posts(accessToken, request) {
      if (request.isShort) return { ...(await ask(accessToken, request, media.shortFields)), isShort: true }
      try {
        return { ...(await ask(accessToken, request, media.fields)), isShort: false }
      } catch (error) {
        // One field that the token may not read fails the whole call.
        if (!(error instanceof ProviderError && error.reason === 'unsupported')) throw error
        return { ...(await ask(accessToken, request, media.shortFields)), isShort: true }
      }
    },

    async picture(address) {
      const picture = await fetchPicture(address, { ownOrigin, service: title, timeoutMs, fetch, maxBytes: PICTURE_BYTES })
      if (picture === null) throw new ProviderError('transient', 'The post names no picture.')
      return picture
    },
  }
}

function cursorOf(paging: unknown): string | null {
  if (!isRecord(paging) || typeof paging['next'] !== 'string' || !isRecord(paging['cursors'])) return null
  const { after } = paging['cursors']
  return typeof after === 'string' && /^[\w=+/.-]{1,1000}$/.test(after) ? after : null
}

const USED = ['call_count', 'total_time', 'total_cputime']

/** The highest figure of both headers. https://developers.facebook.com/docs/graph-api/overview/rate-limiting */
function usageOf({ headers }: Answer): number {
  let percent = 0
  for (const name of ['x-app-usage', 'x-business-use-case-usage']) {
    try {
      JSON.parse(headers.get(name) ?? 'null', (key, value: unknown) => {
        if (USED.includes(key) && typeof value === 'number' && value > percent && value < 1e6) percent = value
        return value
      })
    } catch {
      // The header is only a hint.
    }
  }
  return percent
}

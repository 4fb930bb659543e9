import type { Post } from '../../core/media.ts'
import { isId, isRecord } from './answer.ts'
import type { GraphMedia } from './service.ts'

// Checks each field of a post. What a feed shows is built from these fields alone.

/** Instagram's own limit is 2,200. */
const MAX_TEXT = 2500
const MAX_CHILDREN = 20
const MAX_ADDRESS = 500
const MAX_PICTURE_ADDRESS = 4000
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)$/

/** Null where the post cannot be shown. A post without a picture that can be fetched stays. */
export function readPost(value: unknown, media: GraphMedia, isPictureHost: (url: URL) => boolean): Post | null {
  if (!isRecord(value)) return null
  const { id, permalink, timestamp, media_type: type } = value
  const caption = textOf(value[media.caption])
  const children = childrenOf(value['children'])
  if (!isId(id) || typeof type !== 'string' || !media.types.includes(type) || !isPermalink(permalink, media.hosts)) return null
  if (typeof timestamp !== 'string' || !INSTANT.test(timestamp) || !Number.isFinite(Date.parse(timestamp))) return null
  if (caption === undefined || children === null) return null
  const { username, media_product_type: product } = value
  return {
    id,
    mediaType: type,
    productType: typeof product === 'string' && /^[A-Z_]{1,40}$/.test(product) ? product : null,
    permalink,
    timestamp,
    username: typeof username === 'string' && /^[\w.]{1,64}$/.test(username) ? username : null,
    caption,
    altText: textOf(value['alt_text']) ?? null,
    children,
    picture: pictureOf(stillOf(type, value), isPictureHost),
  }
}

/** A film is not kept, only its still picture; an album may begin with a film. */
function stillOf(type: string, { thumbnail_url: still, media_url: media }: Record<string, unknown>): unknown {
  return type === 'VIDEO' ? still : type === 'CAROUSEL_ALBUM' ? (still ?? media) : media
}

/** Without control characters but line breaks; null = none, undefined = too long. */
function textOf(value: unknown): string | null | undefined {
  if (typeof value !== 'string') return null
  const text = value
    .toWellFormed()
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n]/gu, '')
  if (text.trim() === '') return null
  return text.length > 2 * MAX_TEXT || [...text].length > MAX_TEXT ? undefined : text
}

function isPermalink(value: unknown, hosts: readonly string[]): value is string {
  if (typeof value !== 'string' || value.length > MAX_ADDRESS) return false
  const url = URL.parse(value)
  // The parser repairs many addresses; one that it has to repair is not the provider's.
  return (
    url !== null && url.href === value && url.origin === `https://${url.hostname}` && hosts.includes(url.hostname) && url.username === ''
  )
}

/** As `{"data":[…]}`. Null where there are too many; children that cannot be read are left out. */
function childrenOf(value: unknown): Post['children'] | null {
  const data = isRecord(value) && Array.isArray(value['data']) ? value['data'] : []
  if (data.length > MAX_CHILDREN) return null
  return data.flatMap((one) => {
    if (!isRecord(one) || !isId(one['id'])) return []
    const { id, media_type: type } = one
    return typeof type === 'string' && /^[A-Z_]{1,40}$/.test(type) ? [{ id, mediaType: type }] : []
  })
}

function pictureOf(address: unknown, isPictureHost: (url: URL) => boolean): Post['picture'] {
  const url = typeof address === 'string' && address.length <= MAX_PICTURE_ADDRESS ? URL.parse(address) : null
  const file = url?.pathname.split('/').at(-1) ?? ''
  if (url === null || !isPictureHost(url) || !/^[\w.-]{1,200}$/.test(file)) return null
  return { url: url.href, file }
}

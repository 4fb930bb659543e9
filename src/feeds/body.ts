import { type FeedPost, isShown, type StoredPicture } from './feed.ts'

/** A picture in one width. */
export interface PictureAddress {
  readonly width: number
  readonly height: number
  readonly url: string
}

/** A post as readers get it: Graph's shape and names, with the agent's own addresses. Built from checked fields alone. */
export interface ShownPost {
  readonly id: string
  readonly media_type: string
  readonly media_product_type?: string
  readonly permalink: string
  readonly timestamp: string
  readonly username?: string
  readonly caption?: string
  readonly alt_text?: string
  readonly media_url?: string
  readonly thumbnail_url?: string
  readonly children?: { readonly data: readonly { readonly id: string; readonly media_type: string }[] }
  readonly picture?: {
    readonly width: number
    readonly height: number
    readonly color?: string
    readonly alt: string
    readonly sizes: readonly PictureAddress[]
  }
}

export interface Place {
  /** The agent's own origin. */
  readonly appUrl: string
  readonly account: string
  /** The provider's name in a sentence. */
  readonly title: string
}

/** The width that serves where a page knows of one address alone. */
const USUAL_WIDTH = 640
const MAX_ALT = 125

export function shownPosts(posts: readonly FeedPost[], place: Place): ShownPost[] {
  return posts.filter(isShown).map((post) => {
    const { picture } = post
    const sizes = picture === null ? [] : picture.sizes.map((size) => ({ ...size, url: addressOf(picture, size.width, place) }))
    const usual = (sizes.find(({ width }) => width >= USUAL_WIDTH) ?? sizes.at(-1))?.url
    return {
      id: post.id,
      media_type: post.mediaType,
      ...given('media_product_type', post.productType),
      permalink: post.permalink,
      timestamp: post.timestamp,
      ...given('username', post.username),
      ...given('caption', post.caption),
      ...given('alt_text', post.altText),
      // The film of a video is not kept.
      ...given(post.mediaType === 'VIDEO' ? 'thumbnail_url' : 'media_url', usual),
      ...(post.children.length === 0
        ? {}
        : { children: { data: post.children.map(({ id, mediaType }) => ({ id, media_type: mediaType })) } }),
      ...(picture === null
        ? {}
        : {
            picture: {
              width: picture.width,
              height: picture.height,
              ...given('color', picture.color),
              alt: altOf(post, place.title),
              sizes,
            },
          }),
    }
  })
}

/** The file name of a picture in one width, without a folder. */
export function fileOf({ name, type }: Pick<StoredPicture, 'name' | 'type'>, width: number): string {
  return `${name}-${width}.${type === 'image/webp' ? 'webp' : 'jpg'}`
}

function addressOf(picture: StoredPicture, width: number, { appUrl, account }: Place): string {
  return `${appUrl}/accounts/${account}/pictures/${fileOf(picture, width)}`
}

function given<Name extends string>(name: Name, value: string | null | undefined): { [name in Name]?: string } {
  return value == null ? {} : ({ [name]: value } as { [name in Name]?: string })
}

/** Never empty, because the picture is a link. */
function altOf({ altText, caption, timestamp }: FeedPost, title: string): string {
  if (altText !== null) return altText
  const [line = ''] = (caption ?? '').trim().split('\n')
  const words = line.replace(/(?:\s*#[^\s#]+)+\s*$/u, '').trim()
  if (words !== '') return shortened(words)
  const day = new Date(timestamp).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' })
  return `Post on ${title}, ${day}`
}

/** At a word's end, where one is near. */
function shortened(text: string): string {
  const characters = [...text]
  if (characters.length <= MAX_ALT) return text
  const cut = characters.slice(0, MAX_ALT - 1).join('')
  return `${cut.replace(/\s+\S{0,30}$/u, '')}…`
}

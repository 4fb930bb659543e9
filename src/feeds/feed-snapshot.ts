import type { AppError } from '../core/errors.ts'
import type { AllowList } from '../reading/allow-list.ts'
import { fileOf, type Place, type ShownPost, shownPosts } from './body.ts'
import type { FeedPost } from './feed.ts'
import { lazily, type PreparedBody, toBody } from './prepared-body.ts'

/** A feed at one moment, or why it is not shown. */
export type FeedSnapshot = ShownFeed | MissingFeed

export interface MissingFeed {
  readonly problem: AppError
  /** The account whose posts a reader may have fetched first; null = no reader can help. */
  readonly first: { readonly account: string; readonly userId: string } | null
  readonly allowList: AllowList | null
  readonly isOpen: boolean
}

export interface ShownFeed {
  readonly problem: null
  /** The account's own list; null = the global one. */
  readonly allowList: AllowList | null
  /** Any web site may read it. */
  readonly isOpen: boolean
  readonly account: string
  readonly posts: readonly ShownPost[]
  /** By file name: the pictures that the posts name. */
  readonly files: ReadonlyMap<string, { readonly name: string; readonly width: number }>
  /** The same posts, while they are fresh and afterwards. */
  readonly bodies: { fresh(): PreparedBody; stale(): PreparedBody }
  bodyAt(nowMs: number): PreparedBody
}

export interface Content {
  readonly posts: readonly FeedPost[]
  readonly changedAt: Date
  readonly freshUntil: Date
  readonly allowList: AllowList | null
  readonly isOpen: boolean
}

export function showFeed({ posts, changedAt, freshUntil, allowList, isOpen }: Content, place: Place): ShownFeed {
  const shown = shownPosts(posts, place)
  const updated = `${changedAt.toISOString().slice(0, 19)}Z`
  // The tag changes with openness, so that no copy of an open feed is confirmed after it was closed.
  const bodies = {
    fresh: lazily(() => toBody(JSON.stringify({ data: shown, updated }), `${isOpen}`)),
    stale: lazily(() => toBody(JSON.stringify({ data: shown, updated, stale: true }), `${isOpen}`)),
  }
  const files = posts.flatMap(({ picture }) =>
    picture === null ? [] : picture.sizes.map(({ width }) => [fileOf(picture, width), { name: picture.name, width }] as const),
  )
  return {
    problem: null,
    allowList,
    isOpen,
    account: place.account,
    posts: shown,
    files: new Map(files),
    bodies,
    bodyAt: bodyBy(bodies, freshUntil),
  }
}

/** The same posts after another good answer. */
export function confirmFeed(known: ShownFeed, { freshUntil, allowList }: Pick<Content, 'freshUntil' | 'allowList'>): ShownFeed {
  return { ...known, allowList, bodyAt: bodyBy(known.bodies, freshUntil) }
}

function bodyBy({ fresh, stale }: ShownFeed['bodies'], freshUntil: Date): ShownFeed['bodyAt'] {
  return (nowMs) => (nowMs > freshUntil.getTime() ? stale() : fresh())
}

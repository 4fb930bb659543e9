import { createHash } from 'node:crypto'
import { AppError, ProviderError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Media, Post } from '../core/media.ts'
import { type FeedClaim, type FeedPost, type FeedStore, MAX_TRIES, type StoredPicture } from './feed.ts'
import { UnusablePicture } from './original.ts'
import type { Resizer } from './resize.ts'

export interface PictureDeps {
  readonly store: Pick<FeedStore, 'addPicture' | 'makeRoom'>
  /** Shows a new state to the readers of all instances. */
  readonly publish: (account: string) => Promise<unknown>
  readonly resizer: Resizer
  /** False while the store cannot save a token: pictures must not take its room. */
  readonly mayKeep: () => boolean
  readonly log: Log
  /** A monotonic clock. */
  readonly clockMs: () => number
}

export interface Taken {
  readonly posts: readonly FeedPost[]
  /** The reason why no further picture is kept; null = none. */
  readonly stopped: 'full' | 'void' | 'store' | null
}

const SIDE_BY_SIDE = 2
const ALL_MS = 60_000

export interface PictureRequest {
  readonly claim: FeedClaim
  readonly media: Media
  readonly posts: readonly Post[]
  /** Also those that could not be had three times. */
  readonly isThorough: boolean
}

/**
 * Keeps the pictures that are not known yet, two at a time, in the order of the posts, for a minute. A picture that
 * cannot be had is tried three times, one time a fetch, and then only by a thorough one.
 */
export async function takePictures(
  deps: PictureDeps,
  { claim, media, posts, isThorough }: PictureRequest,
  onProgress: (posts: readonly FeedPost[]) => Promise<void>,
): Promise<Taken> {
  const known = new Map((claim.feed.posts ?? []).map((post) => [post.id, post]))
  const kept: FeedPost[] = posts.map((post) => asKnown(post, known.get(post.id)))
  const untilMs = deps.clockMs() + ALL_MS
  let stopped: Taken['stopped'] = null
  let next = 0

  async function work(): Promise<void> {
    while (next < posts.length && stopped === null && deps.clockMs() < untilMs) {
      const at = next++
      const [post, present] = [posts[at], kept[at]]
      if (post?.picture == null || present === undefined || isCurrent(known.get(post.id), post)) continue
      if (present.tries >= MAX_TRIES && !isThorough) continue
      if (!deps.mayKeep()) stopped = 'store'
      else kept[at] = (await take(post.picture, present)) ?? present
      await onProgress(kept)
    }
  }

  /** What was not read for a week gives way, nothing else. */
  async function makeRoom(): Promise<boolean> {
    const emptied = await deps.store.makeRoom()
    await Promise.all(emptied.map((account) => deps.publish(account)))
    return emptied.length > 0
  }

  /** Null where nothing more is kept, for no fault of the picture. */
  async function take({ url, file }: NonNullable<Post['picture']>, present: FeedPost): Promise<FeedPost | null> {
    try {
      const downloaded = await media.picture(url)
      const { sizes, ...picture } = await deps.resizer.resize(downloaded)
      const name = createHash('sha256').update(downloaded.bytes).digest('hex').slice(0, 32)
      const stored: StoredPicture = { ...picture, name, sizes: sizes.map(({ width, height }) => ({ width, height })) }
      const bytes = sizes.map((size) => size.bytes)
      let outcome = await deps.store.addPicture(claim, stored, bytes)
      if (outcome === 'full' && (await makeRoom())) outcome = await deps.store.addPicture(claim, stored, bytes)
      if (outcome === 'kept') return { ...present, file, picture: stored, tries: 0 }
      stopped = outcome
      return null
    } catch (error) {
      if (error instanceof AppError) {
        deps.log.warn({ account: claim.account.name, err: error }, 'a picture could not be stored; the next fetch tries again')
        stopped = 'store'
        return null
      }
      if (!(error instanceof ProviderError || error instanceof UnusablePicture)) throw error
      deps.log.info({ account: claim.account.name, post: present.id }, `a picture is missing: ${error.message}`)
      return { ...present, tries: Math.min(present.tries + 1, MAX_TRIES) }
    }
  }

  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work))
  return { posts: kept, stopped }
}

function asKnown({ picture, ...post }: Post, known: FeedPost | undefined): FeedPost {
  if (picture === null) return { ...post, file: null, picture: null, tries: 0 }
  // Until another picture of the post is there, the known one stays.
  if (known !== undefined && known.picture !== null) return { ...post, file: known.file, picture: known.picture, tries: known.tries }
  return { ...post, file: picture.file, picture: null, tries: known?.file === picture.file ? known.tries : 0 }
}

/** The host and the signature of an address change from answer to answer; the file's name stays. */
function isCurrent(known: FeedPost | undefined, { picture }: Post): boolean {
  return known !== undefined && known.picture !== null && known.file === picture?.file
}

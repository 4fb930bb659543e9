import { AppError } from '../core/errors.ts'
import type { FeedStore, PictureBytes } from './feed.ts'

/** The pictures that were asked for last, in this process. */
export interface PictureCache {
  /** Null where the store has none. Synchronous if memory has it. Ask only for pictures that a feed names. */
  get(account: string, name: string, width: number): PictureBytes | null | Promise<PictureBytes | null>
}

const MAX_BYTES = 24 * 1024 * 1024
const MAX_LOADING = 100

export function createPictureCache(store: Pick<FeedStore, 'picture'>, maxBytes = MAX_BYTES): PictureCache {
  // A Map keeps insertion order, so the first entry was used longest ago.
  const cached = new Map<string, PictureBytes>()
  const loading = new Map<string, Promise<PictureBytes | null>>()
  let size = 0

  function keep(key: string, picture: PictureBytes): void {
    cached.set(key, picture)
    size += picture.bytes.length
    for (const [oldest, { bytes }] of cached) {
      if (size <= maxBytes) return
      cached.delete(oldest)
      size -= bytes.length
    }
  }

  return {
    get(account, name, width) {
      const key = `${account} ${name} ${width}`
      const known = cached.get(key)
      if (known !== undefined) {
        cached.delete(key)
        cached.set(key, known)
        return known
      }
      const under = loading.get(key)
      if (under !== undefined) return under
      if (loading.size >= MAX_LOADING)
        throw new AppError('busy', 'Too many pictures are asked for at this moment. Try again in a few seconds.')
      const found = store
        .picture(account, name, width)
        .then((picture) => {
          if (picture !== null) keep(key, picture)
          return picture
        })
        .finally(() => loading.delete(key))
      loading.set(key, found)
      return found
    },
  }
}

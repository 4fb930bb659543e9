import type { Picture } from '../core/media.ts'
import { original, type Resized } from './original.ts'

export interface Resizer {
  /** Throws an `UnusablePicture` for bytes that are no picture. */
  resize(picture: Picture): Promise<Resized>
}

/** Keeps originals, in one size. */
export function createResizer(): Resizer {
  return { resize: async (picture) => original(picture) }
}

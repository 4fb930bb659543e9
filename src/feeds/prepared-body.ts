import { gzipSync } from 'node:zlib'
import { shortDigest } from '../core/digest.ts'

/** An answer's body, prepared once. */
export interface PreparedBody {
  readonly content: Buffer
  readonly etag: string
  /** Null where it would not be smaller. */
  gzip(): { readonly content: Buffer; readonly etag: string } | null
}

const SMALLEST_GZIP = 1024

/** `sort`: what else the tag tells apart. */
export function toBody(text: string, sort = ''): PreparedBody {
  const tag = shortDigest(`${sort} ${text}`)
  const content = Buffer.from(text)
  const gzip = lazily(() => {
    const zipped = content.length < SMALLEST_GZIP ? null : gzipSync(content, { level: 9 })
    return zipped === null ? null : { content: zipped, etag: `"${tag}-gzip"` }
  })
  return { content, etag: `"${tag}"`, gzip }
}

export function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

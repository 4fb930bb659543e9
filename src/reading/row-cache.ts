export interface CachedText {
  /** Null = a miss. */
  readonly text: string | null
  /** Identifies this state of the key for `cas`. */
  readonly tag: Buffer | null
}

/** The cache shared by instances. It may lose values or return forged ones, so every value is sealed. */
export interface RowCache {
  /** Null = a miss, or no answer in time. Never rejects; bounded by the cache's own deadline. */
  get(key: string): Promise<string | null>
  /** As `get`, with the tag for `cas`; null = no answer in time. */
  gets(key: string): Promise<CachedText | null>
  /** False if the value was not stored: no answer in time, refused, or too large. */
  set(key: string, value: string, ttlSeconds: number): Promise<boolean>
  /** Compare and set: writes only if the key is still as `seen`. False if it has changed; null if the cache did not store it. */
  cas(key: string, value: string, ttlSeconds: number, seen: CachedText): Promise<boolean | null>
  close(): void
}

export interface CachedText {
  /** Null = a miss. */
  readonly text: string | null
  /** Names this state of the key for `cas`. */
  readonly tag: Buffer | null
}

/** The second layer, shared by instances. It may forget and it may lie: every value is sealed text. */
export interface RowCache {
  /** Null = a miss, or no answer in time; it never throws and never takes longer than its own deadline. */
  get(key: string): Promise<string | null>
  /** The same with what `cas` needs; null = no answer in time. */
  gets(key: string): Promise<CachedText | null>
  /** False where it was not taken: no answer in time, refused, or too large. */
  set(key: string, value: string, ttlSeconds: number): Promise<boolean>
  /** Compare and set: writes only where the key is still as `seen`. False where it is not; null as `set` has false. */
  cas(key: string, value: string, ttlSeconds: number, seen: CachedText): Promise<boolean | null>
  close(): void
}

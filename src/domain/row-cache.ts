/** The second layer, shared by instances. It may forget and it may lie: every value is sealed text. */
export interface RowCache {
  /** Null = a miss, or no answer in time; it never throws and never takes longer than its own deadline. */
  get(key: string): Promise<string | null>
  set(key: string, value: string, ttlSeconds: number): Promise<void>
  /** Like `set`, but leaves a value that is there: what was read before it was written must not replace it. */
  add(key: string, value: string, ttlSeconds: number): Promise<void>
  close(): void
}

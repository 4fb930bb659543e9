import { setTimeout as sleep } from 'node:timers/promises'
import { shortDigest } from '../core/digest.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import type { RowCache } from './row-cache.ts'

/** Orders the states of a row. */
export interface Stamp {
  readonly version: number
  readonly revision: number
  /** The database's time when the row was read. */
  readonly atMs: number
}

/** A null value is a tombstone: an older value is invalid, and readers ask the database. */
export interface Stamped extends Stamp {
  readonly value: unknown
  /** A text for who may read: the allow-list, and the scopes; unset if there is no token to serve. A late value's tombstone keeps it. */
  readonly readers?: string | undefined
}

/** Shares rows between instances through Memcached. Values are sealed and dated; an older value never replaces a newer one. */
export interface SharedCache {
  /** Sets the store's namespace, which each read of the store returns. Null: nothing is read or written yet. */
  setNamespace(cacheId: string | null): void
  /** Null if the cache has no value, or none that is recent enough. */
  find(key: string): Promise<Stamped | null>
  /** True if every other instance now finds this value or a newer one. */
  put(key: string, stamped: Stamped): Promise<boolean>
  /** As `put`, and puts a tombstone a second later, in case a flushed cache has stored an old value since. */
  announce(key: string, stamped: Stamped): Promise<boolean>
  /** Waits for the second puts of `announce`. */
  close(): Promise<void>
}

interface Deps {
  readonly cache: RowCache
  readonly vault: Vault
  readonly clock: { nowMs(): number; isClockSure(): boolean }
  readonly secondPutMs?: number
}

/** A new shape of the value needs a new format. It is part of key and seal, so that releases never read each other's values. */
const FORMAT = 'v2'
const TTL_SECONDS = 60
/** Plus one second in the reader's memory and two of clock error: 60. */
const RECENT_MS = 57_000
const AHEAD_MS = 2_000
/** A value that took longer may have missed a change whose tombstone was lost, so a tombstone is written instead. */
const YOUNG_MS = 1_000
/** By then no value read before the change is young. */
const SECOND_PUT_MS = 1_200
const TRIES = 3
const WAIT_MS = 20

export function createSharedCache({ cache, vault, clock, secondPutMs = SECOND_PUT_MS }: Deps): SharedCache {
  let id: string | null = null
  const secondPuts = new Map<string, NodeJS.Timeout>()

  const memcachedKey = (cacheId: string, key: string): string => shortDigest(`${FORMAT} ${cacheId} ${key}`)
  const sealContext = (cacheId: string, key: string): SealContext => ({ table: 'cache', row: key, column: `${FORMAT} ${cacheId}` })

  /** Null where no key opens it. */
  function open(cacheId: string, key: string, sealed: string): Stamped | null {
    const text = tryOpen(vault, sealed, sealContext(cacheId, key))
    // Only this format is sealed with this context, so the text has this shape.
    return text === null ? null : JSON.parse(text.reveal())
  }

  function isRecent({ atMs }: Stamped): boolean {
    const ageMs = clock.nowMs() - atMs
    return ageMs <= RECENT_MS && ageMs >= -AHEAD_MS
  }

  async function put(key: string, stamped: Stamped): Promise<boolean> {
    const cacheId = id
    if (cacheId === null) return false
    for (let tries = 0; tries < TRIES; tries++) {
      const seen = await cache.gets(memcachedKey(cacheId, key))
      if (seen === null) return false
      const there = seen.text === null ? null : open(cacheId, key, seen.text)
      if (there !== null && isRecent(there) && !isOlder(there, stamped)) return true
      // A value sealed with a key that this instance lacks may be newer: a tombstone lets the database decide.
      const isForeign = seen.text !== null && there === null
      const isYoung = clock.nowMs() - stamped.atMs <= YOUNG_MS
      const { version, revision, atMs, readers } = stamped
      const text = JSON.stringify({ version, revision, atMs, value: isYoung && !isForeign ? stamped.value : null, readers })
      const written = await cache.cas(
        memcachedKey(cacheId, key),
        vault.seal(new Secret(text), sealContext(cacheId, key)),
        TTL_SECONDS,
        seen,
      )
      // Memcached takes no value of a megabyte. Without a tombstone the old one would be found for a minute.
      if (written === null && stamped.value !== null && isYoung) return put(key, { ...stamped, value: null })
      if (written !== false) return written === true
    }
    return false
  }

  function putTombstoneLater(key: string, stamped: Stamped): void {
    clearTimeout(secondPuts.get(key))
    const timer = setTimeout(async () => {
      await put(key, { ...stamped, value: null })
      if (secondPuts.get(key) === timer) secondPuts.delete(key)
    }, secondPutMs).unref()
    secondPuts.set(key, timer)
  }

  /** Clears the names of the previous release, which derive from its oldest key. Remove it in the next release. */
  async function clearOld(key: string): Promise<void> {
    await Promise.all(vault.keyIds.map((keyId) => cache.set(shortDigest(`${keyId} ${key}`), '', 1)))
  }

  return {
    setNamespace(cacheId) {
      id = cacheId
    },
    async find(key) {
      const cacheId = id
      if (cacheId === null || !clock.isClockSure()) return null
      const sealed = await cache.get(memcachedKey(cacheId, key))
      const stamped = sealed === null ? null : open(cacheId, key, sealed)
      return stamped !== null && isRecent(stamped) ? stamped : null
    },
    put,
    async announce(key, stamped) {
      putTombstoneLater(key, stamped)
      const [isTaken] = await Promise.all([put(key, stamped), clearOld(key)])
      return isTaken
    },
    async close() {
      while (secondPuts.size > 0) await sleep(WAIT_MS)
    },
  }
}

/** The key of an account's feed. */
export const feedKey = (name: string): string => `feed ${name}`

/** False for equal stamps. At the same version and revision the earlier read is older. */
export function isOlder(one: Stamp, other: Stamp): boolean {
  if (one.version !== other.version) return one.version < other.version
  if (one.revision !== other.revision) return one.revision < other.revision
  return one.atMs < other.atMs
}

import { shortDigest } from '../core/digest.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import type { RowCache } from './row-cache.ts'

/** Orders the states of one row. */
export interface Stamp {
  readonly version: number
  readonly revision: number
  /** The database's time of the statement that read it. */
  readonly atMs: number
}

/** The value null is a tombstone: what was there is no longer right, so ask the database. */
export interface Stamped extends Stamp {
  readonly value: unknown
  /** Of a token that is served: its own list, empty for the global one. It stays in a tombstone that only means “late”. */
  readonly readers?: string | undefined
}

/** What instances tell each other by way of Memcached: sealed, dated, and never replaced by something older. */
export interface SharedCache {
  /** The store's name in the cache, which each look at the store tells. Until it is known nothing is read or written. */
  join(cacheId: string | null): void
  /** Null where there is nothing that can be believed. */
  find(place: string): Promise<Stamped | null>
  /** True where every other instance finds this, or something newer. */
  put(place: string, stamped: Stamped): Promise<boolean>
  /** As `put`, and looks again after a second whether an emptied cache has taken an old value in. */
  announce(place: string, stamped: Stamped): Promise<boolean>
  /** Waits for the looks that `announce` has promised. */
  close(): Promise<void>
}

interface Deps {
  readonly cache: RowCache
  readonly vault: Vault
  readonly clock: { nowMs(): number; isClockSure(): boolean }
  readonly secondLookMs?: number
}

/** Another shape of the value is another format. It is part of key and seal, so that no release reads another's. */
const FORMAT = 'v2'
const TTL_SECONDS = 60
/** A second in the reader's own memory and two of error between two clocks make it 60. */
const BELIEVED_FOR_MS = 57_000
const AHEAD_MS = 2_000
/** What took longer to arrive may have been overtaken by a change whose tombstone is lost, so it becomes one itself. */
const YOUNG_MS = 1_000
/** When nothing that was read before the change is young any more. */
const SECOND_LOOK_MS = 1_200
const TRIES = 3
const WAIT_MS = 20

export function createSharedCache({ cache, vault, clock, secondLookMs = SECOND_LOOK_MS }: Deps): SharedCache {
  let id: string | null = null
  const secondLooks = new Map<string, NodeJS.Timeout>()

  const keyOf = (cacheId: string, place: string): string => shortDigest(`${FORMAT} ${cacheId} ${place}`)
  const sealContext = (cacheId: string, place: string): SealContext => ({ table: 'cache', row: place, column: `${FORMAT} ${cacheId}` })

  /** Null where no key opens it. */
  function open(cacheId: string, place: string, sealed: string): Stamped | null {
    const text = tryOpen(vault, sealed, sealContext(cacheId, place))
    // What this format has sealed has this shape.
    return text === null ? null : JSON.parse(text.reveal())
  }

  function isBelieved({ atMs }: Stamped): boolean {
    const ageMs = clock.nowMs() - atMs
    return ageMs <= BELIEVED_FOR_MS && ageMs >= -AHEAD_MS
  }

  async function put(place: string, stamped: Stamped): Promise<boolean> {
    const cacheId = id
    if (cacheId === null) return false
    for (let tries = 0; tries < TRIES; tries++) {
      const seen = await cache.gets(keyOf(cacheId, place))
      if (seen === null) return false
      const there = seen.text === null ? null : open(cacheId, place, seen.text)
      if (there !== null && isBelieved(there) && !isOlder(there, stamped)) return true
      // Sealed with a key that this instance lacks, it may be newer: then the database decides.
      const isForeign = seen.text !== null && there === null
      const isYoung = clock.nowMs() - stamped.atMs <= YOUNG_MS
      const { version, revision, atMs, readers } = stamped
      const text = JSON.stringify({ version, revision, atMs, value: isYoung && !isForeign ? stamped.value : null, readers })
      const written = await cache.cas(keyOf(cacheId, place), vault.seal(new Secret(text), sealContext(cacheId, place)), TTL_SECONDS, seen)
      if (written !== false) return written === true
    }
    return false
  }

  function lookAgain(place: string, stamped: Stamped): void {
    clearTimeout(secondLooks.get(place))
    const timer = setTimeout(async () => {
      await put(place, { ...stamped, value: null })
      if (secondLooks.get(place) === timer) secondLooks.delete(place)
    }, secondLookMs).unref()
    secondLooks.set(place, timer)
  }

  /** The release before looks under a name made of its oldest key. To be removed in the next release. */
  async function clearOld(place: string): Promise<void> {
    await Promise.all(vault.keyIds.map((keyId) => cache.set(shortDigest(`${keyId} ${place}`), '', 1)))
  }

  return {
    join(cacheId) {
      id = cacheId
    },
    async find(place) {
      const cacheId = id
      if (cacheId === null || !clock.isClockSure()) return null
      const sealed = await cache.get(keyOf(cacheId, place))
      const stamped = sealed === null ? null : open(cacheId, place, sealed)
      return stamped !== null && isBelieved(stamped) ? stamped : null
    },
    put,
    async announce(place, stamped) {
      lookAgain(place, stamped)
      const [isTaken] = await Promise.all([put(place, stamped), clearOld(place)])
      return isTaken
    },
    async close() {
      while (secondLooks.size > 0) await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
    },
  }
}

/** Strictly: of two of the same version and revision the earlier look is the older. */
export function isOlder(one: Stamp, other: Stamp): boolean {
  if (one.version !== other.version) return one.version < other.version
  if (one.revision !== other.revision) return one.revision < other.revision
  return one.atMs < other.atMs
}

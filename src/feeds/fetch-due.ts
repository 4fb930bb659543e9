import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/errors.ts'
import type { FeedClaim, FeedLook, FeedStore } from './feed.ts'
import { type FetchDeps, type FetchOutcome, fetchFeed } from './fetch-feed.ts'

export interface Fetching {
  /** Fetches the feeds that are due, keeps what was read, and throws old feeds away. One run at a time. */
  run(): Promise<void>
  /** Starts the first fetch of an account, for a reader; waits until it has posts, for eight seconds at most. */
  first(account: string, userId: string): Promise<void>
  /** Fetches now; null = another process is fetching, or the account's posts may not be fetched. */
  byHand(account: string): Promise<FetchOutcome | null>
  /** A reader got this feed. */
  noteRead(account: string): void
  /** Waits for running fetches. */
  settled(): Promise<unknown>
}

export interface FetchingDeps extends Omit<FetchDeps, 'store' | 'publish'> {
  readonly store: FeedStore
  readonly publish: (account: string) => Promise<void>
}

const SIDE_BY_SIDE = 4
const FIRST_WAIT_MS = 8_000
const POLL_MS = 250
/** So long after a first fetch readers start no other one, whatever it brought. */
const REST_MS = 5_000
/** Slow providers must not hold a run for long. */
const LONGEST_MS = 45_000
const READ_EVERY_MS = 10 * 60_000
const SWEEP_EVERY_MS = 3_600_000

export function createFetching(deps: FetchingDeps, signal: AbortSignal): Fetching {
  const { store, clockMs, log } = deps
  const fetches = new Map<string, Promise<FetchOutcome>>()
  /** First fetches that readers wait for; each resolves when there is something to show. */
  const firsts = new Map<string, Promise<void>>()
  const shown = new Map<string, () => void>()
  const resting = new Map<string, number>()
  const reads = new Map<string, { atMs: number; isKept: boolean }>()
  let sweptAtMs = Number.NEGATIVE_INFINITY
  let running: Promise<void> | null = null

  const own: FetchDeps = {
    ...deps,
    async publish(account) {
      await deps.publish(account)
      shown.get(account)?.()
    },
  }

  function begin(claim: FeedClaim, isByHand = false): Promise<FetchOutcome> {
    const { name } = claim.account
    const done = fetchFeed(own, claim, { isByHand }).finally(() => fetches.delete(name))
    fetches.set(name, done)
    return done
  }

  async function fetchDue(): Promise<void> {
    const untilMs = clockMs() + LONGEST_MS
    const failures: unknown[] = []
    while (!signal.aborted && failures.length === 0 && clockMs() < untilMs) {
      const free = SIDE_BY_SIDE - fetches.size
      const claims = free > 0 ? await store.claim({ limit: free }) : []
      for (const claim of claims) begin(claim).catch((error: unknown) => failures.push(error))
      if (fetches.size === 0) break
      await Promise.race(fetches.values()).catch(() => {})
    }
    await Promise.allSettled(fetches.values())
    if (failures.length > 0) throw failures[0]
  }

  /** At most every ten minutes for each feed: a read costs the database nothing. */
  async function keepReads(): Promise<void> {
    const names = [...reads].filter(([, { isKept }]) => !isKept).map(([name]) => name)
    await store.touch(names)
    for (const name of names) reads.set(name, { atMs: clockMs(), isKept: true })
    for (const [name, { atMs, isKept }] of reads) if (isKept && clockMs() - atMs >= READ_EVERY_MS) reads.delete(name)
  }

  async function run(): Promise<void> {
    await keepReads()
    await fetchDue()
    if (clockMs() - sweptAtMs < SWEEP_EVERY_MS || signal.aborted) return
    sweptAtMs = clockMs()
    for (const account of await store.sweep()) {
      log.warn({ account }, 'no good answer for two weeks: the posts of this account were thrown away')
      await deps.publish(account)
    }
  }

  async function waitForFirst(account: string, userId: string): Promise<void> {
    // What others read just now must not give way to the new feed.
    await keepReads()
    await store.begin(account, userId)
    const isShown = new Promise<void>((resolve) => shown.set(account, resolve))
    const [claim] = await store.claim({ limit: 1, account })
    const end = claim === undefined ? otherProcess(account) : begin(claim)
    await Promise.race([isShown, end])
    resting.set(account, clockMs() + REST_MS)
  }

  /** Waits while another process fetches the feed. After a failure the next try has its own time. */
  async function otherProcess(account: string): Promise<void> {
    for (const untilMs = clockMs() + FIRST_WAIT_MS; clockMs() < untilMs && !signal.aborted; ) {
      const { feed, at }: FeedLook = await store.look(account)
      if (feed === null || feed.posts !== null || feed.nextFetchAt > at) break
      await sleep(POLL_MS)
    }
    await deps.publish(account)
  }

  return {
    run() {
      running ??= run().finally(() => {
        running = null
      })
      return running
    },

    async first(account, userId) {
      for (const [name, untilMs] of resting) if (untilMs <= clockMs()) resting.delete(name)
      if (resting.has(account)) return
      const known = firsts.get(account)
      if (known === undefined && (firsts.size >= SIDE_BY_SIDE || signal.aborted)) throw new AppError('busy', BUSY)
      const waiting =
        known ??
        waitForFirst(account, userId).finally(() => {
          firsts.delete(account)
          shown.delete(account)
        })
      firsts.set(account, waiting)
      const limit = new AbortController()
      try {
        await Promise.race([waiting, sleep(FIRST_WAIT_MS, undefined, { signal: limit.signal, ref: false }).catch(() => {})])
      } finally {
        limit.abort()
      }
    },

    async byHand(account) {
      const [claim] = await store.claim({ limit: 1, account, isForced: true })
      return claim === undefined ? null : begin(claim, true)
    },

    noteRead(account) {
      if (!reads.has(account)) reads.set(account, { atMs: clockMs(), isKept: false })
    },

    settled: () => Promise.allSettled([...fetches.values(), running]),
  }
}

const BUSY = 'The posts of several accounts are being fetched for the first time. Try again in a few seconds.'

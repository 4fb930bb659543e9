import { type Account, isAccountName } from '../core/account.ts'
import type { Log } from '../core/log.ts'
import { type FeedMode, servesOf } from '../core/serves.ts'
import { createBoundedLookUps } from '../reading/bounded-look-up.ts'
import { createFreshMap, type Source } from '../reading/fresh-map.ts'
import { feedKey, isOlder, type SharedCache, type Stamp, type Stamped } from '../reading/shared-cache.ts'
import { ownAllowList } from '../reading/snapshot.ts'
import type { FeedLook, FeedPost, FeedStore } from './feed.ts'
import { type FeedProvider, feedProblem, noFeed, noFeedAnswer, notFetched } from './feed-problem.ts'
import { confirmFeed, type FeedSnapshot, type MissingFeed, type ShownFeed, showFeed } from './feed-snapshot.ts'
import { staleAfterMs } from './next-fetch.ts'

export interface FeedReader {
  /** The account's feed. Synchronous if it was looked up within the last second. */
  read(name: string): FeedSnapshot | Promise<FeedSnapshot>
  /** Shows the present state to this process and to the other instances. Never rejects. */
  publish(name: string): Promise<void>
  /** What memory has of it is not served again without a look at the store. */
  forget(name: string): void
  /** Feeds served, by source. */
  readonly counters: Readonly<Record<'process' | 'memcached' | 'store' | 'stale', number>>
}

export interface FeedReaderDeps {
  readonly store: Pick<FeedStore, 'look'>
  /** The database's clock. */
  readonly clock: { nowMs(): number }
  /** Null without Memcached. */
  readonly shared: SharedCache | null
  readonly providers: ReadonlyMap<string, FeedProvider>
  readonly mode: FeedMode
  /** FEED_INTERVAL. */
  readonly intervalMs: number
  readonly appUrl: string
  readonly log: Log
  readonly max?: number
  /** A monotonic clock. */
  readonly clockMs?: () => number
}

/** What instances share of a feed that is shown. Public but for the list of web sites; sealed all the same, against forgery. */
interface FeedRow {
  readonly provider: string
  readonly serves: Account['serves']
  readonly allowedDomains: string | null
  readonly isOpen: boolean
  readonly posts: readonly FeedPost[]
  /** Of the posts. */
  readonly etag: string
  readonly changedAt: string
  readonly fetchedAt: string
}

/** `version` is the account's revision and `revision` the feed's version: either change makes a newer state. */
interface Entry extends Stamp {
  readonly snapshot: FeedSnapshot
  readonly source: 'memcached' | 'store'
  /** Null if the feed is not shown. */
  readonly row: FeedRow | null
}

const UNKNOWN: Stamp = { version: 0, revision: 0, atMs: 0 }
const TWO_WEEKS_MS = 14 * 86_400_000
/** A feed has tens of kilobytes. */
const MAX_FEEDS = 500

/** The walk of a token, for feeds: this process (1 s), Memcached, database. */
export function createFeedReader(deps: FeedReaderDeps): FeedReader {
  const { store, clock, shared, providers, mode, intervalMs, appUrl, log, max = MAX_FEEDS, clockMs = () => performance.now() } = deps
  const counters = { process: 0, memcached: 0, store: 0, stale: 0 }
  const bounded = createBoundedLookUps()
  const missing = toEntry({ problem: noFeed(), first: null, allowList: null, isOpen: false }, UNKNOWN)
  const unanswered = (stamp: Stamp, cause?: unknown): Entry =>
    toEntry({ problem: noFeedAnswer(cause), first: null, allowList: null, isOpen: false }, stamp)

  const feeds = createFreshMap<Entry>({
    load,
    missing,
    unanswered: (cause) => unanswered(UNKNOWN, cause),
    isOlder,
    isGood: ({ snapshot }) => snapshot.problem === null,
    onTurn(error) {
      if (error === null) log.info({}, 'Feeds can be read again')
      else log.warn({ err: error }, 'The store does not answer: going on with the feeds last seen, and trying again')
    },
    max,
    clockMs,
  })

  async function load(name: string, known: Entry | null): Promise<Entry | null> {
    const found = (await shared?.find(feedKey(name))) ?? null
    if (found !== null && (known === null || !isOlder(found, known))) {
      const entry = entryInCache(name, found, known)
      if (entry !== null) return entry
      // Another instance has a newer state that only the store tells.
      if (known !== null && isOlder({ ...known, atMs: found.atMs }, found)) feeds.put(name, unanswered(found), Number.NEGATIVE_INFINITY)
    }
    const look = (): Promise<FeedLook> => store.look(name, known?.row?.etag ?? null)
    // A stranger may have made up a name that is new to this process.
    const entry = entryOfLook(name, await (known === null ? bounded(look) : look()), known)
    if (entry !== null) void shared?.put(feedKey(name), stampedOf(entry))
    return entry
  }

  function entryOfLook(name: string, { at, cacheId, account, isRemoved, feed }: FeedLook, known: Entry | null): Entry | null {
    shared?.setNamespace(cacheId)
    if (account === null) return null
    const stamp = { version: account.revision, revision: feed?.version ?? 0, atMs: at.getTime() }
    if (isRemoved) return { ...missing, ...stamp }
    const { provider, serves, allowedDomains, feedOpen: isOpen } = account
    const problem = feedProblem(account, feed, { provider: providers.get(provider), mode, now: at })
    const etag = feed?.etag ?? ''
    const posts = feed?.posts ?? (known?.row?.etag === etag ? known.row.posts : undefined)
    if (problem !== null || feed === null || posts === undefined) {
      const userId = account.providerUserId
      const first = problem === 'first' && userId !== null ? { account: name, userId } : null
      const said = problem === null || problem === 'first' ? notFetched() : problem
      return toEntry({ problem: said, first, allowList: ownAllowList(allowedDomains), isOpen }, stamp)
    }
    const [changedAt, fetchedAt] = [feed.changedAt ?? at, feed.fetchedAt ?? at].map((one) => one.toISOString()) as [string, string]
    return entryOfRow(
      name,
      { provider, serves, allowedDomains, isOpen, posts, etag, changedAt, fetchedAt },
      { stamp, source: 'store', known },
    )
  }

  /** Null where the database decides. */
  function entryInCache(name: string, { value, ...stamp }: Stamped, known: Entry | null): Entry | null {
    if (value === null) return null
    const row = value as FeedRow
    const isOld = clock.nowMs() - Date.parse(row.fetchedAt) >= TWO_WEEKS_MS
    // Another instance may run with another FEED_MODE.
    if (isOld || servesOf(row, mode, providers.get(row.provider)?.media) === 'token') return null
    return entryOfRow(name, row, { stamp, source: 'memcached', known })
  }

  function entryOfRow(name: string, row: FeedRow, how: { stamp: Stamp; source: Entry['source']; known: Entry | null }): Entry {
    const { stamp, source, known } = how
    const freshUntil = new Date(Date.parse(row.fetchedAt) + staleAfterMs(intervalMs))
    const allowList = ownAllowList(row.allowedDomains)
    const isSame = known?.row?.etag === row.etag && known.row.isOpen === row.isOpen && known.row.changedAt === row.changedAt
    const title = providers.get(row.provider)?.title ?? row.provider
    const snapshot = isSame
      ? confirmFeed(known?.snapshot as ShownFeed, { freshUntil, allowList })
      : showFeed({ ...row, changedAt: new Date(row.changedAt), freshUntil, allowList }, { appUrl, account: name, title })
    return { ...stamp, snapshot, source, row }
  }

  function give(entry: Entry, from: Source): FeedSnapshot {
    if (entry.snapshot.problem === null) counters[from === 'memory' ? 'process' : from === 'look-up' ? entry.source : 'stale']++
    return entry.snapshot
  }

  return {
    counters,
    read: (name) => (isAccountName(name) ? feeds.get(name, give) : missing.snapshot),
    async publish(name) {
      try {
        const entry = entryOfLook(name, await store.look(name), null)
        if (entry === null) return
        feeds.put(name, entry)
        await shared?.announce(feedKey(name), stampedOf(entry))
      } catch (err) {
        log.warn({ account: name, err }, 'a change of the feed could not be shown at once; it shows within a minute')
      }
    },
    forget(name) {
      const known = feeds.known(name)
      if (known !== null) feeds.put(name, unanswered({ ...known, atMs: clock.nowMs() }), Number.NEGATIVE_INFINITY)
    },
  }
}

function toEntry(snapshot: MissingFeed, { version, revision, atMs }: Stamp): Entry {
  return { version, revision, atMs, snapshot, source: 'store', row: null }
}

function stampedOf({ version, revision, atMs, row }: Entry): Stamped {
  return { version, revision, atMs, value: row }
}

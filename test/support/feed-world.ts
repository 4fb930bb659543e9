import type { Account } from '../../src/core/account.ts'
import type { AccountChange } from '../../src/core/account-store.ts'
import type { FeedSnapshot, ShownFeed } from '../../src/feeds/feed-snapshot.ts'
import { type Feeds, openFeeds } from '../../src/feeds/open-feeds.ts'
import type { RowCache } from '../../src/reading/row-cache.ts'
import { createSharedCache } from '../../src/reading/shared-cache.ts'
import type { Database } from '../../src/storage/database.ts'
import { createFeedStore } from '../../src/storage/feed-store.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import type { Knobs } from './instagram-knobs.ts'
import { createStoreWorld, HOUR_MS, MINUTE_MS } from './store-world.ts'
import type { Teardown } from './temp-folder.ts'
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts'

export { DAY_MS, HOUR_MS, MINUTE_MS } from './store-world.ts'

const START = new Date('2026-11-20T09:00:00Z')

interface Options {
  knobs?: Partial<Knobs>
  settings?: Partial<Parameters<typeof openFeeds>[0]['settings']>
  open?: () => Promise<Database>
}

/** A real store whose clock only the test moves, the strict stand-in, an account “shop”, and the feeds of any number of processes. */
export async function createFeedWorld(t: Teardown, { knobs = {}, settings = {}, open = () => openSqlite(':memory:') }: Options = {}) {
  let clock: VirtualClock | null = null
  const world = await createStoreWorld(t, {
    knobs: { postPictures: 'own', mediaCount: 6, ...knobs },
    async open() {
      const db = await open()
      clock = await createVirtualClock(db, START)
      return clock.of(db)
    },
  })
  const { instagram, db, deps } = world
  instagram.clock.set(START)
  let at = START.getTime()
  let travelledMs = 0
  const clockMs = (): number => travelledMs
  const userId = '17841400000000001'

  /** Connects a user, with a token that outlives the test. */
  async function connect(name = 'shop', change: AccountChange = {}): Promise<Account> {
    const token = instagram.issue({ userId: change.providerUserId ?? userId, username: name, lifetimeSeconds: 500 * 86_400 })
    return world.add(name, token, { expiresAt: new Date(at + 400 * 24 * HOUR_MS), nextCheckAt: new Date(at + HOUR_MS), ...change })
  }

  /** The feeds of one process. */
  function process(parts: { cache?: RowCache | null; mayKeep?: () => boolean; settings?: Options['settings'] } = {}): Feeds {
    const { cache = null, mayKeep = () => true } = parts
    return openFeeds({
      openStore: (options) => createFeedStore(db, options),
      vault: world.vault,
      providers: deps.providers,
      shared:
        cache === null
          ? null
          : createSharedCache({ cache, vault: world.vault, clock: { nowMs: () => at, isClockSure: () => true }, secondPutMs: 30 }),
      clock: { nowMs: () => at },
      settings: { mode: 'on', intervalMs: 30 * MINUTE_MS, posts: 24, storeBytes: 200 * 1024 * 1024, ...settings, ...parts.settings },
      appUrl: 'https://agent.example',
      refreshes: deps.rateLimit,
      mayKeep,
      signal: new AbortController().signal,
      log: deps.log,
      clockMs,
    })
  }
  const feeds = process()

  async function travel(ms: number): Promise<void> {
    at += ms
    travelledMs += ms
    instagram.clock.set(at)
    await clock?.set(new Date(at))
  }
  const read = (name = 'shop', by = feeds): FeedSnapshot | Promise<FeedSnapshot> => by.reader.read(name)

  return {
    ...world,
    feeds,
    userId,
    connect,
    process,
    travel,
    read,
    now: () => at,
    /** The feed that is shown. Throws where none is. */
    async shown(name = 'shop', by = feeds): Promise<ShownFeed> {
      const found = await read(name, by)
      if (found.problem !== null) throw found.problem
      return found
    },
    ids: async (name = 'shop', by = feeds) => {
      const found = await read(name, by)
      return found.problem === null ? found.posts.map(({ permalink }) => Number(permalink.split('/').at(-2))) : found.problem.code
    },
    /** A visitor: the first one of all starts the fetch. */
    async visit(name = 'shop', by = feeds): Promise<FeedSnapshot> {
      const found = await read(name, by)
      if (found.problem === null) by.fetching.noteRead(name)
      else if (found.first !== null) await by.fetching.first(name, found.first.userId)
      return read(name, by)
    },
    /** Half an hour later, and a tick of the timer. */
    async poll(by = feeds): Promise<void> {
      await travel(34 * MINUTE_MS)
      await by.fetching.run()
      await by.fetching.settled()
    },
    row: async (name = 'shop') => (await feeds.store.look(name)).feed,
    pictures: async () => Number((await db.query<{ n: number }>('select count(*) as n from pictures'))[0]?.n),
  }
}

import { type Account, isAccountName } from '../core/account.ts'
import type { AccountStore, Look } from '../core/account-store.ts'
import type { Log } from '../core/log.ts'
import { type AccountEntry, createAccountEntries, ofProblem, readersOf, stampedOf } from './account-entry.ts'
import { createBoundedLookUps } from './bounded-look-up.ts'
import { createFreshMap, type Source } from './fresh-map.ts'
import { feedKey, isOlder, type SharedCache, type Stamp } from './shared-cache.ts'
import { type ProblemSnapshot, type Snapshot, type SnapshotDeps, toProblem } from './snapshot.ts'
import { expired, noAnswer, noToken, notFound, waiting } from './token-problem.ts'
import { hasExpired } from './token-row.ts'

export type ReadSource = 'process' | 'memcached' | 'store' | 'stale'

/** Until then other instances may serve the old state; null = they see the change within three seconds. */
export type StaleUntil = Date | null

export interface TokenReader {
  /** The account, or with null the one that `/token.js` serves. Synchronous if it was looked up within the last second. */
  read(name: string | null): Snapshot | Promise<Snapshot>
  /** The name of the account that `/token.js` serves; null = none, or no answer. Synchronous as `read`. */
  defaultName(): string | null | Promise<string | null>
  /** As `read`, for the agent's own pages; not counted. */
  peek(name: string | null): Promise<Snapshot>
  /**
   * Shows a change or removal of the account to this process and to the other instances. `unsaved` is the account with a
   * grant that the store could not save. Never rejects.
   */
  publish(name: string, unsaved?: Account): Promise<StaleUntil>
  /** As `publish`, if `/token.js` may serve another account from now on. */
  publishDefault(): Promise<StaleUntil>
  /** The accounts whose tokens were served since this was last emptied. */
  readonly readNames: Set<string>
  /** Tokens served, by source. */
  readonly counters: Readonly<Record<ReadSource, number>>
}

interface Deps extends SnapshotDeps {
  readonly store: Pick<AccountStore, 'look' | 'nowMs' | 'isClockSure'>
  /** Null without Memcached. */
  readonly shared: SharedCache | null
  readonly log: Log
  readonly maxSnapshots?: number
  readonly timeoutMs?: number | undefined
  readonly clockMs?: () => number
}

/** Which account `/token.js` serves. */
interface DefaultEntry extends Stamp {
  /** Null = none. */
  readonly name: string | null
  /** The answer if there is none. */
  readonly problem: ProblemSnapshot
}

const LONGEST_MS = 60_000
const MISSING = toProblem(notFound())
const UNKNOWN: Stamp = { version: 0, revision: 0, atMs: 0 }
const NO_DEFAULT: DefaultEntry = { ...UNKNOWN, name: null, problem: toProblem(noToken()) }
/** The key of the default's name, in this process and in Memcached. */
const DEFAULT = 'default'

export function createTokenReader(deps: Deps): TokenReader {
  const { store, shared, log, maxSnapshots: max = 2000, timeoutMs, clockMs = () => performance.now() } = deps
  const counters: Record<ReadSource, number> = { process: 0, memcached: 0, store: 0, stale: 0 }
  const readNames = new Set<string>()
  const bounded = createBoundedLookUps()
  const entries = createAccountEntries({ ...deps, nowMs: () => store.nowMs() })
  const onTurn = (error: unknown): void => {
    if (error === null) log.info({}, 'Tokens can be read again')
    else log.warn({ err: error }, 'The store does not answer: going on with the tokens last seen, and trying again')
  }

  const accounts = createFreshMap<AccountEntry>({
    load: loadAccount,
    missing: ofProblem(MISSING, UNKNOWN),
    unanswered: (cause) => ofProblem(toProblem(noAnswer(cause)), UNKNOWN),
    isOlder,
    isGood: ({ snapshot }) => snapshot.problem === null && !hasExpired(snapshot, store.nowMs()),
    onTurn,
    max,
    timeoutMs,
    clockMs,
  })
  const served = createFreshMap<DefaultEntry>({
    load: (_, known) => loadDefault(known),
    missing: NO_DEFAULT,
    unanswered: (cause) => ({ ...NO_DEFAULT, problem: toProblem(noAnswer(cause)) }),
    isOlder,
    isGood: ({ name }) => name !== null,
    onTurn() {},
    max: 1,
    timeoutMs,
    clockMs,
  })

  function snapshotIn({ snapshot }: AccountEntry): Snapshot {
    if (snapshot.problem !== null || !hasExpired(snapshot, store.nowMs())) return snapshot
    // The token has expired since the snapshot was made.
    const renewsItself = deps.providers.get(snapshot.provider)?.renewal === 'self'
    return toProblem(renewsItself ? expired() : waiting(), snapshot.allowList)
  }

  function countRead(entry: AccountEntry, from: Source): Snapshot {
    const snapshot = snapshotIn(entry)
    if (snapshot.problem === null) {
      counters[from === 'memory' ? 'process' : from === 'look-up' ? entry.source : 'stale']++
      readNames.add(snapshot.name)
    }
    return snapshot
  }

  function readBy(name: string | null, give: typeof countRead): Snapshot | Promise<Snapshot> {
    if (name !== null) return isAccountName(name) ? accounts.get(name, give) : MISSING
    const found = served.get(DEFAULT, identity)
    return found instanceof Promise ? found.then((it) => readDefault(it, give)) : readDefault(found, give)
  }

  function readDefault({ name, problem }: DefaultEntry, give: typeof countRead): Snapshot | Promise<Snapshot> {
    return name === null ? problem : accounts.get(name, give)
  }

  async function loadAccount(name: string, known: AccountEntry | null): Promise<AccountEntry | null> {
    const found = (await shared?.find(keyOf(name))) ?? null
    if (found !== null && (known === null || !isOlder(found, known))) {
      const entry = entries.inCache(name, found, known)
      if (entry !== null) return entry
      // The cache has a newer state, so the entry in memory must not be served, even if the store does not answer. With the same
      // readers the older token may be served until the store answers.
      const hasSameReaders = known?.row != null && found.readers === readersOf(known.row)
      if (known !== null && !hasSameReaders && isOlder({ ...known, atMs: found.atMs }, found)) {
        accounts.put(name, ofProblem(toProblem(noAnswer()), found), Number.NEGATIVE_INFINITY)
      }
    }
    // A stranger may have made up a name that is new to this process.
    const entry = entryOfLook(await (known === null ? bounded(() => store.look(name)) : store.look(name)), known)
    if (entry !== null) void shared?.put(keyOf(name), stampedOf(entry))
    return entry
  }

  async function loadDefault(known: DefaultEntry | null): Promise<DefaultEntry> {
    const found = (await shared?.find(DEFAULT)) ?? null
    if (typeof found?.value === 'string' && (known === null || !isOlder(found, known))) {
      return { ...found, name: found.value, problem: NO_DEFAULT.problem }
    }
    const startedAtMs = clockMs()
    const now = defaultOfLook(await store.look(null), startedAtMs)
    void shared?.put(DEFAULT, { ...now, value: now.name })
    return now
  }

  /** The look-up of the default returns its account too, so the account is stored without a second look-up. */
  function defaultOfLook(look: Look, startedAtMs: number): DefaultEntry {
    const { account, isRemoved, at } = look
    const entry = entryOfLook(look, account === null ? null : accounts.known(account.name))
    const name = account === null || isRemoved ? null : account.name
    if (name !== null && entry !== null && accounts.put(name, entry, startedAtMs)) void shared?.put(keyOf(name), stampedOf(entry))
    return { version: 0, revision: 0, atMs: at.getTime(), name, problem: NO_DEFAULT.problem }
  }

  function entryOfLook({ account, isRemoved, at, cacheId }: Look, known: AccountEntry | null): AccountEntry | null {
    shared?.setNamespace(cacheId)
    if (account === null) return null
    return isRemoved ? ofProblem(MISSING, { ...account, atMs: at.getTime() }) : entries.ofAccount(account, at.getTime(), known)
  }

  /** The state of an account whose grant the store could not save. Null if memory or cache has a newer revision. */
  async function unsavedEntry(account: Account): Promise<AccountEntry | null> {
    const { name, revision } = account
    const newest = Math.max(accounts.known(name)?.revision ?? 0, (await shared?.find(keyOf(name)))?.revision ?? 0)
    // The owner has changed the account since the refresh began, perhaps to a shorter allow-list.
    if (newest > revision) return null
    return entries.ofAccount(account, store.nowMs(), null)
  }

  async function publish(name: string, unsaved?: Account): Promise<StaleUntil> {
    const known = accounts.known(name)
    let entry: AccountEntry | null = null
    let isCertain = true
    try {
      entry = entryOfLook(await store.look(name), known)
    } catch {
      isCertain = false
    }
    if (unsaved !== undefined && (entry === null || entry.version < unsaved.version)) entry = (await unsavedEntry(unsaved)) ?? entry
    // The store stopped answering after the write. Memory is out of date, so reads must ask the store.
    if (!isCertain && unsaved === undefined) entry = ofProblem(toProblem(noAnswer()), { ...(known ?? UNKNOWN), atMs: store.nowMs() })
    if (entry !== null) accounts.put(name, entry)
    if (served.known(DEFAULT)?.name === null) await publishDefault()
    const isTaken = shared === null || (entry !== null && (await announce(shared, name, entry)))
    return isTaken && isCertain ? null : new Date(store.nowMs() + LONGEST_MS)
  }

  /** A change of the account also changes who may read its feed, or ends it: the database decides. */
  async function announce(cache: SharedCache, name: string, entry: AccountEntry): Promise<boolean> {
    const feed = { version: entry.revision, revision: 0, atMs: entry.atMs, value: null }
    const taken = await Promise.all([cache.announce(keyOf(name), stampedOf(entry)), cache.announce(feedKey(name), feed)])
    return taken.every(Boolean)
  }

  async function publishDefault(): Promise<StaleUntil> {
    try {
      const now = defaultOfLook(await store.look(null), clockMs())
      served.put(DEFAULT, now)
      if (shared === null || (await shared.announce(DEFAULT, { ...now, value: now.name }))) return null
    } catch {
      // This process goes on with its last state until the store answers.
    }
    return new Date(store.nowMs() + LONGEST_MS)
  }

  return {
    counters,
    readNames,
    read: (name) => readBy(name, countRead),
    defaultName() {
      const found = served.get(DEFAULT, identity)
      return found instanceof Promise ? found.then(({ name }) => name) : found.name
    },
    peek: async (name) => readBy(name, snapshotIn),
    publish,
    publishDefault,
  }
}

const keyOf = (name: string): string => `row ${name}`

const identity = (found: DefaultEntry): DefaultEntry => found

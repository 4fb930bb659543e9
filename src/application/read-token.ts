import { type Account, isAccountName } from '../domain/account.ts'
import { AppError } from '../domain/errors.ts'
import type { Log } from '../domain/log.ts'
import { createTokenFinder, expired, type Found, hasExpired, nameOf, type TokenFinderDeps } from './find-token.ts'
import type { Snapshot } from './snapshot.ts'

export type ReadSource = 'process' | 'memcached' | 'store' | 'stale'

export interface TokenReader {
  /**
   * The account's token, or with null of the one that `/token.js` serves; without a promise where this process has
   * asked within the last second. Throws, or rejects with, an AppError: `not_found`, or `unavailable` with the sentence
   * that says why.
   */
  read(name: string | null): Snapshot | Promise<Snapshot>
  /** The same for the agent's own pages, which give no token out: it is not counted. */
  look(name: string | null): Promise<Snapshot>
  /** Tells this process and the cache of an account that has just been written. Never rejects. */
  publish(account: Account): Promise<void>
  /** The same for one that has just been removed. */
  forget(name: string): Promise<void>
  /** The same where `/token.js` serves another account from now on. */
  publishDefault(): Promise<void>
  /** Tokens given out, by where they came from. */
  readonly counters: Readonly<Record<ReadSource, number>>
}

interface Deps extends TokenFinderDeps {
  readonly log: Log
  readonly maxSnapshots?: number
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

interface Entry {
  readonly found: Found
  readonly checkedAtMs: number
  /** When the last lookup failed, if it did since: nobody waits for the next one. */
  retryAtMs: number | null
}

interface Outcome {
  readonly found: Found
  readonly source: ReadSource
}

interface Lookup {
  readonly startedAtMs: number
  /** Something newer than its answer is known already. */
  superseded: boolean
  done: Promise<Outcome>
  patience: Promise<Outcome> | null
  timer: ReturnType<typeof setTimeout> | undefined
}

const FRESH_MS = 1000
/** A snapshot this young is given out rather than let a request wait. */
const WARM_MS = 5000
const PATIENCE_MS = 15
const RETRY_MS = 250
const MAX_REFUSALS = 1000
/** Stands for the account that `/token.js` serves, whichever it is; no account is called so. */
const SERVED = ''

export function createTokenReader({ log, maxSnapshots = 2000, clockMs = () => performance.now(), ...deps }: Deps): TokenReader {
  const { store } = deps
  const finder = createTokenFinder(deps)
  const counters: Record<ReadSource, number> = { process: 0, memcached: 0, store: 0, stale: 0 }
  const entries = new Map<string, Entry>()
  const lookups = new Map<string, Lookup>()
  // Apart from the entries, so that made-up names cannot push real accounts out.
  const refusals = new Map<string, { error: AppError; untilMs: number }>()
  let answering = true

  function snapshotOf({ found }: Outcome): Snapshot {
    if (found.kind === 'problem') throw found.error
    if (hasExpired(found.snapshot, store.nowMs())) throw expired()
    return found.snapshot
  }

  function give(outcome: Outcome): Snapshot {
    const snapshot = snapshotOf(outcome)
    counters[outcome.source]++
    return snapshot
  }

  function find(asked: string | null): Outcome | Promise<Outcome> {
    if (asked === SERVED) throw notFound()
    const name = asked ?? SERVED
    const entry = entries.get(name)
    if (entry === undefined) return readFirst(name)
    if (clockMs() - entry.checkedAtMs <= FRESH_MS) return { found: entry.found, source: 'process' }
    return readAgain(name, entry)
  }

  function readFirst(name: string): Promise<Outcome> {
    const refusal = refusals.get(name)
    if (refusal !== undefined && clockMs() < refusal.untilMs) throw refusal.error
    if (name !== SERVED && !isAccountName(name)) throw notFound()
    return (lookups.get(name) ?? begin(name)).done
  }

  function readAgain(name: string, entry: Entry): Outcome | Promise<Outcome> {
    const now = clockMs()
    const stale: Outcome = { found: entry.found, source: 'stale' }
    let lookup = lookups.get(name)
    if (lookup === undefined && (entry.retryAtMs === null || now >= entry.retryAtMs)) lookup = begin(name)
    if (lookup === undefined || entry.retryAtMs !== null) return stale
    // Judged by its beginning: a lookup that hangs must not make those wait who come while it does.
    const isWarm = lookup.startedAtMs - entry.checkedAtMs <= WARM_MS
    if (!isWarm || entry.found.kind === 'problem' || hasExpired(entry.found.snapshot, store.nowMs())) return lookup.done
    const leftMs = lookup.startedAtMs + PATIENCE_MS - now
    if (leftMs <= 0) return stale
    lookup.patience ??= patience(lookup, stale, leftMs)
    return Promise.race([lookup.done, lookup.patience])
  }

  function patience(lookup: Lookup, stale: Outcome, ms: number): Promise<Outcome> {
    return new Promise((resolve) => {
      lookup.timer = setTimeout(resolve, ms, stale)
    })
  }

  function begin(name: string): Lookup {
    const known = entries.get(name)?.found ?? null
    const lookup: Lookup = {
      startedAtMs: clockMs(),
      superseded: false,
      done: finder.find(name === SERVED ? null : name, known).then(
        (found) => arrived(name, lookup, found),
        (error: unknown) => failed(name, lookup, error),
      ),
      patience: null,
      timer: undefined,
    }
    lookups.set(name, lookup)
    // In the background nobody may be waiting for it.
    lookup.done.catch(() => {})
    return lookup
  }

  function end(name: string, lookup: Lookup): void {
    clearTimeout(lookup.timer)
    if (lookups.get(name) === lookup) lookups.delete(name)
  }

  function arrived(name: string, lookup: Lookup, found: Found | null): Outcome {
    end(name, lookup)
    if (!answering) log.info({}, 'Tokens can be read again')
    answering = true
    const current = entries.get(name)
    if (lookup.superseded && current !== undefined) return { found: current.found, source: 'process' }
    if (found === null || lookup.superseded) {
      entries.delete(name)
      throw refuse(name, notFound(), FRESH_MS)
    }
    // As old as the question, not as the answer.
    hold(name, found, lookup.startedAtMs)
    return { found, source: found.kind === 'token' ? found.source : 'store' }
  }

  function failed(name: string, lookup: Lookup, error: unknown): Outcome {
    end(name, lookup)
    if (answering) log.warn({ err: error }, 'The store does not answer: going on with the tokens last seen, and trying again')
    answering = false
    const entry = entries.get(name)
    if (entry === undefined) throw refuse(name, noAnswer(error), RETRY_MS)
    if (!lookup.superseded) entry.retryAtMs = clockMs() + RETRY_MS
    return { found: entry.found, source: 'stale' }
  }

  function hold(name: string, found: Found, checkedAtMs: number): void {
    refusals.delete(name)
    entries.delete(name)
    entries.set(name, { found, checkedAtMs, retryAtMs: null })
    trim(entries, maxSnapshots)
  }

  function refuse(name: string, error: AppError, ms: number): AppError {
    refusals.delete(name)
    refusals.set(name, { error, untilMs: clockMs() + ms })
    trim(refusals, MAX_REFUSALS)
    return error
  }

  function supersede(name: string): void {
    const lookup = lookups.get(name)
    if (lookup !== undefined) lookup.superseded = true
    lookups.delete(name)
  }

  return {
    counters,
    read(asked) {
      const outcome = find(asked)
      return outcome instanceof Promise ? outcome.then(give) : give(outcome)
    },
    look: async (asked) => snapshotOf(await find(asked)),
    async publish(account) {
      const current = entries.get(account.name)
      if (current !== undefined && current.found.version > account.version) return
      const found = finder.judge(account)
      supersede(account.name)
      hold(account.name, found, clockMs())
      const served = entries.get(SERVED)
      if (served === undefined) refusals.delete(SERVED)
      else if (nameOf(served.found) === account.name) {
        supersede(SERVED)
        hold(SERVED, found, clockMs())
      }
      await finder.share(account.name, found)
    },
    async forget(name) {
      supersede(name)
      entries.delete(name)
      refuse(name, notFound(), FRESH_MS)
      await finder.share(name, null)
      await this.publishDefault()
    },
    async publishDefault() {
      await finder.shareDefault()
      refusals.delete(SERVED)
      const served = entries.get(SERVED)
      if (served === undefined) return
      supersede(SERVED)
      // Whoever asks next waits for the answer; it is kept for the case that there is none.
      entries.set(SERVED, { found: served.found, checkedAtMs: Number.NEGATIVE_INFINITY, retryAtMs: null })
    },
  }
}

/** The first in a Map is the one that was asked about the longest ago. */
function trim(map: Map<string, unknown>, max: number): void {
  for (const name of map.keys()) {
    if (map.size <= max) return
    map.delete(name)
  }
}

function notFound(): AppError {
  return new AppError('not_found', 'There is no account of this name. Compare the address with the one that the agent’s page / shows.')
}

function noAnswer(cause: unknown): AppError {
  return new AppError(
    'unavailable',
    'The token cannot be looked up at the moment. Try again in a few seconds; /readyz says what is missing.',
    {
      cause,
    },
  )
}

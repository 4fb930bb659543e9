import { AppError } from '../core/errors.ts'

/** Where an answer came from: memory that is fresh, a look that was waited for, or memory for want of an answer. */
export type Source = 'memory' | 'look' | 'stale'

interface Rules<Value> {
  /** Null = there is none, and never was one. */
  load(key: string, known: Value | null): Promise<Value | null>
  /** What to give where there is none. */
  readonly missing: Value
  /** What to give where a look failed and nothing is known. */
  unanswered(cause: unknown): Value
  /** Strictly. */
  isOlder(one: Value, other: Value): boolean
  /** Whether it may be given out, while young, rather than let a request wait. */
  isGood(value: Value): boolean
  /** Null = a look has succeeded again. */
  onTurn(error: unknown): void
  readonly max: number
  /** A clock that only goes forward. */
  readonly clockMs: () => number
}

/** What a caller gets of a value. */
type Give<Value, Given> = (value: Value, source: Source) => Given

export interface FreshMap<Value> {
  /** Without a promise where it was looked up within the last second. Never rejects. */
  get<Given>(key: string, give: Give<Value, Given>): Given | Promise<Given>
  /** Something that is known without a look. False where something newer is known. */
  put(key: string, value: Value, checkedAtMs?: number): boolean
  /** Also what is no longer fresh. */
  known(key: string): Value | null
}

interface Entry<Value> {
  readonly value: Value
  readonly checkedAtMs: number
  /** Earliest retry after a failed look; until then the value is given out as it is. */
  retryAtMs: number | null
}

interface Answer<Value> {
  readonly value: Value
  readonly source: Source
}

interface Look<Value> {
  readonly startedAtMs: number
  done: Promise<Answer<Value>>
  /** Shared by all who wait: resolves with the value last seen. */
  timeout: Promise<Answer<Value>> | null
  timer: NodeJS.Timeout | undefined
}

const FRESH_MS = 1000
/** A value this young is given out rather than let a request wait. */
const WARM_MS = 5000
const TIMEOUT_MS = 15
const RETRY_MS = 250
const MAX_REFUSALS = 1000

/** Values that are looked up again each second: one look at a time for each key, and the last value while looks hang or fail. */
export function createFreshMap<Value>(rules: Rules<Value>): FreshMap<Value> {
  const { load, isOlder, isGood, clockMs } = rules
  const entries = new Map<string, Entry<Value>>()
  const looks = new Map<string, Look<Value>>()
  // Apart from the entries, so that made-up keys cannot push real ones out.
  const refusals = new Map<string, { value: Value; untilMs: number }>()
  let answering = true

  function getFirst<Given>(key: string, give: Give<Value, Given>): Given | Promise<Given> {
    const refusal = refusals.get(key)
    if (refusal !== undefined && clockMs() < refusal.untilMs) return give(refusal.value, 'memory')
    return (looks.get(key) ?? begin(key)).done.then(({ value, source }) => give(value, source))
  }

  function getAgain<Given>(key: string, entry: Entry<Value>, give: Give<Value, Given>): Given | Promise<Given> {
    const giveAnswer = ({ value, source }: Answer<Value>): Given => give(value, source)
    const now = clockMs()
    const stale: Answer<Value> = { value: entry.value, source: 'stale' }
    let look = looks.get(key)
    if (look === undefined && (entry.retryAtMs === null || now >= entry.retryAtMs)) look = begin(key)
    if (look === undefined || entry.retryAtMs !== null) return giveAnswer(stale)
    // Judged by the look's beginning: one that hangs must not make those wait who come while it does.
    const isWarm = look.startedAtMs - entry.checkedAtMs <= WARM_MS
    if (!isWarm || !isGood(entry.value)) return look.done.then(giveAnswer)
    const leftMs = look.startedAtMs + TIMEOUT_MS - now
    if (leftMs <= 0) return giveAnswer(stale)
    look.timeout ??= timeout(look, stale, leftMs)
    return Promise.race([look.done, look.timeout]).then(giveAnswer)
  }

  function timeout(look: Look<Value>, stale: Answer<Value>, ms: number): Promise<Answer<Value>> {
    return new Promise((resolve) => {
      look.timer = setTimeout(resolve, ms, stale)
    })
  }

  function begin(key: string): Look<Value> {
    const look: Look<Value> = {
      startedAtMs: clockMs(),
      done: load(key, entries.get(key)?.value ?? null).then(
        (value) => arrived(key, look, value),
        (error: unknown) => failed(key, look, error),
      ),
      timeout: null,
      timer: undefined,
    }
    looks.set(key, look)
    return look
  }

  function end(key: string, look: Look<Value>): void {
    clearTimeout(look.timer)
    looks.delete(key)
  }

  function arrived(key: string, look: Look<Value>, value: Value | null): Answer<Value> {
    end(key, look)
    if (!answering) rules.onTurn(null)
    answering = true
    const entry = entries.get(key)
    // Something was put in while the look was under way.
    const isOvertaken = entry !== undefined && entry.checkedAtMs >= look.startedAtMs
    if (isOvertaken && (value === null || !isOlder(entry.value, value))) return { value: entry.value, source: 'memory' }
    if (value === null) {
      entries.delete(key)
      return { value: refuse(key, rules.missing, FRESH_MS), source: 'look' }
    }
    // As old as the question, not as the answer.
    hold(key, value, look.startedAtMs)
    return { value, source: 'look' }
  }

  function failed(key: string, look: Look<Value>, error: unknown): Answer<Value> {
    end(key, look)
    // A question that this process has not let through says nothing of the store.
    if (!(error instanceof AppError && error.code === 'busy')) {
      if (answering) rules.onTurn(error)
      answering = false
    }
    const entry = entries.get(key)
    if (entry === undefined) return { value: refuse(key, rules.unanswered(error), RETRY_MS), source: 'look' }
    if (entry.checkedAtMs < look.startedAtMs) entry.retryAtMs = clockMs() + RETRY_MS
    return { value: entry.value, source: 'stale' }
  }

  function hold(key: string, value: Value, checkedAtMs: number): void {
    refusals.delete(key)
    entries.delete(key)
    entries.set(key, { value, checkedAtMs, retryAtMs: null })
    trim(entries, rules.max)
  }

  function refuse(key: string, value: Value, ms: number): Value {
    refusals.delete(key)
    refusals.set(key, { value, untilMs: clockMs() + ms })
    trim(refusals, MAX_REFUSALS)
    return value
  }

  return {
    get(key, give) {
      const entry = entries.get(key)
      if (entry === undefined) return getFirst(key, give)
      if (clockMs() - entry.checkedAtMs > FRESH_MS) return getAgain(key, entry, give)
      return give(entry.value, 'memory')
    },
    put(key, value, checkedAtMs = clockMs()) {
      const entry = entries.get(key)
      if (entry !== undefined && isOlder(value, entry.value)) return false
      hold(key, value, checkedAtMs)
      return true
    },
    known: (key) => entries.get(key)?.value ?? null,
  }
}

/** The first in a Map is the one that was looked up the longest ago. */
function trim(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return
    map.delete(key)
  }
}

import { AppError } from '../core/errors.ts'

/** The source of an answer: fresh memory, a look-up, or stale memory because the look-up is late or failed. */
export type Source = 'memory' | 'look-up' | 'stale'

interface Rules<Value> {
  /** Null = the key does not exist and never did. */
  load(key: string, known: Value | null): Promise<Value | null>
  /** The value for a key that does not exist. */
  readonly missing: Value
  /** The value if the look-up fails and memory has none. */
  unanswered(cause: unknown): Value
  /** False for equal values. */
  isOlder(one: Value, other: Value): boolean
  /** Whether it may be served warm while a look-up is late. */
  isGood(value: Value): boolean
  /** Called when look-ups begin to fail, and with null when they succeed again. */
  onTurn(error: unknown): void
  readonly max: number
  /** After that a read gets the warm value. */
  readonly timeoutMs?: number | undefined
  /** A monotonic clock. */
  readonly clockMs: () => number
}

/** Turns a value into the caller's result. */
type Give<Value, Given> = (value: Value, source: Source) => Given

export interface FreshMap<Value> {
  /** Synchronous if the value was looked up within the last second. Never rejects. */
  get<Given>(key: string, give: Give<Value, Given>): Given | Promise<Given>
  /** Stores a value without a look-up. False if memory has a newer one. */
  put(key: string, value: Value, checkedAtMs?: number): boolean
  /** The value in memory, fresh or not. */
  known(key: string): Value | null
}

interface Entry<Value> {
  readonly value: Value
  readonly checkedAtMs: number
  /** Earliest retry after a failed look-up; reads get the stale value meanwhile. Null = the last look-up succeeded. */
  retryAtMs: number | null
}

interface Answer<Value> {
  readonly value: Value
  readonly source: Source
}

interface LookUp<Value> {
  readonly startedAtMs: number
  done: Promise<Answer<Value>>
  /** Resolves with the stale value after `timeoutMs`; shared by all waiting reads. */
  timeout: Promise<Answer<Value>> | null
  timer: NodeJS.Timeout | undefined
}

const FRESH_MS = 1000
/** Below this age a value is served warm: a late look-up delays no read. */
const WARM_MS = 5000
const TIMEOUT_MS = 15
const RETRY_MS = 250
const MAX_REFUSALS = 1000

/** A map whose values are looked up again each second: one look-up per key at a time, and the last value while look-ups hang or fail. */
export function createFreshMap<Value>(rules: Rules<Value>): FreshMap<Value> {
  const { load, isOlder, isGood, clockMs, timeoutMs = TIMEOUT_MS } = rules
  const entries = new Map<string, Entry<Value>>()
  const lookUps = new Map<string, LookUp<Value>>()
  // Apart from the entries, so that made-up keys cannot evict real ones.
  const refusals = new Map<string, { value: Value; untilMs: number }>()
  let answering = true

  function getFirst<Given>(key: string, give: Give<Value, Given>): Given | Promise<Given> {
    const refusal = refusals.get(key)
    if (refusal !== undefined && clockMs() < refusal.untilMs) return give(refusal.value, 'memory')
    return (lookUps.get(key) ?? begin(key)).done.then(({ value, source }) => give(value, source))
  }

  function getAgain<Given>(key: string, entry: Entry<Value>, give: Give<Value, Given>): Given | Promise<Given> {
    const giveAnswer = ({ value, source }: Answer<Value>): Given => give(value, source)
    const now = clockMs()
    const stale: Answer<Value> = { value: entry.value, source: 'stale' }
    let lookUp = lookUps.get(key)
    if (lookUp === undefined && (entry.retryAtMs === null || now >= entry.retryAtMs)) lookUp = begin(key)
    if (lookUp === undefined || entry.retryAtMs !== null) return giveAnswer(stale)
    // Age counts at the start of the look-up: a look-up that hangs must not delay later reads.
    const isWarm = lookUp.startedAtMs - entry.checkedAtMs <= WARM_MS
    if (!isWarm || !isGood(entry.value)) return lookUp.done.then(giveAnswer)
    const leftMs = lookUp.startedAtMs + timeoutMs - now
    if (leftMs <= 0) return giveAnswer(stale)
    lookUp.timeout ??= timeout(lookUp, stale, leftMs)
    return Promise.race([lookUp.done, lookUp.timeout]).then(giveAnswer)
  }

  function timeout(lookUp: LookUp<Value>, stale: Answer<Value>, ms: number): Promise<Answer<Value>> {
    return new Promise((resolve) => {
      lookUp.timer = setTimeout(resolve, ms, stale)
    })
  }

  function begin(key: string): LookUp<Value> {
    const lookUp: LookUp<Value> = {
      startedAtMs: clockMs(),
      done: load(key, entries.get(key)?.value ?? null).then(
        (value) => arrived(key, lookUp, value),
        (error: unknown) => failed(key, lookUp, error),
      ),
      timeout: null,
      timer: undefined,
    }
    lookUps.set(key, lookUp)
    return lookUp
  }

  function end(key: string, lookUp: LookUp<Value>): void {
    clearTimeout(lookUp.timer)
    lookUps.delete(key)
  }

  function arrived(key: string, lookUp: LookUp<Value>, value: Value | null): Answer<Value> {
    end(key, lookUp)
    if (!answering) rules.onTurn(null)
    answering = true
    const entry = entries.get(key)
    // `put` stored a value while the look-up ran.
    const isOvertaken = entry !== undefined && entry.checkedAtMs >= lookUp.startedAtMs
    if (isOvertaken && (value === null || !isOlder(entry.value, value))) return { value: entry.value, source: 'memory' }
    if (value === null) {
      entries.delete(key)
      return { value: refuse(key, rules.missing, FRESH_MS), source: 'look-up' }
    }
    // The value is as old as the question, not as the answer.
    store(key, value, lookUp.startedAtMs)
    return { value, source: 'look-up' }
  }

  function failed(key: string, lookUp: LookUp<Value>, error: unknown): Answer<Value> {
    end(key, lookUp)
    // A look-up refused by this process itself says nothing about the store.
    if (!(error instanceof AppError && error.code === 'busy')) {
      if (answering) rules.onTurn(error)
      answering = false
    }
    const entry = entries.get(key)
    if (entry === undefined) return { value: refuse(key, rules.unanswered(error), RETRY_MS), source: 'look-up' }
    if (entry.checkedAtMs < lookUp.startedAtMs) entry.retryAtMs = clockMs() + RETRY_MS
    return { value: entry.value, source: 'stale' }
  }

  function store(key: string, value: Value, checkedAtMs: number): void {
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
      store(key, value, checkedAtMs)
      return true
    },
    known: (key) => entries.get(key)?.value ?? null,
  }
}

/** Evicts from the front: a Map keeps insertion order, so the first key has the oldest look-up. */
function trim(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return
    map.delete(key)
  }
}

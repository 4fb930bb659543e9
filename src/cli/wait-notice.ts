import type { Agent } from '../agent.ts'
import { count } from './terminal.ts'

type StoreState = ReturnType<Agent['storeState']>

export interface WaitNotice {
  /** Runs work that waits for another process. `notice` is printed while it waits. */
  during<T>(notice: string, work: Promise<T>): Promise<T>
  stop(): void
}

interface Waiting {
  readonly notice: string
  readonly since: number
}

const EVERY_MS = 10_000
const CTRL_C = 'Ctrl-C ends it.'

/**
 * Prints a notice every `everyMs` while a command waits for its database, so that a person knows whether to wait.
 * `advice`: the consequence of ending the command meanwhile.
 */
export function startWaitNotice(
  storeState: () => StoreState,
  { say, advice = CTRL_C, everyMs = EVERY_MS }: { say: (sentence: string) => void; advice?: string; everyMs?: number },
): WaitNotice {
  const initial = storeState().since
  let work: Waiting | null = null
  let lastSaid = performance.now()
  let wasWaiting = false

  const look = (): void => {
    const now = performance.now()
    const waiting = work ?? databaseWait(storeState(), initial)
    if (waiting === null) {
      wasWaiting = false
      return
    }
    // The first notice comes `everyMs` after the start of the wait, each other one `everyMs` after the last.
    if (now - (wasWaiting ? lastSaid : waiting.since) < everyMs) return
    wasWaiting = true
    lastSaid = now
    const seconds = Math.round((now - waiting.since) / 1000)
    say(`${waiting.notice}, for ${count(seconds, 'second')} so far. ${work === null ? advice : CTRL_C}`)
  }
  const timer = setInterval(look, everyMs / 10)
  timer.unref()
  return {
    async during(notice, promise) {
      work = { notice, since: performance.now() }
      try {
        return await promise
      } finally {
        work = null
      }
    },
    stop: () => clearInterval(timer),
  }
}

/** `initial`: the `since` of a store that has had no query yet; it is down by default, so that is no wait. */
function databaseWait({ up, since, waitingSince, oldestQueryAt }: StoreState, initial: Date): Waiting | null {
  const from = (up || since === initial ? waitingSince : since) ?? oldestQueryAt
  if (from === null) return null
  return { notice: 'Waiting for the database, which has not answered yet', since: performance.now() - (Date.now() - from.getTime()) }
}

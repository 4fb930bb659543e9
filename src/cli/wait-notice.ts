import type { Agent } from '../agent.ts'
import { count } from './terminal.ts'

type StoreState = ReturnType<Agent['storeState']>

export interface WaitNotice {
  /** Work that waits by itself for as long as it has to, such as for the turn of another process; said in its own words. */
  during<T>(says: string, work: Promise<T>): Promise<T>
  stop(): void
}

interface Waiting {
  readonly says: string
  readonly since: number
}

const EVERY_MS = 10_000
const CTRL_C = 'Ctrl-C ends it.'

/**
 * A command that waits for its database says so, and goes on saying so: in silence nobody knows whether to wait or to end
 * it. `advice`: what a person should know who wants to end it meanwhile.
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
    // The first sentence comes so long after the wait began, each other one so long after the one before.
    if (now - (wasWaiting ? lastSaid : waiting.since) < everyMs) return
    wasWaiting = true
    lastSaid = now
    const seconds = Math.round((now - waiting.since) / 1000)
    say(`${waiting.says}, for ${count(seconds, 'second')} so far. ${work === null ? advice : CTRL_C}`)
  }
  const timer = setInterval(look, everyMs / 10)
  timer.unref()
  return {
    async during(says, promise) {
      work = { says, since: performance.now() }
      try {
        return await promise
      } finally {
        work = null
      }
    },
    stop: () => clearInterval(timer),
  }
}

/** `initial`: since when a store that has not been asked anything yet is down, which says nothing. */
function databaseWait({ up, since, waitingSince, oldestQuestion }: StoreState, initial: Date): Waiting | null {
  const from = (up || since === initial ? waitingSince : since) ?? oldestQuestion
  if (from === null) return null
  return { says: 'Waiting for the database, which has not answered yet', since: performance.now() - (Date.now() - from.getTime()) }
}

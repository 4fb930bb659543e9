import type { RecordedEvent } from '../../core/account-store.ts'
import { words } from './format-time.ts'

/** Consecutive attempts with the same outcome. */
export interface Run {
  readonly outcome: 'ok' | 'failed'
  readonly words: string
  readonly count: number
  readonly from: Date
  readonly to: Date
}

/** One of sixty bars, oldest on the left; a null attempt = no attempt. */
export interface AttemptBar {
  readonly x: number
  readonly y: number
  readonly height: number
  readonly attempt: { readonly outcome: 'ok' | 'failed'; readonly at: Date; readonly text: string } | null
}

export interface AttemptStrip {
  readonly bars: readonly AttemptBar[]
  readonly title: string
  /** For screen readers. */
  readonly label: string
  /** The attempts in a few words. */
  readonly summary: string
  readonly runs: readonly Run[]
}

const BARS = 60
const BAR_WIDTH = 10
const HEIGHT = 28

/** The strip of the last attempts, which come newest first; null = no attempt yet. */
export function stripOf(attempts: readonly RecordedEvent[]): AttemptStrip | null {
  if (attempts.length === 0) return null
  const failed = attempts.filter(({ outcome }) => outcome === 'failed').length
  const isOne = attempts.length === 1
  const title = isOne ? 'The last attempt' : `The last ${attempts.length} attempts`
  const ending = failed === 0 ? (isOne ? ' went well' : ', all well') : isOne ? ' failed' : `, ${failed} failed`
  return {
    bars: Array.from({ length: BARS }, (_, at) => barOf(attempts[BARS - 1 - at], at * BAR_WIDTH + 1)),
    title,
    label: `${title}: ${failed === 0 ? 'none' : failed} failed. The list below has them in words.`,
    summary: title + ending,
    runs: runsOf(attempts),
  }
}

function barOf(event: RecordedEvent | undefined, x: number): AttemptBar {
  if (event === undefined) return { x, y: HEIGHT - 4, height: 4, attempt: null }
  const { at, detail, outcome } = event
  const height = outcome === 'ok' ? 16 : HEIGHT
  return { x, y: HEIGHT - height, height, attempt: { outcome, at, text: `${words.inUtc(at)}: ${words.plain(detail ?? outcome)}` } }
}

/** Newest first. */
export function runsOf(attempts: readonly RecordedEvent[]): Run[] {
  const runs: Run[] = []
  for (const { at, outcome, kind, detail } of attempts) {
    const words =
      outcome === 'ok' ? (kind === 'refreshed' ? 'The token was refreshed.' : 'The token was checked.') : (detail ?? 'It failed.')
    const last = runs.at(-1)
    if (last?.words === words) runs[runs.length - 1] = { ...last, count: last.count + 1, from: at }
    else runs.push({ outcome, words, count: 1, from: at, to: at })
  }
  return runs
}

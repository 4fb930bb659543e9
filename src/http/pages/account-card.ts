import type { AccountHealth, AccountView } from '../../accounts/view.ts'
import type { RecordedEvent } from '../../core/account-store.ts'
import { words } from '../../core/format-time.ts'

export type AccountCard = AccountHealth & { readonly life: LifeBar | null; readonly strip: AttemptStrip | null }

/** Positions on the bar of a token's life, in percent from issue to expiry. */
interface LifeBar {
  readonly now: number
  readonly next: number | null
  readonly quarterLeft: number
  readonly quarterLeftAt: Date
  readonly issuedAt: Date
  readonly expiresAt: Date
  /** “Next refresh” or “Next try”. */
  readonly nextTitle: string
  /** For screen readers. */
  readonly label: string
}

/** Consecutive attempts with the same outcome. */
interface Run {
  readonly outcome: 'ok' | 'failed'
  readonly words: string
  readonly count: number
  readonly from: Date
  readonly to: Date
}

/** One of sixty bars, oldest on the left; a null attempt = no attempt. */
interface AttemptBar {
  readonly x: number
  readonly y: number
  readonly height: number
  readonly attempt: { readonly outcome: 'ok' | 'failed'; readonly at: Date; readonly text: string } | null
}

interface AttemptStrip {
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

/** The account with its two pictures: the bar of the token's life and the strip of the last attempts. */
export function cardOf(account: AccountHealth, now: Date): AccountCard {
  return { ...account, life: lifeBarOf(account, now), strip: stripOf(account.attempts) }
}

/** Null if issue or expiry is not known: a pasted token's expiry is known after its first refresh. */
export function lifeBarOf(account: AccountView, now: Date): LifeBar | null {
  const { issuedAt, expiresAt, nextRefreshAt } = account
  if (issuedAt === null || expiresAt === null || expiresAt <= issuedAt) return null
  const start = issuedAt.getTime()
  const life = expiresAt.getTime() - start
  const place = (at: number): number => Math.round(Math.min(100, Math.max(0, ((at - start) / life) * 100)) * 10) / 10
  const quarterLeftAt = new Date(expiresAt.getTime() - life / 4)
  const nextTitle = account.failureCount > 0 || account.condition === 'needs you' ? 'Next try' : 'Next refresh'
  const parts = [
    `The token’s life: issued ${words.inWords(issuedAt, now)}`,
    `${Math.round(place(now.getTime()))} % of it gone`,
    ...(nextRefreshAt === null ? [] : [`${nextTitle.toLowerCase()} ${words.dueInWords(nextRefreshAt, now)}`]),
    `a quarter is left from ${words.dayInUtc(quarterLeftAt)}`,
    `expires ${words.inWords(expiresAt, now)}.`,
  ]
  return {
    now: place(now.getTime()),
    next: nextRefreshAt === null ? null : place(nextRefreshAt.getTime()),
    quarterLeft: place(quarterLeftAt.getTime()),
    quarterLeftAt,
    issuedAt,
    expiresAt,
    nextTitle,
    label: parts.join(', '),
  }
}

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

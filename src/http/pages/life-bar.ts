import type { AccountView } from '../../accounts/view.ts'
import { words } from './format-time.ts'

/** Positions on the bar of a token's life, in percent from issue to expiry. */
export interface LifeBar {
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

import type { AccountView } from '../../accounts/view.ts'

/** Where things stand on a bar of a token's life, in hundredths of it from its issue to its expiry. */
export interface LifeBar {
  readonly now: number
  readonly next: number | null
  readonly quarterLeft: number
  readonly quarterLeftAt: Date
  readonly issuedAt: Date
  readonly expiresAt: Date
}

/** Null where the life is not known: a pasted token tells it only when it is first refreshed. */
export function lifeBarOf({ issuedAt, expiresAt, nextRefreshAt }: AccountView, now: Date): LifeBar | null {
  if (issuedAt === null || expiresAt === null || expiresAt <= issuedAt) return null
  const start = issuedAt.getTime()
  const life = expiresAt.getTime() - start
  const place = (at: number): number => Math.round(Math.min(100, Math.max(0, ((at - start) / life) * 100)) * 10) / 10
  const quarterLeftAt = new Date(expiresAt.getTime() - life / 4)
  return {
    now: place(now.getTime()),
    next: nextRefreshAt === null ? null : place(nextRefreshAt.getTime()),
    quarterLeft: place(quarterLeftAt.getTime()),
    quarterLeftAt,
    issuedAt,
    expiresAt,
  }
}

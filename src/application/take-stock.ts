import { isAtRisk, needsPerson } from '../domain/account.ts'
import type { AccountStore } from '../domain/account-store.ts'
import { type AccountSummary, type Overview, totalOf } from '../domain/overview.ts'
import type { Vault } from '../domain/vault.ts'
import { isUnreadable } from './report-status.ts'

interface Deps {
  readonly store: Pick<AccountStore, 'list' | 'now'>
  readonly overview: Pick<Overview, 'summarize'>
  readonly vault: Vault
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

/** Up to so many, each token is opened, which also finds one that was altered; of more, only the key's name is looked at. */
const MAX_OPENED = 500
const FRESH_MS = 1_000
/** The store spends at most a twentieth of its time on counting, however often somebody asks. */
const PAUSE = 20

/** How the accounts are doing, in numbers; asked of the store now and then, by one question at a time. */
export function createStock({ store, overview, vault, clockMs = () => performance.now() }: Deps): () => Promise<AccountSummary> {
  let last: { summary: Promise<AccountSummary>; goodUntilMs: number } | null = null

  async function count(): Promise<AccountSummary> {
    const summary = await overview.summarize()
    if (totalOf(summary) > MAX_OPENED) return summary
    const accounts = await store.list()
    const unreadable = accounts.filter((account) => isUnreadable(account, vault))
    const needPerson = accounts.filter((account) => unreadable.includes(account) || needsPerson(account, store.now()))
    const needAttention = accounts.filter((account) => needPerson.includes(account) || isAtRisk(account, store.now()))
    return { ...summary, unreadable: unreadable.length, needPerson: needPerson.length, needAttention: needAttention.length }
  }
  return () => {
    if (last !== null && clockMs() < last.goodUntilMs) return last.summary
    const askedAtMs = clockMs()
    const asked = { summary: count(), goodUntilMs: Number.POSITIVE_INFINITY }
    last = asked
    const answered = (): void => {
      asked.goodUntilMs = askedAtMs + Math.max(FRESH_MS, (clockMs() - askedAtMs) * PAUSE)
    }
    asked.summary.then(answered, () => {
      asked.goodUntilMs = clockMs()
    })
    return asked.summary
  }
}

import { type AccountSummary, type Overview, totalOf } from '../accounts/overview.ts'
import { isUnreadable } from '../accounts/unreadable.ts'
import { isAtRisk, needsPerson } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import type { Vault } from '../core/vault.ts'

interface Deps {
  readonly store: Pick<AccountStore, 'list' | 'now'>
  readonly overview: Pick<Overview, 'summarize' | 'hasMoreThan'>
  readonly vault: Vault
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

export interface Summary {
  /**
   * How the accounts are doing, in numbers; asked of the store once a second, by one question at a time. Of many accounts
   * it is what `recount` found last: no page that a stranger may open reads through all of them.
   */
  take(): Promise<AccountSummary>
  /** Counts many accounts again, by one question at a time; the store spends a twentieth of its time on it at most. */
  recount(): Promise<void>
}

/** Up to so many, each token is opened, which also finds one that was altered; of more, only the key's name is looked at. */
const MAX_OPENED = 500
const FRESH_MS = 1_000
const PAUSE = 20

export function createSummary({ store, overview, vault, clockMs = () => performance.now() }: Deps): Summary {
  let last: { summary: Promise<AccountSummary>; goodUntilMs: number } | null = null
  let counted: AccountSummary | null = null
  let counting: Promise<void> | null = null
  let countAgainAtMs = Number.NEGATIVE_INFINITY

  async function look(): Promise<AccountSummary> {
    if (await overview.hasMoreThan(MAX_OPENED)) {
      if (counted === null) await recount()
      return counted ?? (await overview.summarize())
    }
    counted = null
    const summary = await overview.summarize()
    const accounts = totalOf(summary) > MAX_OPENED ? [] : await store.list()
    const unreadable = accounts.filter((account) => isUnreadable(account, vault))
    const needPerson = accounts.filter((account) => unreadable.includes(account) || needsPerson(account, store.now()))
    const needAttention = accounts.filter((account) => needPerson.includes(account) || isAtRisk(account, store.now()))
    return { ...summary, unreadable: unreadable.length, needPerson: needPerson.length, needAttention: needAttention.length }
  }

  function recount(): Promise<void> {
    const startedMs = clockMs()
    if (counting !== null || startedMs < countAgainAtMs) return counting ?? Promise.resolve()
    counting = overview
      .summarize()
      .then((summary) => {
        counted = summary
        countAgainAtMs = startedMs + Math.max(FRESH_MS, (clockMs() - startedMs) * PAUSE)
      })
      .finally(() => {
        counting = null
      })
    return counting
  }

  return {
    recount,
    take() {
      if (last !== null && clockMs() < last.goodUntilMs) return last.summary
      const askedAtMs = clockMs()
      const asked = { summary: look(), goodUntilMs: Number.POSITIVE_INFINITY }
      last = asked
      const answered = (): void => {
        asked.goodUntilMs = askedAtMs + Math.max(FRESH_MS, (clockMs() - askedAtMs) * PAUSE)
      }
      asked.summary.then(answered, () => {
        asked.goodUntilMs = clockMs()
      })
      return asked.summary
    },
  }
}

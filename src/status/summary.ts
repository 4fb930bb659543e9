import { type AccountSummary, type Overview, totalOf } from '../accounts/overview.ts'
import { isUnreadable } from '../accounts/unreadable.ts'
import { isAtRisk, needsPerson } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import type { Vault } from '../core/vault.ts'

interface Deps {
  readonly store: Pick<AccountStore, 'list' | 'now'>
  readonly overview: Pick<Overview, 'summarize' | 'hasMoreThan'>
  readonly vault: Vault
  /** A monotonic clock. */
  readonly clockMs?: () => number
}

export interface Summary {
  /**
   * Counts the accounts by condition, at most once a second and one query at a time. With many accounts it returns the
   * result of the last `recount`, so that no public page scans the whole table.
   */
  take(): Promise<AccountSummary>
  /** Counts many accounts again, one query at a time, in at most a twentieth of the store's time. */
  recount(): Promise<void>
}

/** Up to this number each token is opened, which also finds an altered one; beyond it only the key's id is compared. */
const MAX_OPENED = 500
const FRESH_MS = 1_000
const PAUSE = 20

export function createSummary({ store, overview, vault, clockMs = () => performance.now() }: Deps): Summary {
  let last: { summary: Promise<AccountSummary>; freshUntilMs: number } | null = null
  let lastCount: AccountSummary | null = null
  let counting: Promise<void> | null = null
  let countAgainAtMs = Number.NEGATIVE_INFINITY

  async function look(): Promise<AccountSummary> {
    if (await overview.hasMoreThan(MAX_OPENED)) {
      if (lastCount === null) await recount()
      return lastCount ?? (await overview.summarize())
    }
    lastCount = null
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
        lastCount = summary
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
      if (last !== null && clockMs() < last.freshUntilMs) return last.summary
      const startedAtMs = clockMs()
      const current = { summary: look(), freshUntilMs: Number.POSITIVE_INFINITY }
      last = current
      const setFresh = (): void => {
        current.freshUntilMs = startedAtMs + Math.max(FRESH_MS, (clockMs() - startedAtMs) * PAUSE)
      }
      current.summary.then(setFresh, () => {
        current.freshUntilMs = clockMs()
      })
      return current.summary
    },
  }
}

import type { Claim } from '../domain/account-store.ts'
import { AppError } from '../domain/errors.ts'
import { type Asked, leaseSeconds, type RefreshDeps, type RefreshResult, refreshAccount } from './refresh-account.ts'

export interface RefreshRequest extends Asked {
  /** Only this account. */
  readonly account?: string
  /** Also what is not due yet. */
  readonly force?: boolean
}

export interface RefreshSummary {
  readonly refreshed: number
  readonly failed: number
  /** The first thousand. */
  readonly results: readonly RefreshResult[]
}

const MAX_RESULTS = 1000
/** A sweep that waits for its turn looks up this often, to see whether it is to stop. */
const LOOK_UP_MS = 200

/** Accounts that share a limit of calls, and how to claim some of them. */
interface Lane {
  readonly name: string
  claim(limit: number): Promise<Claim[]>
  /** False where only what is due by now is claimed, so that an empty claim ends it. */
  hasMore(): boolean
}

/**
 * Refreshes what is due, some accounts side by side, until nothing is left. What is due lives in the database, so the
 * timer, the boot, the webhook and the command line all call this, at any time, in any number of processes.
 */
export async function refreshDue(deps: RefreshDeps, request: RefreshRequest, signal?: AbortSignal): Promise<RefreshSummary> {
  const summary = { refreshed: 0, failed: 0, results: [] as RefreshResult[] }
  const failures: unknown[] = []
  // After a failure nobody foresaw, what runs is waited for, and nothing new begins.
  const mayClaim = (): boolean => failures.length === 0 && signal?.aborted !== true
  const count = (result: RefreshResult): void => {
    if (result.outcome === 'refreshed' || result.outcome === 'failed') summary[result.outcome]++
    if (summary.results.length < MAX_RESULTS) summary.results.push(result)
  }

  const lanes = await lanesOf(deps, request)
  await Promise.all(lanes.map((lane) => sweep(lane)))
  if (failures.length > 0) throw failures[0]
  return summary

  async function sweep(lane: Lane): Promise<void> {
    const { pace } = deps
    const running = new Set<Promise<void>>()
    for (;;) {
      const leave = mayClaim() ? pace.take(lane.name, pace.concurrency - running.size) : 0
      const claims = leave === 0 ? [] : await lane.claim(leave).catch((error: unknown) => void failures.push(error))
      pace.giveBack(lane.name, leave - (claims?.length ?? 0))
      for (const claim of claims ?? []) {
        const task = refreshAccount(deps, claim, request)
          .then(count)
          .catch((error: unknown) => void failures.push(error))
          .finally(() => running.delete(task))
        running.add(task)
      }
      const waitMs = leave === 0 ? pace.waitMs(lane.name) : 0
      // A provider that wants quiet gets it: what is due waits for a later sweep.
      const isOver = !mayClaim() || waitMs === null || (leave > 0 && !lane.hasMore())
      if (running.size === 0 && isOver) return
      const turn = isOver || running.size === pace.concurrency ? [] : [after(waitMs)]
      await Promise.race([...running, ...turn])
    }
  }
}

async function lanesOf(deps: RefreshDeps, { account, force }: RefreshRequest): Promise<Lane[]> {
  if (account !== undefined && (await deps.store.find(account)) === null) {
    throw new AppError('not_found', `There is no account “${account}”; npx token-agent status lists them.`)
  }
  const base = { owner: deps.owner, leaseSeconds: leaseSeconds(deps.providers.values()) }
  const due = (name: string, wanted: object): Lane => ({
    name,
    claim: (limit) => deps.store.claimDue({ ...base, ...wanted, limit }),
    hasMore: () => false,
  })
  // What somebody asks for by name is not held up by a provider's wish for quiet: the answer says whether it lasts.
  if (force !== true) {
    if (account !== undefined) return [due('asked for', { account })]
    // A provider that is slow, or wants quiet, holds up no other. Accounts of one that is not known are told so.
    const known = [...deps.providers.keys()]
    return [...known.map((provider) => due(provider, { provider })), due('unknown', { exceptProviders: known })]
  }
  const names = account === undefined ? (await deps.store.list()).map((one) => one.name) : [account]
  const claimOne = (name: string): Promise<Claim[]> => deps.store.claimDue({ ...base, limit: 1, account: name, force: true })
  const claim = async (limit: number): Promise<Claim[]> => (await Promise.all(names.splice(0, limit).map(claimOne))).flat()
  return [{ name: 'asked for', claim, hasMore: () => names.length > 0 }]
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_UP_MS, Math.max(1, ms))))
}

import type { Actor } from '../domain/account.ts'
import type { Claim } from '../domain/account-store.ts'
import { AppError } from '../domain/errors.ts'
import { leaseSeconds, type RefreshDeps, type RefreshResult, refreshAccount } from './refresh-account.ts'

export interface RefreshRequest {
  readonly actor: Actor
  /** Only this account. */
  readonly account?: string
  /** Also what is not due yet. */
  readonly force?: boolean
}

export interface RefreshSummary {
  readonly refreshed: number
  readonly failed: number
  readonly results: readonly RefreshResult[]
}

const CONCURRENCY = 8

/**
 * Refreshes what is due, some accounts side by side, until nothing is left. What is due lives in the database, so the
 * timer, the boot, the webhook and the command line all call this, at any time, in any number of processes.
 */
export async function refreshDue(deps: RefreshDeps, request: RefreshRequest, signal?: AbortSignal): Promise<RefreshSummary> {
  const names = await namesToForce(deps, request)
  const claim = (limit: number): Promise<Claim[]> => {
    const base = { owner: deps.owner, leaseSeconds: leaseSeconds(deps.providers.values()), limit }
    if (names === null) return deps.store.claimDue({ ...base, ...(request.account === undefined ? {} : { account: request.account }) })
    const name = names.shift()
    return name === undefined ? Promise.resolve([]) : deps.store.claimDue({ ...base, limit: 1, account: name, force: true })
  }

  const results: RefreshResult[] = []
  const failures: unknown[] = []
  const running = new Set<Promise<void>>()
  // After a failure nobody foresaw, what runs is waited for, and nothing new begins.
  const mayClaim = (): boolean => failures.length === 0 && signal?.aborted !== true
  do {
    const claims = mayClaim() ? await claim(CONCURRENCY - running.size).catch((error: unknown) => void failures.push(error)) : []
    for (const one of claims ?? []) {
      const task = refreshAccount(deps, one, request.actor)
        .then((result) => void results.push(result))
        .catch((error: unknown) => void failures.push(error))
        .finally(() => running.delete(task))
      running.add(task)
    }
    if (running.size > 0) await Promise.race(running)
  } while (running.size > 0 || (names !== null && names.length > 0 && mayClaim()))

  if (failures.length > 0) throw failures[0]
  const count = (outcome: RefreshResult['outcome']): number => results.filter((result) => result.outcome === outcome).length
  return { refreshed: count('refreshed'), failed: count('failed'), results }
}

async function namesToForce(deps: RefreshDeps, { account, force }: RefreshRequest): Promise<string[] | null> {
  if (account !== undefined && (await deps.store.find(account)) === null) {
    throw new AppError('not_found', `There is no account “${account}”; token-agent status lists them.`)
  }
  if (force !== true) return null
  return account === undefined ? (await deps.store.list()).map((one) => one.name) : [account]
}

import type { Account } from '../core/account.ts'
import { accountPages } from '../core/account-pages.ts'
import type { AccountStore, Claim } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import { type AttemptDeps, leaseSeconds, type Origin, type RefreshResult, refreshAccount } from './refresh-account.ts'
import { type Queue, sweep } from './sweep.ts'

export interface RefreshDeps extends AttemptDeps {
  readonly store: Pick<AccountStore, 'commit' | 'update' | 'claimDue' | 'find' | 'list'>
  /** Names this process in leases. */
  readonly leaseOwner: string
}

export interface RefreshRequest extends Origin {
  /** Only this account. */
  readonly account?: string
  /** Also accounts that are not due. */
  readonly force?: boolean
  /** With `force`: only where the token ends by then, so that of two requests at once one refreshes. */
  readonly endsWithinSeconds?: number
  /** Called with each result at once, also beyond the first thousand. */
  readonly onResult?: (result: RefreshResult) => void
}

export interface RefreshSummary {
  readonly refreshed: number
  readonly failed: number
  /** The first thousand. */
  readonly results: readonly RefreshResult[]
}

const MAX_RESULTS = 1000

/**
 * Refreshes all accounts that are due, several at a time. The database knows what is due, so timer,
 * boot, webhook and command line may all call this, in any number of processes.
 */
export async function refreshDue(deps: RefreshDeps, request: RefreshRequest, signal?: AbortSignal): Promise<RefreshSummary> {
  const summary = { refreshed: 0, failed: 0, results: [] as RefreshResult[] }
  const run = async (claim: Claim): Promise<void> => {
    const byName = request.account !== undefined && request.force === true && (request.actor === 'owner' || request.actor === 'cli')
    const result = await refreshAccount(deps, claim, { ...request, byName })
    if (result.outcome === 'refreshed' || result.outcome === 'failed') summary[result.outcome]++
    request.onResult?.(result)
    if (summary.results.length < MAX_RESULTS) summary.results.push(result)
  }
  const queues = (await queuesOf(deps, request)).map((queue) => ({ ...queue, run }))
  await sweep(deps.rateLimit, queues, signal)
  return summary
}

export interface Sweeps {
  /** A call during a sweep gets that sweep's result. */
  run(request: RefreshRequest): Promise<RefreshSummary>
  /** Null between two sweeps. */
  running(): Promise<RefreshSummary> | null
}

/** One sweep at a time in this process. `before`: what must succeed first. */
export function createSweeps(deps: RefreshDeps, { before, signal }: { before(): Promise<unknown>; signal: AbortSignal }): Sweeps {
  let running: Promise<RefreshSummary> | null = null
  return {
    running: () => running,
    run(request) {
      if (running !== null) deps.log.info({ reqId: request.reqId }, 'a refresh is under way already; its result is waited for')
      running ??= before()
        .then(() => refreshDue(deps, request, signal))
        .finally(() => {
          running = null
        })
      return running
    },
  }
}

type Wanted = Pick<Account, 'name' | 'provider'>

const pickNames = ({ name, provider }: Account): Wanted => ({ name, provider })

type ClaimQueue = Omit<Queue<Claim>, 'run'>

async function queuesOf(deps: RefreshDeps, { account, force, endsWithinSeconds }: RefreshRequest): Promise<ClaimQueue[]> {
  const asked = account === undefined ? null : await deps.store.find(account)
  if (account !== undefined && asked === null) throw new AppError('not_found', `There is no account “${account}”.`)
  const base = (provider?: string) => {
    const known = provider === undefined ? undefined : deps.providers.get(provider)
    return { leaseOwner: deps.leaseOwner, leaseSeconds: leaseSeconds(known === undefined ? [] : [known]) }
  }
  const due = (name: string, wanted: { account?: string; provider?: string; exceptProviders?: string[] }): ClaimQueue => ({
    name,
    claim: (limit) => deps.store.claimDue({ ...base(wanted.provider ?? asked?.provider), ...wanted, limit }),
  })
  // A refresh by name uses a queue of its own, so a pause of the provider does not delay it.
  if (force !== true) {
    if (account !== undefined) return [due('asked for', { account })]
    // Each provider has its own queue, so a slow or paused one delays no other. Accounts of unknown providers fail.
    const providers = [...deps.providers.keys()]
    return [...providers.map((provider) => due(provider, { provider })), due('unknown', { exceptProviders: providers })]
  }
  const wanted = asked === null ? [] : [asked].map(pickNames)
  if (asked === null) for await (const page of accountPages(deps.store)) wanted.push(...page.map(pickNames))
  const claimOne = ({ name, provider }: Wanted): Promise<Claim[]> =>
    deps.store.claimDue({
      ...base(provider),
      limit: 1,
      account: name,
      force: true,
      ...(endsWithinSeconds === undefined ? {} : { endsWithinSeconds }),
    })
  async function claim(limit: number): Promise<Claim[]> {
    const claims: Claim[] = []
    // All of these may be leased while later ones are free.
    while (claims.length === 0 && wanted.length > 0) claims.push(...(await Promise.all(wanted.splice(0, limit).map(claimOne))).flat())
    return claims
  }
  return [{ name: 'asked for', claim }]
}

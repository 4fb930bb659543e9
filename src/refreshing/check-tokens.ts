import type { SendAlert } from '../alerts/alert.ts'
import type { AccountStore } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import { accountContext, UnreadableError } from '../core/vault.ts'
import { fractionOf, nextCheckAt, replannedRefreshAt } from './next-refresh.ts'
import type { RefreshDeps } from './refresh-due.ts'
import { sweep } from './sweep.ts'
import type { Check, CheckResult, Timetable } from './timetable.ts'

type LookOutcome = 'works' | 'refused' | 'held' | 'failed' | 'lost'
/** Counts the looks of this process by outcome. */
export type LookCounters = Record<LookOutcome, number>

export const createLookCounters = (): LookCounters => ({ works: 0, refused: 0, held: 0, failed: 0, lost: 0 })

export interface CheckDeps extends Pick<RefreshDeps, 'vault' | 'providers' | 'policy' | 'leaseOwner' | 'rateLimit' | 'log'> {
  readonly timetable: Timetable
  readonly events: Pick<AccountStore, 'record' | 'events'>
  readonly looks: LookCounters
  /** Null when no alert channel is configured. */
  readonly send: SendAlert | null
  /** A monotonic clock. */
  readonly clockMs?: () => number
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SLICE = 500
/** Slow looks must not delay the refreshes of the next tick. */
const LONGEST_MS = 45_000
const RECENT_LOOKS = 50
const MOST_REFUSED = RECENT_LOOKS / 10

/**
 * Tests each token once a day, so that a password change is noticed within a day and not at the next refresh a month
 * later. A refused look only makes the refresh due; the refresh decides. One run at a time.
 */
export function createTokenChecks(deps: CheckDeps, signal: AbortSignal): () => Promise<void> {
  const { clockMs = () => performance.now() } = deps
  const recent = new Map<string, { at: Date; refused: boolean }[]>()
  const inTrouble = new Set<string>()
  const held = new Set<string>()
  let isReplanned = false
  let plannedAtMs = Number.NEGATIVE_INFINITY
  let running: Promise<void> | null = null

  async function run(): Promise<void> {
    if (signal.aborted) return
    if (!isReplanned) await replan(deps)
    isReplanned = true
    // An older release beside this one creates accounts without a planned look.
    if (clockMs() - plannedAtMs >= HOUR_MS) {
      await planFirst(deps.timetable)
      plannedAtMs = clockMs()
    }
    const until = clockMs() + LONGEST_MS
    // A rotating token is refreshed many times a day, so a look would tell nothing new.
    const queues = [...deps.providers.values()]
      .filter(({ renewal }) => renewal !== 'rotating')
      .map((provider) => ({
        name: provider.name,
        claim: async (limit: number): Promise<Check[]> =>
          clockMs() < until ? deps.timetable.claimChecks({ ...claimant(provider), provider: provider.name, limit }) : [],
        run: (check: Check) => look(check, provider),
      }))
    await sweep(deps.rateLimit, queues, signal)
  }
  const claimant = ({ timeoutMs }: Provider) => ({ leaseOwner: deps.leaseOwner, leaseSeconds: Math.ceil(timeoutMs / 1000) + 10 })

  async function look(check: Check, provider: Provider): Promise<void> {
    const { account, claimedAt } = check
    const goodAt = Math.max(...[account.issuedAt, account.lastRefreshAt, account.checkedAt].map((at) => at?.getTime() ?? 0))
    // An older release refreshes without planning the next look.
    if (claimedAt.getTime() - goodAt < DAY_MS) {
      await deps.timetable.settleCheck(check, { nextCheckAt: nextCheckAt(new Date(goodAt), deps.policy.random) })
      return
    }
    const tomorrow = nextCheckAt(claimedAt, deps.policy.random)
    const settle = async (outcome: LookOutcome, result: CheckResult): Promise<void> => {
      deps.looks[(await deps.timetable.settleCheck(check, result)) ? outcome : 'lost']++
    }
    const answer = await ask(check, provider)
    if (answer.kind === 'failed') return settle('failed', { nextCheckAt: new Date(claimedAt.getTime() + answer.waitMs) })
    const wasHeld = held.delete(account.name)
    // What was refused a while ago works: the trouble is over, and a refusal means what it says again.
    if (wasHeld && answer.kind === 'works') recent.delete(provider.name)
    const refusals = countRefusals(provider.name, { at: claimedAt, refused: answer.kind === 'refused' })
    if (answer.kind === 'works') return settle('works', { nextCheckAt: tomorrow, checkedAt: claimedAt })
    if (refusals > MOST_REFUSED) {
      held.add(account.name)
      // Not a day later: one whose user ended it meanwhile is to be noticed within 26 hours.
      await settle('held', { nextCheckAt: new Date(claimedAt.getTime() + HOUR_MS) })
      return alertTrouble(provider.name, check)
    }
    deps.log.warn({ account: account.name }, 'the daily look at the token was refused; the refresh, which judges, is due at once')
    return settle('refused', { nextCheckAt: tomorrow, refused: true })
  }

  type Answer = { kind: 'works' | 'refused' } | { kind: 'failed'; waitMs: number }

  async function ask({ account }: Check, provider: Provider): Promise<Answer> {
    try {
      const token = deps.vault.open(account.accessToken ?? '', accountContext(account, 'access_token'))
      const { userId } = await provider.profile(token)
      // A token of another user counts as refused.
      return { kind: account.providerUserId === null || account.providerUserId === userId ? 'works' : 'refused' }
    } catch (error) {
      if (error instanceof UnreadableError) return { kind: 'failed', waitMs: DAY_MS }
      if (!(error instanceof ProviderError)) throw error
      if (error.kind === 'reconnect') return { kind: 'refused' }
      if (error.concernsAll) deps.rateLimit.pause(provider.name, error.retryAfterSeconds)
      // The refresh reports a setting that must change, so the look only waits.
      const waitMs = error.kind === 'misconfigured' ? DAY_MS : Math.max(HOUR_MS, (error.retryAfterSeconds ?? 0) * 1000)
      return { kind: 'failed', waitMs: Math.min(waitMs, DAY_MS) }
    }
  }

  /** Adds a look and returns how many of the provider's last looks were refused. */
  function countRefusals(provider: string, one: { at: Date; refused: boolean }): number {
    const since = one.at.getTime() - DAY_MS
    const looks = [...(recent.get(provider) ?? []), one].filter(({ at }) => at.getTime() > since).slice(-RECENT_LOOKS)
    recent.set(provider, looks)
    const refusals = looks.filter(({ refused }) => refused).length
    if (refusals <= MOST_REFUSED) inTrouble.delete(provider)
    return refusals
  }

  /** So many refusals at once do not come from users. No account changes, and the operator is alerted once. */
  async function alertTrouble(provider: string, { claimedAt }: Check): Promise<void> {
    if (inTrouble.has(provider)) return
    inTrouble.add(provider)
    const events = await deps.events.events(null, 100)
    const isRecentAlert = ({ kind, at }: (typeof events)[number]): boolean =>
      kind === 'provider_trouble' && claimedAt.getTime() - at.getTime() < DAY_MS
    if (events.some(isRecentAlert)) return
    const message = `More than a tenth of the last ${RECENT_LOOKS} daily looks at tokens of ${provider} were refused. The agent takes this for trouble of the provider or of the app and judges no account by it: look at the provider’s status page and at the app’s dashboard.`
    deps.log.warn({ provider }, message)
    try {
      await deps.send?.({ event: 'provider_trouble', account: null, state: null, message })
    } catch (err) {
      inTrouble.delete(provider)
      deps.log.warn({ provider, err }, 'an alert could not be delivered; it is tried again')
      return
    }
    await deps.events.record({ account: null, kind: 'provider_trouble', actor: 'timer', outcome: 'failed', detail: message })
  }

  return () => {
    running ??= run().finally(() => {
      running = null
    })
    return running
  }
}

/** Plans the first look of each account within a day, spread by name, so that an upgrade causes no storm of calls. */
async function planFirst(timetable: Timetable): Promise<void> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const names: string[] = await timetable.unplanned(after, SLICE)
    await timetable.planChecks(names.map((name) => ({ name, inSeconds: (fractionOf(name) * DAY_MS) / 1000 })))
    after = names.at(-1)
  }
}

/** Runs once a start, because only a start changes REFRESH_FREQUENCY and REFRESH_MODE. All instances compute the same plan. */
async function replan({ timetable, providers, policy, log }: CheckDeps): Promise<void> {
  let moved = 0
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: Awaited<ReturnType<Timetable['misplanned']>> = await timetable.misplanned(policy, after, SLICE)
    const moments = page.map((planned) => {
      const minimumAgeSeconds = providers.get(planned.provider)?.minimumAgeSeconds ?? 0
      const at = replannedRefreshAt(planned, minimumAgeSeconds, { ...policy, random: () => fractionOf(planned.name) }, planned.readAt)
      return { name: planned.name, inSeconds: (at.getTime() - planned.readAt.getTime()) / 1000 }
    })
    await timetable.planRefreshes(moments)
    moved += moments.length
    after = page.at(-1)?.name
  }
  if (moved > 0) log.info({ moved }, 'refreshes were planned again by REFRESH_FREQUENCY and REFRESH_MODE')
}

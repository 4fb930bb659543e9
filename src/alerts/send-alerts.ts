import type { Log } from '../core/log.ts'
import type { AlertClaim, AlertStore, Settlement } from './alert.ts'
import type { AlertChannels } from './channel.ts'
import { type Decision, decideAlert } from './decide-alert.ts'

export interface AlertDeps {
  readonly alerts: AlertStore
  readonly channels: Pick<AlertChannels, 'kinds' | 'open' | 'deliver'>
  readonly log: Log
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

/** So many accounts share one message. */
const BATCH = 50
/** More than one message takes, also where the channels are slow one after the other. */
const LEASE_SECONDS = 90
/** The next tick sends the rest. */
const LONGEST_MS = 45_000
const RETRY_SECONDS = 60
/** Where the account is between two conditions, there is no alert to give now. */
const LATER_SECONDS = 3600

/**
 * Sends the alerts that are due, one message for many accounts, through all channels at once. An alert that one channel
 * takes is settled; a channel that did not take it is tried again alone. An alert whose delivery or settling was cut off
 * by a crash is sent again once its claim lapses. Returns the number sent.
 */
export async function sendAlerts(
  { alerts, channels, log, clockMs = () => performance.now() }: AlertDeps,
  signal?: AbortSignal,
): Promise<number> {
  const until = clockMs() + LONGEST_MS
  let sent = 0
  while (signal?.aborted !== true && clockMs() < until) {
    const open = channels.open()
    if (open.length === 0) break
    await alerts.requeue(channels.kinds, open, BATCH)
    const claims = await alerts.claimAlerts(BATCH, LEASE_SECONDS)
    if (claims.length === 0) break
    const verdicts = claims.map((claim) => verdictOf(claim, channels.kinds))
    const arrived = await deliver(channels, verdicts)
    for (const verdict of verdicts) {
      const settlement = settlementOf(verdict, arrived)
      if (settlement === null) continue
      await alerts.settleAlert(verdict.claim, settlement)
      if (settlement.event === null) continue
      sent++
      const { account, event, state } = verdict.own.alert ?? {}
      log.info({ account, event, state }, 'alert sent')
    }
  }
  return sent
}

interface Verdict {
  readonly claim: AlertClaim
  readonly own: Decision
  /** By the channel's kind: one that is behind may need another alert, or none. */
  readonly ofChannel: ReadonlyMap<string, Decision>
}

function verdictOf(claim: AlertClaim, kinds: readonly string[]): Verdict {
  const { account, alerted, behind, claimedAt, feed } = claim
  const own = decideAlert(account, alerted, claimedAt, feed)
  const decide = (kind: string): Decision => {
    const had = behind.get(kind)
    return had === undefined ? own : decideAlert(account, had, claimedAt, feed)
  }
  return { claim, own, ofChannel: new Map(kinds.map((kind) => [kind, decide(kind)])) }
}

/** The channels that took their message. */
async function deliver(channels: AlertDeps['channels'], verdicts: readonly Verdict[]): Promise<ReadonlySet<string>> {
  const arrived = new Set<string>()
  await Promise.all(
    channels.kinds.map(async (kind) => {
      const batch = verdicts.flatMap(({ ofChannel }) => ofChannel.get(kind)?.alert ?? [])
      if (batch.length > 0 && (await channels.deliver(kind, batch))) arrived.add(kind)
    }),
  )
  return arrived
}

/** Null where no channel took the alert: its claim lapses, and it is due again. */
function settlementOf({ claim, own, ofChannel }: Verdict, arrived: ReadonlySet<string>): Settlement | null {
  const wanting = [...ofChannel].filter(([, { alert }]) => alert !== null).map(([kind]) => kind)
  const isSent = wanting.some((kind) => arrived.has(kind))
  if (own.alert !== null && wanting.length > 0 && !isSent) return null
  const behind: [string, { had: typeof claim.alerted; retrySeconds: number }][] = []
  for (const [kind, { alerted }] of ofChannel) {
    const had = claim.behind.get(kind)
    if (wanting.includes(kind)) {
      if (!arrived.has(kind)) behind.push([kind, { had: had ?? claim.alerted, retrySeconds: RETRY_SECONDS }])
    } else if (had !== undefined && own.alerted.some((condition) => !alerted.includes(condition))) {
      behind.push([kind, { had: { ...had, conditions: alerted }, retrySeconds: LATER_SECONDS }])
    }
  }
  const { alert } = own
  const event = { kind: 'alert_sent', actor: 'timer', outcome: 'ok' } as const
  return {
    alerted: own.alerted,
    event: alert === null || !isSent ? null : { ...event, account: alert.account, detail: alert.message },
    behind: new Map(behind),
  }
}

import type { Log } from '../core/log.ts'
import { type AlertStore, decideAlert, type SendAlert } from './alert.ts'

export interface AlertDeps {
  readonly alerts: AlertStore
  readonly send: SendAlert
  readonly log: Log
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

/** Ten deliveries of up to 5 s, in turn: Slack takes about one a second. */
const BATCH = 10
const LEASE_SECONDS = 90
/** A webhook that is down is not called for each of a thousand accounts. */
const MAX_FAILURES = 3
/** The next tick sends the rest. */
const LONGEST_MS = 45_000

/**
 * Sends the alerts that are due and settles each one after it has arrived. An alert whose delivery or settling was cut
 * off by a crash is sent again once its claim lapses. Returns the number sent.
 */
export async function sendAlerts(
  { alerts, send, log, clockMs = () => performance.now() }: AlertDeps,
  signal?: AbortSignal,
): Promise<number> {
  const until = clockMs() + LONGEST_MS
  let sent = 0
  let failures = 0
  const mayGoOn = (): boolean => signal?.aborted !== true && failures < MAX_FAILURES && clockMs() < until
  while (mayGoOn()) {
    const claims = await alerts.claimAlerts(BATCH, LEASE_SECONDS)
    if (claims.length === 0) break
    for (const claim of claims) {
      if (!mayGoOn()) break
      const { alert, alerted } = decideAlert(claim.account, claim.alerted, claim.claimedAt)
      if (alert === null) {
        await alerts.settleAlert(claim, alerted, null)
        continue
      }
      try {
        await send(alert)
      } catch (err) {
        failures++
        log.warn({ account: alert.account, event: alert.event, err }, 'an alert could not be delivered; it is tried again')
        continue
      }
      failures = 0
      sent++
      await alerts.settleAlert(claim, alerted, {
        account: alert.account,
        kind: 'alert_sent',
        actor: 'timer',
        outcome: 'ok',
        detail: alert.message,
      })
      log.info({ account: alert.account, event: alert.event, state: alert.state }, 'alert sent')
    }
  }
  return sent
}

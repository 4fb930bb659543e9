import { DAY_MS, HOUR_MS, type Host, type Script } from './script.ts'

// The person behind an installation: the same for each policy.

/** A few hours to four days after an alert, once there is a chance to. */
export function actsAfterAlert(script: Script, host: Host, account: string, alertedAt: number): number {
  return host.blind.outside(alertedAt + 3 * HOUR_MS + script.fraction(`${account} acts ${alertedAt}`) * 4 * DAY_MS)
}

/** Without an alert somebody sees the empty place on the page, three days to a month after the token has ended. */
export function noticesByPage(script: Script, host: Host, account: string, endedAt: number): number {
  return host.blind.outside(endedAt + (3 + script.fraction(`${account} notices ${endedAt}`) * 27) * DAY_MS)
}

import type { ChannelState } from '../../alerts/channel.ts'
import { type AlertsState, alertsState } from '../../status/health.ts'
import type { Status } from '../../status/status.ts'
import { ALERT_WAYS, type AlertWay } from './alert-ways.ts'
import type { StepState } from './labels.ts'
import { inTime } from './pages.ts'

/** A channel of alerts as the owner sees it on each page. */
export interface AlertCard extends ChannelState {
  /** What to do about `lastError`; null = it works, or was not tried yet. */
  readonly remedy: string | null
}

export interface AlertStep {
  readonly state: AlertsState
  /** Empty for strangers: a message names the place where alerts go. */
  readonly channels: readonly AlertCard[]
  /** The ways that are not used yet; for strangers only where none is. */
  readonly ways: readonly AlertWay[]
  /** How the test went that led to this page; null = none did. */
  readonly tested: { readonly isGood: boolean; readonly text: string } | null
}

const STEPS: Readonly<Record<AlertsState, StepState>> = { none: 'optional', untried: 'optional', up: 'done', down: 'wrong' }

/** What each result of a test looks like in the store: a link that claims another one is not believed. */
const TESTED: Readonly<Record<string, readonly [state: AlertsState, text: string]>> = {
  arrived: ['up', 'The test message arrived. Look for it: if it is not where you expect it, correct the address.'],
  failed: ['down', 'The test message did not arrive everywhere. The reason is below.'],
  none: ['none', 'No test message was sent, because there is no place to send it to yet.'],
}

/** By the sentences of the webhook and the mail. The first that matches. */
const REMEDIES: readonly (readonly [error: RegExp, remedy: string])[] = [
  [/make a new one/, 'Put its address into ALERT_WEBHOOK_URL and restart the agent.'],
  [/HTTP (3\d\d|401|403)/, 'Make a new address there, put it into ALERT_WEBHOOK_URL and restart the agent.'],
  [/HTTP 4(?!29)|not an https|public Internet/, 'Copy the whole address once more into ALERT_WEBHOOK_URL and restart the agent.'],
  [
    /refuses the user or the password/,
    'Compare both with your mail provider’s. Where you sign in with a second step, it takes an app password alone. In SMTP_URL write @ as %40.',
  ],
  [/offers no sign-in/, 'Correct SMTP_URL and restart the agent.'],
  [/encryption|certificate/, 'Compare server and port in SMTP_URL with those that your mail provider names: mostly port 587 or 465.'],
  [/refuses the sender/, 'Take a user in SMTP_URL who may send mail there.'],
  [/ALERT_EMAIL_TO/, 'Correct the addresses in ALERT_EMAIL_TO and restart the agent.'],
  [
    /mail server (in SMTP_URL )?(cannot|does not|did not|closed)|name of the mail server/,
    'Compare server and port in SMTP_URL with those that your mail provider names. Most platforms block port 25: take 587 or 465.',
  ],
]
const WAIT = 'The agent tries again with the next alert. If it lasts, send a test message and compare the address.'

export const stepOf = (step: Pick<AlertStep, 'state'>): StepState => STEPS[step.state]

/** The channels by the store as it is now: the test may have been sent by another instance. */
export async function alertCards(status: Pick<Status, 'channels' | 'readDeliveries'>): Promise<AlertCard[]> {
  await inTime(status.readDeliveries())
  return status.channels().map((channel) => ({ ...channel, remedy: remedyOf(channel.lastError) }))
}

export async function describeAlerts(
  status: Pick<Status, 'channels' | 'readDeliveries'>,
  visitor: { readonly isOwner: boolean; readonly tested: unknown },
): Promise<AlertStep> {
  const cards = await alertCards(status)
  const state = alertsState(cards)
  if (!visitor.isOwner) return { state, channels: [], ways: state === 'none' ? ALERT_WAYS : [], tested: null }
  const unused = ALERT_WAYS.filter((way) => cards.every(({ kind }) => kind !== way.kind))
  return { state, channels: cards, ways: unused, tested: testedOf(visitor.tested, state) }
}

function testedOf(tested: unknown, state: AlertsState): AlertStep['tested'] {
  const [claimed, text] = (typeof tested === 'string' && Object.hasOwn(TESTED, tested) && TESTED[tested]) || []
  return claimed !== state || text === undefined ? null : { isGood: state === 'up', text }
}

function remedyOf(error: string | null): string | null {
  return error === null ? null : (REMEDIES.find(([pattern]) => pattern.test(error))?.[1] ?? WAIT)
}

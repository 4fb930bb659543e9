import t from 'tap'
import { type Alerted, NOTHING_ALERTED } from '../../src/alerts/alert.ts'
import { decideAlert, nextAlertAt } from '../../src/alerts/decide-alert.ts'
import type { Account } from '../../src/core/account.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = new Date('2026-11-22T14:00:00Z')
const at = (ms: number): Date => new Date(NOW.getTime() + ms)

const healthy: Account = {
  name: 'shop',
  provider: 'instagram',
  providerUserId: '17841400000000001',
  providerAppUserId: null,
  username: 'shop',
  accessToken: 'sealed',
  refreshToken: null,
  scopes: null,
  pageUseConfirmedAt: null,
  pageUseEndedAt: null,
  allowedDomains: null,
  jsConstant: null,
  serves: null,
  feedOpen: false,
  pausedAt: null,
  state: 'active',
  issuedAt: at(-20 * DAY),
  expiresAt: at(40 * DAY),
  refreshExpiresAt: null,
  reconnectBy: null,
  neverExpires: false,
  lastRefreshAt: at(-20 * DAY),
  nextRefreshAt: at(10 * DAY),
  version: 3,
  failureCount: 0,
  failingSince: null,
  refusedAt: null,
  lastErrorCode: null,
  lastError: null,
  seedFingerprint: null,
  revision: 0,
  trustedAt: null,
  connectedAt: NOW,
  checkedAt: null,
  nextCheckAt: null,
  doubted: null,
  doubtedAt: null,
  createdAt: at(-100 * DAY),
}
const eventOf = (change: Partial<Account>, alerted: Alerted = NOTHING_ALERTED) =>
  decideAlert({ ...healthy, ...change }, alerted, NOW).alert?.event ?? null
const failing = (ms: number): Partial<Account> => ({
  failureCount: 3,
  failingSince: at(-ms),
  lastErrorCode: 'transient',
  lastError: 'Instagram did not answer.',
})
const living = (share: number): Partial<Account> => ({ issuedAt: at(-(1 - share) * 60 * DAY), expiresAt: at(share * 60 * DAY) })

/** With a refresh token that ends in so long, and an access token that lives two hours. */
const renewed = (ms: number | null, change: Partial<Account> = {}): Partial<Account> => ({
  provider: 'tiktok',
  refreshToken: 'sealed',
  issuedAt: at(-HOUR),
  expiresAt: at(HOUR),
  refreshExpiresAt: ms === null ? null : at(ms),
  ...change,
})

t.test('with a refresh token its own end and the user’s approval count, 30 and 7 days before', async (t) => {
  const monthAlerted = { conditions: ['approve-in-month'], at: at(-DAY) }
  const endless = { neverExpires: true, expiresAt: null }
  for (const [change, event, alerted = NOTHING_ALERTED] of [
    [renewed(null), null],
    [renewed(31 * DAY), null],
    [renewed(30 * DAY), 'approval_ends_in_a_month'],
    [renewed(8 * DAY), null, monthAlerted],
    [renewed(7 * DAY), 'approval_ends_in_a_week', monthAlerted],
    [renewed(0), 'person_needed'],
    [renewed(100 * DAY, { reconnectBy: at(30 * DAY) }), 'approval_ends_in_a_month'],
    [renewed(100 * DAY, { ...endless, reconnectBy: at(7 * DAY) }), 'approval_ends_in_a_week'],
    [renewed(100 * DAY, { reconnectBy: at(0) }), 'person_needed'],
    [renewed(100 * DAY, { expiresAt: at(-HOUR) }), null],
    [renewed(100 * DAY, { ...failing(5.9 * HOUR), expiresAt: at(-HOUR) }), null],
    [renewed(100 * DAY, { ...failing(6 * HOUR), expiresAt: at(-HOUR) }), 'failing_for_a_day'],
    [renewed(100 * DAY, { ...failing(23 * HOUR), ...endless }), null],
    [renewed(100 * DAY, { ...failing(DAY), ...endless }), 'failing_for_a_day'],
    [renewed(null, { accessToken: null, state: 'unverified', expiresAt: null }), null],
    [renewed(null, { accessToken: null, state: 'reconnect', expiresAt: null }), 'person_needed'],
  ] as [Partial<Account>, string | null, Alerted?][])
    t.equal(eventOf(change, alerted), event, JSON.stringify(change))
})

t.test('an account that works does not alert', async (t) => {
  t.equal(eventOf({}), null)
  t.equal(eventOf({ issuedAt: null, expiresAt: null }), null)
  t.equal(eventOf({ accessToken: null, state: 'unverified' }), null, 'a new account')
})

t.test('each condition alerts, the worst first', async (t) => {
  t.equal(eventOf(failing(DAY - 1000)), null)
  t.equal(eventOf(failing(DAY)), 'failing_for_a_day')
  t.equal(eventOf({ ...failing(DAY), failureCount: 0 }), null, 'a success that an older release wrote')
  t.equal(eventOf({ state: 'reconnect' }), 'person_needed')
  t.equal(eventOf({ state: 'reconnect', accessToken: null }), 'person_needed', 'also without a token')
  t.equal(eventOf({ lastErrorCode: 'misconfigured', failureCount: 1 }), 'person_needed')
  t.equal(eventOf({ lastErrorCode: 'unreadable', failureCount: 1 }), 'unreadable')
  t.equal(eventOf(living(0.26)), null)
  t.equal(eventOf(living(0.2499)), null, 'a refresh that is due at a quarter has an hour')
  t.equal(eventOf(living(0.24)), 'quarter_of_life_left')
  t.equal(eventOf(living(0.117)), 'quarter_of_life_left')
  t.equal(eventOf(living(0.116)), 'week_left', 'a week of 60 days')
  t.equal(eventOf(living(0.0999)), 'tenth_of_life_left')
  for (const [days, left, event] of [
    [20, 4.9, 'quarter_of_life_left'],
    [100, 9.9, 'tenth_of_life_left'],
    [100, 24, 'quarter_of_life_left'],
    [32, 6.9, 'week_left'],
  ] as const)
    t.equal(eventOf({ issuedAt: at((left - days) * DAY), expiresAt: at(left * DAY) }), event, `${left} of ${days} days`)
  t.equal(eventOf({ expiresAt: NOW }), 'person_needed')
  t.match(decideAlert({ ...healthy, expiresAt: NOW, lastErrorCode: 'unreadable' }, NOTHING_ALERTED, NOW).alert, { message: /has expired/ })
})

t.test('the message names the trouble, the end of the token and the provider’s answer', async (t) => {
  const { alert } = decideAlert({ ...healthy, ...failing(2 * DAY) }, NOTHING_ALERTED, NOW)
  t.match(alert, { account: 'shop', state: 'active' })
  t.match(
    alert?.message,
    /“shop” \(instagram\) could not be refreshed for more than a day.*2027-01-01 14:00 UTC\. Instagram did not answer\.$/,
  )
})

t.test('each condition alerts once per incident, also when it flaps, and then the recovery', async (t) => {
  let alerted: Alerted = NOTHING_ALERTED
  const eventAfter = (change: Partial<Account>): string | null => {
    const decision = decideAlert({ ...healthy, ...change }, alerted, NOW)
    alerted = { conditions: decision.alerted, at: decision.alert === null ? alerted.at : NOW }
    return decision.alert?.event ?? null
  }
  t.equal(eventAfter(failing(DAY)), 'failing_for_a_day')
  t.equal(eventAfter(failing(DAY)), null)
  t.equal(eventAfter({ ...failing(DAY), ...living(0.2) }), 'quarter_of_life_left')
  t.equal(eventAfter({ ...failing(DAY), ...living(0.05) }), 'tenth_of_life_left')
  t.equal(eventAfter({ ...living(0.05), lastErrorCode: 'misconfigured' }), 'person_needed')
  t.equal(eventAfter({ ...failing(DAY), ...living(0.05) }), null)
  t.equal(eventAfter({ ...living(0.05), lastErrorCode: 'misconfigured' }), null)
  t.equal(eventAfter({ lastErrorCode: 'misconfigured', expiresAt: NOW }), 'person_needed')
  t.equal(eventAfter({}), 'recovered')
  t.equal(eventAfter({}), null)
  t.equal(eventAfter({ state: 'reconnect' }), 'person_needed')
  t.equal(eventAfter({ state: 'reconnect', pausedAt: NOW }), null)
  t.equal(eventAfter({}), null, 'a pause ends the incident')
})

t.test('a condition of a later release is kept, and is no incident of this one', async (t) => {
  const alerted: Alerted = { conditions: ['reconnect_by'], at: at(-8 * DAY) }
  for (const change of [{}, failing(0), { pausedAt: NOW }])
    t.strictSame(decideAlert({ ...healthy, ...change }, alerted, NOW), { alert: null, alerted: ['reconnect_by'] })
  t.match(decideAlert({ ...healthy, ...failing(DAY) }, alerted, NOW), {
    alert: { event: 'failing_for_a_day' },
    alerted: ['reconnect_by', 'failing'],
  })
  const both = { conditions: ['failing', 'reconnect_by'], at: alerted.at }
  t.match(decideAlert(healthy, both, NOW), { alert: { event: 'recovered' }, alerted: ['reconnect_by'] })
})

t.test('pages that lost the token are an incident of their own, beside the token’s health', async (t) => {
  let alerted: Alerted = NOTHING_ALERTED
  const eventAfter = (change: Partial<Account>, after = 0): string | null => {
    const now = at(after)
    const account = { ...healthy, expiresAt: at(100 * DAY), ...change }
    const decision = decideAlert(account, alerted, now)
    if (decision.alert !== null) t.equal(nextAlertAt(account, alerted, now), now)
    alerted = { conditions: decision.alerted, at: decision.alert === null ? alerted.at : now }
    return decision.alert?.event ?? null
  }
  const lost = { pageUseEndedAt: at(-1000) }
  t.equal(eventAfter({ ...lost, pausedAt: NOW }), null)
  t.equal(eventAfter(lost), 'page_use_ended')
  t.equal(eventAfter(lost), null, 'once')
  t.equal(nextAlertAt({ ...healthy, ...lost }, alerted, NOW)?.getTime(), at(7 * DAY).getTime())
  t.equal(eventAfter(lost, 7 * DAY), 'page_use_ended', 'each week while it lasts')
  t.equal(eventAfter({ pageUseEndedAt: at(7 * DAY + 1000) }, 7 * DAY + 2000), 'page_use_ended', 'ended again between two looks')
  t.equal(eventAfter({}, 8 * DAY), null, 'the owner has decided: that is no recovery of the token')
  t.strictSame(alerted.conditions, [])

  t.equal(eventAfter({ ...lost, state: 'reconnect' }, 9 * DAY), 'person_needed')
  t.equal(eventAfter({ ...lost, state: 'reconnect' }, 9 * DAY), 'page_use_ended', 'neither hides the other')
  t.equal(eventAfter(lost, 9 * DAY), 'recovered')
  t.equal(eventAfter(lost, 9 * DAY), null)
  t.equal(eventAfter({ ...lost, state: 'reconnect' }, 9 * DAY), 'person_needed', 'the next incident')
  t.match(
    decideAlert({ ...healthy, ...lost }, NOTHING_ALERTED, NOW).alert?.message,
    /“shop” \(instagram\) have changed, so web pages no longer/,
  )
})

t.test('an account recovers only when it works; until then the incident goes on', async (t) => {
  const alerted: Alerted = { conditions: ['misconfigured', 'expired'], at: at(-HOUR) }
  const stillBroken: Record<string, Partial<Account>> = {
    'a failure that began just now': failing(0),
    'an unconfirmed token': { state: 'unverified', expiresAt: null },
    'no token at all': { state: 'unverified', accessToken: null, expiresAt: null },
  }
  for (const [what, change] of Object.entries(stillBroken)) {
    t.strictSame(decideAlert({ ...healthy, ...change }, alerted, NOW), { alert: null, alerted: alerted.conditions }, what)
    t.strictSame(decideAlert({ ...healthy, ...change }, NOTHING_ALERTED, NOW), { alert: null, alerted: [] }, what)
  }
  t.match(decideAlert(healthy, alerted, NOW), { alert: { event: 'recovered', state: 'active' }, alerted: [] })
})

t.test('a lasting condition alerts again every seven days', async (t) => {
  const alerted = (ms: number): Alerted => ({ conditions: ['reconnect'], at: at(-ms) })
  t.equal(eventOf({ state: 'reconnect' }, alerted(7 * DAY - 1000)), null)
  t.equal(eventOf({ state: 'reconnect' }, alerted(7 * DAY)), 'person_needed')
})

t.test('nextAlertAt is the exact time of the next alert', async (t) => {
  const cases: [Partial<Account>, Alerted][] = [
    [{}, NOTHING_ALERTED],
    [failing(HOUR), NOTHING_ALERTED],
    [
      { ...failing(DAY), ...living(0.2) },
      { conditions: ['failing', 'quarter'], at: at(-DAY) },
    ],
    [{ state: 'reconnect' }, { conditions: ['reconnect'], at: at(-6 * DAY) }],
    [living(0.05), { conditions: ['tenth'], at: at(-HOUR) }],
    [renewed(29 * DAY), { conditions: ['approve-in-month'], at: at(-HOUR) }],
    [{ ...renewed(32 * DAY), reconnectBy: at(31 * DAY) }, NOTHING_ALERTED],
    [{ ...renewed(100 * DAY), ...failing(HOUR), expiresAt: at(10 * HOUR) }, NOTHING_ALERTED],
  ]
  for (const [change, alerted] of cases) {
    const account = { ...healthy, ...change }
    t.equal(decideAlert(account, alerted, NOW).alert, null)
    const next = nextAlertAt(account, alerted, NOW)
    t.ok(next !== null && next > NOW)
    // No minute before it may alert.
    const until = next?.getTime() ?? 0
    for (let ms = NOW.getTime(); ms < until - 1; ms += 60_000) {
      const early = decideAlert(account, alerted, new Date(ms)).alert
      if (early !== null) return t.fail(`${early.event} was due at ${new Date(ms).toISOString()}, before ${next?.toISOString()}`)
    }
    t.not(decideAlert(account, alerted, new Date(until)).alert, null, `${next?.toISOString()}`)
  }
  t.strictSame(nextAlertAt({ ...healthy, state: 'reconnect' }, NOTHING_ALERTED, NOW), NOW)
  t.equal(nextAlertAt({ ...healthy, pausedAt: NOW }, NOTHING_ALERTED, NOW), null)
  t.equal(nextAlertAt({ ...healthy, issuedAt: null, expiresAt: null }, NOTHING_ALERTED, NOW), null)
})

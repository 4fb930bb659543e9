import t from 'tap'
import { judge, NOTHING_TOLD, nextLookAt, type Told } from '../../src/alerts/alert.ts'
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
  allowedDomains: null,
  jsConstant: null,
  pausedAt: null,
  state: 'active',
  issuedAt: at(-20 * DAY),
  expiresAt: at(40 * DAY),
  refreshExpiresAt: null,
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
const events = (change: Partial<Account>, told: Told = NOTHING_TOLD) => judge({ ...healthy, ...change }, told, NOW).alert?.event ?? null
const failing = (ms: number): Partial<Account> => ({
  failureCount: 3,
  failingSince: at(-ms),
  lastErrorCode: 'transient',
  lastError: 'Instagram did not answer.',
})
const living = (share: number): Partial<Account> => ({ issuedAt: at(-(1 - share) * 60 * DAY), expiresAt: at(share * 60 * DAY) })

t.test('says nothing of an account that is well', async (t) => {
  t.equal(events({}), null)
  t.equal(events({ issuedAt: null, expiresAt: null }), null)
  t.equal(events({ accessToken: null, state: 'unverified' }), null, 'one that was just created')
})

t.test('tells of each kind of trouble, and of the worst first', async (t) => {
  t.equal(events(failing(DAY - 1000)), null)
  t.equal(events(failing(DAY)), 'failing_for_a_day')
  t.equal(events({ ...failing(DAY), failureCount: 0 }), null, 'a success that an older release wrote')
  t.equal(events({ state: 'reconnect' }), 'person_needed')
  t.equal(events({ state: 'reconnect', accessToken: null }), 'person_needed', 'also without a token')
  t.equal(events({ lastErrorCode: 'misconfigured', failureCount: 1 }), 'person_needed')
  t.equal(events({ lastErrorCode: 'unreadable', failureCount: 1 }), 'unreadable')
  t.equal(events(living(0.26)), null)
  t.equal(events(living(0.2499)), null, 'what is refreshed at a quarter has an hour for it')
  t.equal(events(living(0.24)), 'quarter_of_life_left')
  t.equal(events(living(0.0999)), 'tenth_of_life_left')
  t.equal(events({ expiresAt: NOW }), 'person_needed')
  t.match(judge({ ...healthy, expiresAt: NOW, lastErrorCode: 'unreadable' }, NOTHING_TOLD, NOW).alert, { message: /has expired/ })
})

t.test('says in words what is wrong, until when the token lives, and what the provider said', async (t) => {
  const { alert } = judge({ ...healthy, ...failing(2 * DAY) }, NOTHING_TOLD, NOW)
  t.match(alert, { account: 'shop', state: 'active' })
  t.match(alert?.message, /“shop” could not be refreshed for more than a day.*2027-01-01 14:00 UTC\. Instagram did not answer\.$/)
})

t.test('tells each thing once in a run of trouble, what comes and goes too, and then that it is over', async (t) => {
  let told: Told = NOTHING_TOLD
  const tell = (change: Partial<Account>): string | null => {
    const verdict = judge({ ...healthy, ...change }, told, NOW)
    told = { conditions: verdict.told, at: verdict.alert === null ? told.at : NOW }
    return verdict.alert?.event ?? null
  }
  t.equal(tell(failing(DAY)), 'failing_for_a_day')
  t.equal(tell(failing(DAY)), null)
  t.equal(tell({ ...failing(DAY), ...living(0.2) }), 'quarter_of_life_left')
  t.equal(tell({ ...failing(DAY), ...living(0.05) }), 'tenth_of_life_left')
  t.equal(tell({ ...living(0.05), lastErrorCode: 'misconfigured' }), 'person_needed')
  t.equal(tell({ ...failing(DAY), ...living(0.05) }), null)
  t.equal(tell({ ...living(0.05), lastErrorCode: 'misconfigured' }), null)
  t.equal(tell({ lastErrorCode: 'misconfigured', expiresAt: NOW }), 'person_needed')
  t.equal(tell({}), 'recovered')
  t.equal(tell({}), null)
  t.equal(tell({ state: 'reconnect' }), 'person_needed')
  t.equal(tell({ state: 'reconnect', pausedAt: NOW }), null)
  t.equal(tell({}), null, 'whoever paused it knows')
})

t.test('is told to have recovered only when it works: until then what was told stays told', async (t) => {
  const told: Told = { conditions: ['misconfigured', 'expired'], at: at(-HOUR) }
  const stillBroken: Record<string, Partial<Account>> = {
    'a failure that began just now': failing(0),
    'a token that nobody has confirmed': { state: 'unverified', expiresAt: null },
    'no token at all': { state: 'unverified', accessToken: null, expiresAt: null },
  }
  for (const [what, change] of Object.entries(stillBroken)) {
    t.strictSame(judge({ ...healthy, ...change }, told, NOW), { alert: null, told: told.conditions }, what)
    t.strictSame(judge({ ...healthy, ...change }, NOTHING_TOLD, NOW), { alert: null, told: [] }, what)
  }
  t.match(judge(healthy, told, NOW), { alert: { event: 'recovered', state: 'active' }, told: [] })
})

t.test('repeats each week what lasts', async (t) => {
  const told = (ms: number): Told => ({ conditions: ['reconnect'], at: at(-ms) })
  t.equal(events({ state: 'reconnect' }, told(7 * DAY - 1000)), null)
  t.equal(events({ state: 'reconnect' }, told(7 * DAY)), 'person_needed')
})

t.test('looks again exactly when there may be something new to say', async (t) => {
  const story: [Partial<Account>, Told][] = [
    [{}, NOTHING_TOLD],
    [failing(HOUR), NOTHING_TOLD],
    [
      { ...failing(DAY), ...living(0.2) },
      { conditions: ['failing', 'quarter'], at: at(-DAY) },
    ],
    [{ state: 'reconnect' }, { conditions: ['reconnect'], at: at(-6 * DAY) }],
    [living(0.05), { conditions: ['tenth'], at: at(-HOUR) }],
  ]
  for (const [change, told] of story) {
    const account = { ...healthy, ...change }
    t.equal(judge(account, told, NOW).alert, null)
    const look = nextLookAt(account, told, NOW)
    t.ok(look !== null && look > NOW)
    // Between now and then nothing may fall due; each minute is tried.
    const until = look?.getTime() ?? 0
    for (let ms = NOW.getTime(); ms < until - 1; ms += 60_000) {
      const early = judge(account, told, new Date(ms)).alert
      if (early !== null) return t.fail(`${early.event} was due at ${new Date(ms).toISOString()}, before ${look?.toISOString()}`)
    }
    t.not(judge(account, told, new Date(until)).alert, null, `${look?.toISOString()}`)
  }
  t.strictSame(nextLookAt({ ...healthy, state: 'reconnect' }, NOTHING_TOLD, NOW), NOW)
  t.equal(nextLookAt({ ...healthy, pausedAt: NOW }, NOTHING_TOLD, NOW), null)
  t.equal(nextLookAt({ ...healthy, issuedAt: null, expiresAt: null }, NOTHING_TOLD, NOW), null)
})

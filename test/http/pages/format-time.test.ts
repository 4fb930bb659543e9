import t from 'tap'
import type { AccountView } from '../../../src/accounts/view.ts'
import { words } from '../../../src/core/format-time.ts'
import { lifeBarOf, runsOf, stripOf } from '../../../src/http/pages/account-card.ts'

const now = new Date('2026-10-25T00:30:00Z')
const after = (seconds: number): Date => new Date(now.getTime() + seconds * 1000)
const DAY = 86_400

t.test('an instant is written in words', async (t) => {
  const said: [seconds: number, words: string][] = [
    [0, 'just now'],
    [-20, 'just now'],
    [20, 'within a minute'],
    [60, 'in 1 minute'],
    [90 * 60, 'in 90 minutes'],
    [3 * 3600, 'in 3 hours'],
    [-47 * 3600, '47 hours ago'],
    [3 * DAY, 'in 3 days'],
    [-60 * DAY, '60 days ago'],
    [120 * DAY, 'in 4 months'],
    [-800 * DAY, '2 years ago'],
  ]
  for (const [seconds, expected] of said) t.equal(words.inWords(after(seconds), now), expected)
  t.equal(words.dueInWords(after(-3600), now), 'within a minute', 'an overdue refresh happens at the next tick')
  t.equal(words.inUtc(now), '25 Oct 2026, 00:30 UTC')
  for (const text of [
    '2026-99-99T99.99Z.example.com',
    '2026-99-99T99:99:99Z',
    'https://2026-01-01T00Z.example.com',
    '2026-13-01T00:00:00.000Z',
  ])
    t.equal(words.plain(`May read it: ${text}`), `May read it: ${text}`, 'text that only looks like an instant stays')
  t.equal(words.plain('It is good until 2027-01-24T08:00:00.000Z.'), 'It is good until 24 Jan 2027.')
})

t.test('consecutive attempts with the same outcome are one line', async (t) => {
  const attempt = (at: number, detail: string | null) =>
    ({ id: String(at), account: 'shop', actor: 'timer', at: after(at), ...(detail === null ? OK : { ...FAILED, detail }) }) as const
  const runs = runsOf([attempt(0, null), attempt(-10, null), attempt(-20, 'No answer.'), attempt(-30, 'Refused.'), attempt(-40, null)])
  t.strictSame(
    runs.map(({ count, words, outcome }) => [count, words, outcome]),
    [
      [2, 'The token was refreshed.', 'ok'],
      [1, 'No answer.', 'failed'],
      [1, 'Refused.', 'failed'],
      [1, 'The token was refreshed.', 'ok'],
    ],
  )
  t.match(runs[0], { from: after(-10), to: after(0) })
})

t.test('a strip has the newest attempt on the right, and says how many failed', async (t) => {
  const at = (n: number, outcome: 'ok' | 'failed') =>
    ({ id: String(n), account: 'shop', actor: 'timer', at: after(-n), ...(outcome === 'ok' ? OK : { ...FAILED, detail: 'No.' }) }) as const
  t.equal(stripOf([]), null)
  t.match(stripOf([at(1, 'ok')]), { summary: 'The last attempt went well', label: /^The last attempt: none failed\./ })
  const strip = stripOf([at(1, 'failed'), at(2, 'ok')])
  t.match(strip, { summary: 'The last 2 attempts, 1 failed', bars: { length: 60 } })
  t.match(strip?.bars.slice(-3), [
    { attempt: null, height: 4 },
    { attempt: { outcome: 'ok' }, y: 12 },
    { attempt: { outcome: 'failed' }, y: 0 },
  ])
})
const OK = { kind: 'refreshed', outcome: 'ok', detail: 'good until then' } as const
const FAILED = { kind: 'refresh_failed', outcome: 'failed' } as const

t.test('the bar runs from issue to expiry, and every mark stays on it', async (t) => {
  const life = (issued: number, expires: number, next: number | null) =>
    lifeBarOf(
      {
        issuedAt: after(issued),
        expiresAt: after(expires),
        nextRefreshAt: next === null ? null : after(next),
        failureCount: 0,
      } as AccountView,
      now,
    )
  t.match(life(-15 * DAY, 45 * DAY, 15 * DAY), {
    now: 25,
    next: 50,
    quarterLeft: 75,
    label:
      'The token’s life: issued 15 days ago, 25 % of it gone, next refresh in 15 days, a quarter is left from 24 Nov 2026, expires in 45 days.',
  })
  t.match(life(-70 * DAY, -10 * DAY, 20 * DAY), { now: 100, next: 100 })
  t.match(life(DAY, 2 * DAY, null), { now: 0, next: null }, 'a database that is ahead')
  t.equal(life(0, 0, 0), null)
  t.equal(lifeBarOf({ issuedAt: null, expiresAt: null, nextRefreshAt: null } as AccountView, now), null)
})

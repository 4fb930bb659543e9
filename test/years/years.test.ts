import t from 'tap'
import { tableOf, yearsOfAgent, yearsOfRivals } from './run.ts'

/** `calls`: a look a day, the refreshes, a look at each new string, and what is asked again after trouble. */
const RUNS = [
  { frequency: 'weekly', accounts: 10, ends: 10, calls: 500 },
  { frequency: 'daily', accounts: 6, ends: 5, calls: 900 },
  { frequency: 'monthly', accounts: 6, ends: 5, calls: 470 },
] as const

for (const { frequency, accounts, ends, calls } of RUNS) {
  t.test(`in a year of ${frequency} refreshes a person hears within 26 hours of each token that ended`, async (t) => {
    const figures = await yearsOfAgent({ accounts, years: 1, seed: 1 }, frequency)
    t.comment(tableOf([figures]))
    t.ok((figures.alertedAfterHours?.count ?? 0) >= ends)
    t.ok((figures.alertedAfterHours?.longest ?? Number.NaN) <= 26)
    t.equal(figures.unalerted, 0)
    t.ok((figures.aheadDays ?? 0) >= 7, 'what can be known is alerted a week ahead')
    t.ok(figures.calls <= calls, `${figures.calls} calls`)
    // A month without a refresh, and then five weeks without a machine, outlast a token: docs/reliability.md says so.
    if (frequency !== 'monthly') t.equal(figures.preventableDays, 0)
  })
}

/** `ends`: of grants. Access tokens of TikTok live two hours: they end within the agent's first wait after an outage. */
const OTHERS = [
  { provider: 'threads', accounts: 4, years: 0.5, ends: 1, deadHours: 0, calls: 500 },
  { provider: 'facebook', accounts: 6, years: 0.7, ends: 4, deadHours: 0, calls: 600 },
  { provider: 'tiktok', accounts: 2, years: 0.2, ends: 0, deadHours: 2, calls: 6500 },
] as const

for (const { provider, accounts, years, ends, deadHours, calls } of OTHERS) {
  t.test(`accounts of ${provider} through the same kind of years`, async (t) => {
    const figures = await yearsOfAgent({ accounts, years, seed: 1 }, 'weekly', provider)
    t.comment(tableOf([figures]))
    t.ok((figures.alertedAfterHours?.count ?? 0) >= ends)
    t.ok((figures.alertedAfterHours?.longest ?? 0) <= 26)
    t.equal(figures.unalerted, 0)
    t.ok((figures.aheadDays ?? Number.POSITIVE_INFINITY) >= 7, 'what can be known is alerted a week ahead')
    t.ok(figures.preventableDays * 24 <= deadHours, `${figures.preventableDays * 24} h`)
    t.ok(figures.calls <= calls, `${figures.calls} calls`)
  })
}

t.test('the same years cost each other policy days that could have been prevented', async (t) => {
  const rivals = yearsOfRivals({ accounts: 100, years: 2, seed: 1 })
  t.comment(tableOf(rivals))
  for (const { policy, preventableDays } of rivals) t.ok(preventableDays > 0, policy)
})

t.test('a seed gives the same years again', async (t) => {
  const size = { accounts: 4, years: 0.5, seed: 2 }
  const first = await yearsOfAgent(size, 'weekly')
  t.strictSame(await yearsOfAgent(size, 'weekly'), first)
})

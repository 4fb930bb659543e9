import t from 'tap'
import { missing } from '../support/services.ts'
import { crashFeeds, feedCrashFigures } from './feeds.ts'
import { crash, crashFigures } from './run.ts'

t.setTimeout(1_200_000)
// Each waits out a real lease.
t.jobs = 2

for (const [provider, kills] of [
  ['instagram', 60],
  ['tiktok', 30],
] as const) {
  t.test(
    `${kills} kills lose no token that ${provider} still accepts, and each lost one is reported`,
    { skip: missing('postgres') },
    async (t) => {
      t.setTimeout(600_000)
      const report = await crash(t, kills, provider)
      for (const line of crashFigures(report).split('\n')) t.comment(line)
      t.strictSame(report.violations, [])
      t.equal(report.kills, kills)
      for (const { mode, refreshes, reads } of report.lanes) t.ok(refreshes > 0 && reads > 0, `${mode}: it refreshed and served`)
    },
  )
}

t.test('kills of processes that fetch leave no feed that names a missing picture', { skip: missing('postgres') }, async (t) => {
  t.setTimeout(600_000)
  const report = await crashFeeds(t, { kills: 12, processes: 3 })
  t.comment(feedCrashFigures(report))
  t.strictSame(report.violations, [])
})

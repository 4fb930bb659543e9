import t from 'tap'
import { missing } from '../support/services.ts'
import { crash, crashFigures } from './run.ts'

t.setTimeout(600_000)

t.test(
  '200 kills lose no token that its provider still accepts, and each lost one is reported',
  { skip: missing('postgres') },
  async (t) => {
    t.setTimeout(600_000)
    const report = await crash(t, 200)
    for (const line of crashFigures(report).split('\n')) t.comment(line)
    t.strictSame(report.violations, [])
    t.equal(report.kills, 200)
    for (const { mode, refreshes, reads } of report.lanes) t.ok(refreshes > 0 && reads > 0, `${mode}: it refreshed and served`)
  },
)

import t from 'tap'
import { missing } from '../support/services.ts'
import { soak, soakFigures } from './run.ts'

t.setTimeout(300_000)

t.test('half a minute of every fault at random breaks no promise', { skip: missing('postgres', 'memcached') }, async (t) => {
  t.setTimeout(300_000)
  const report = await soak(t, 0.5)
  for (const line of soakFigures(report).split('\n')) t.comment(line)
  t.strictSame(report.violations, [])
  t.ok(report.served > 100)
  t.ok(report.refreshes > 0)
})

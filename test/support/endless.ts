// Not a test of the product: test/support.test.ts interrupts it.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startMemcached } from './memcached.ts'
import { createDatabase } from './shared-postgres.ts'

t.test('never ends', async (t) => {
  const database = await createDatabase(t)
  const memcached = await startMemcached(t)
  t.pass(`started ${JSON.stringify({ folder: process.env['TEST_ROOT'], pids: [process.pid, memcached.pid], database: database.url })}`)
  await sleep(1_000_000)
})

import { join } from 'node:path'
import t from 'tap'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { launch } from '../support/process.ts'
import { eachStore } from './engines.ts'

// In Chatham (+12:45, +13:45 in summer) this is within the hour that the clocks pass twice.
const AT = '2026-04-04T14:15:00.123Z'

eachStore(t, 'an odd time zone and a change of clocks have no effect', async (t, db, engine) => {
  const args = [join(import.meta.dirname, 'child.ts'), 'write-time', engine.name, engine.address, AT]
  const child = await launch(process.execPath, args, { env: { TZ: 'Pacific/Chatham' } })
  t.equal((await child.exited).code, 0, child.stderr())
  const { zone, claimed } = JSON.parse(child.stdout())
  t.ok([-765, -825].includes(zone), 'the other process does live there')
  t.equal(claimed, AT)
  const store = createAccountStore(db)
  t.equal((await store.find('a'))?.nextRefreshAt?.toISOString(), AT)
  t.strictSame(await store.claimDue({ leaseOwner: 'here', leaseSeconds: 60, limit: 1 }), [], 'its lease counts here too')
  const [event] = await store.events('a', 1)
  t.ok(Math.abs((event?.at.getTime() ?? 0) - Date.now()) < 60_000)
})

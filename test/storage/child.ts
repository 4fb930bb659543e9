// A child process for the tests of this folder: child.ts <command> <engine> <address> [<argument>]
import { once } from 'node:events'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openEngine } from './engines.ts'

const [command, engine = '', address = '', argument = ''] = process.argv.slice(2)
const db = await openEngine(engine, address)

switch (command) {
  case 'migrate':
    // All children start at the same time.
    process.stdout.write('ready\n')
    await once(process.stdin, 'data')
    process.stdout.write(`applied ${JSON.stringify(await migrate(db, argument))}\n`)
    break
  case 'write-time': {
    const event = { account: 'a', kind: 'seeded', actor: 'cli', outcome: 'ok', detail: null } as const
    const store = createAccountStore(db)
    await store.insert({ name: 'a', provider: 'instagram', state: 'active', nextRefreshAt: new Date(argument) }, event)
    const [claim] = await store.claimDue({ leaseOwner: 'child', leaseSeconds: 60, limit: 1 })
    process.stdout.write(JSON.stringify({ zone: new Date().getTimezoneOffset(), claimed: claim?.account.nextRefreshAt }))
    break
  }
  case 'hold':
    await db.transaction(async (tx) => {
      await tx.query("update accounts set username = 'held'")
      process.stdout.write('ready\n')
      await new Promise((resolve) => setTimeout(resolve, Number(argument)))
    })
    break
}
process.stdin.destroy()
await db.close()

import t from 'tap'
import { startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait-for.ts'
import { createInstallation } from './installation.ts'

const DAY_MS = 86_400_000

t.test(
  'a lost key shows in the row within a minute of the start, and the mark goes within a minute once the key is back',
  { skip: missing('postgres') },
  async (t) => {
    const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
    t.teardown(() => instagram.close())
    const { url } = await createDatabase(t)
    const site = await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url })
    const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS)
    const life = { issuedAt: inDays(-2), expiresAt: inDays(58), nextRefreshAt: inDays(43) }
    await site.add('default', instagram.issue(), { ...life, providerUserId: '17841400000000001' })

    const keyless = await startAgent(t, { env: { ...site.env, ENCRYPTION_KEY: 'another-key-that-has-sealed-nothing-here' } })
    await waitFor('the mark', async () => (await site.account('default')).lastErrorCode === 'unreadable')
    t.equal(instagram.calls.length, 0)
    await keyless.stop('SIGINT')

    await startAgent(t, { env: site.env })
    await waitFor('a refresh', async () => (await site.account('default')).lastErrorCode === null)
    t.match(await site.account('default'), { state: 'active', failureCount: 0, version: 2 })
  },
)

import t from 'tap'
import { runCli, startAgent } from '../support/agent.ts'
import { spawnInstagram } from '../support/instagram-server.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait-for.ts'
import { callHook, createInstallation, readToken } from './installation.ts'

t.test(
  'ticks, hooks and commands of eight processes never call the provider twice at a time for one account',
  { skip: missing('postgres') },
  async (t) => {
    const instagram = await spawnInstagram({ knobs: { minimumAgeSeconds: 0 } })
    t.teardown(() => instagram.stop())
    const { url } = await createDatabase(t)
    const site = await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url })
    const names = Array.from({ length: 24 }, (_, n) => `account-${n}`)
    const tokens = await instagram.issueMany(names.map(() => ({})))
    for (const [n, name] of names.entries()) await site.add(name, tokens[n] ?? '')
    // Slow enough for another process to interfere.
    await instagram.fail('/refresh_access_token', { kind: 'slow', ms: 150 })
    const refreshes = async (): Promise<number> => (await instagram.state()).counts['/refresh_access_token'] ?? 0
    const settled = (version: number) =>
      waitFor(`every account to have version ${version}`, async () => {
        // Stop early if two work on one account: the counts below say more than a time-out.
        if ((await instagram.state()).overlaps.count > 0) return true
        const [row] = await site.query<{ behind: string }>(
          'select count(*) as behind from accounts where version < $1 or lease_until is not null',
          [version],
        )
        return row?.behind === '0'
      })

    const agents = await Promise.all(Array.from({ length: 8 }, () => startAgent(t, { env: site.env })))
    await settled(2)
    t.equal(await refreshes(), 24, 'the ticks at the start refreshed each account once')

    await site.makeDue()
    const command = runCli(t, ['refresh'], { env: site.env })
    await Promise.all(agents.flatMap((agent) => [callHook(agent.url), callHook(agent.url)]))
    t.equal((await command).code, 0)
    await settled(3)
    t.equal(await refreshes(), 48, 'eight hooks and a command refreshed each account once')

    await site.makeDue()
    const forced = [runCli(t, ['refresh', '--force'], { env: site.env }), runCli(t, ['refresh', '--force'], { env: site.env })]
    await waitFor('the commands to be at work', async () => (await refreshes()) > 48)
    await Promise.all(agents.map((agent) => callHook(agent.url)))
    for (const { code } of await Promise.all(forced)) t.equal(code, 0)
    await settled(4)

    const { overlaps } = await instagram.state()
    t.strictSame(overlaps, { maximum: 1, count: 0 })
    const rows = await site.query<{ version: number }>('select version from accounts')
    const saved = rows.reduce((sum, { version }) => sum + version - 1, 0)
    t.equal(saved, await refreshes(), 'no answer of the provider was dropped')
  },
)

t.test('a process suspended past its lease cannot overwrite the next holder’s token', { skip: missing('postgres') }, async (t) => {
  const instagram = await spawnInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.stop())
  const { url } = await createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url })
  const [first, second] = await Promise.all([startAgent(t, { env: site.env }), startAgent(t, { env: site.env })])
  const token = await instagram.issue()
  await site.add('default', token)

  await instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 2_000 }, 1)
  const asked = callHook(first.url)
  const theCall = async () => (await instagram.calls()).find(({ path }) => path === '/refresh_access_token')
  await waitFor('the first holder to call', theCall)
  first.freeze()
  await waitFor('the provider to have answered', async () => (await theCall())?.endedAt)
  await site.lapseLeases()
  const { results } = await callHook(second.url)
  t.match(results, [{ account: 'default', outcome: 'refreshed' }])
  const stands = await site.token('default')

  first.thaw()
  t.match((await asked).results, [{ account: 'default', outcome: 'lost' }])
  const issued = await instagram.issued()
  t.equal(issued.length, 3, 'both holders got a token')
  t.equal(issued.at(-1)?.token, stands, 'the second holder’s token stays')
  t.equal(await site.token('default'), stands)
  t.equal((await site.account('default')).version, 2)
  t.match(first.stdout(), /"outcome":"lost"/)
  await waitFor('the suspended process to serve it too', async () => (await readToken(first.url)).text === stands)
  t.strictSame((await instagram.state()).overlaps, { maximum: 1, count: 0 })
})

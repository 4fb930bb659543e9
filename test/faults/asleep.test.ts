import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait-for.ts'
import { createInstallation, readToken } from './installation.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const WRONG_CLOCK = fileURLToPath(new URL('wrong-clock.ts', import.meta.url))

async function start(t: Test) {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0 } })
  t.teardown(() => instagram.close())
  const { url } = await createDatabase(t)
  return { instagram, site: await createInstallation(t, { databaseUrl: url, instagramUrl: instagram.url }) }
}

// A suspended process is tested in test/timer.test.ts: here it would have to stand still for seconds.
t.test('a machine that slept past a due time refreshes within seconds of waking', { skip: missing('postgres') }, async (t) => {
  const { instagram, site } = await start(t)
  await site.add('default', instagram.issue(), { nextRefreshAt: null })
  const clock = { CLOCK_SHIFT_MS: String(HOUR_MS), CLOCK_STEPS_ON: 'SIGCONT', NODE_OPTIONS: `--import=${WRONG_CLOCK}` }
  const agent = await startAgent(t, { env: { ...site.env, ...clock }, ready: '/readyz' })
  agent.freeze()
  await site.makeDue()
  const wokenMs = performance.now()
  // The next regular tick may be a minute away.
  const toTheMinute = 60_000 - (Date.now() % 60_000)
  agent.thaw()
  await waitFor('the refresh to start', () => instagram.calls.length > 0, { timeoutMs: 10_000 })
  t.comment(`refresh started ${Math.round(performance.now() - wokenMs)} ms after waking; ${toTheMinute} ms to the minute`)
  await waitFor('its answer to be saved', async () => (await site.account('default')).version === 2)
})

t.test('a killed process that starts after a due time refreshes at its start', { skip: missing('postgres') }, async (t) => {
  const { instagram, site } = await start(t)
  await site.add('default', instagram.issue(), { nextRefreshAt: null })
  const agent = await startAgent(t, { env: site.env, ready: '/readyz' })
  await agent.kill9()
  await site.query("update accounts set next_refresh_at = statement_timestamp() - interval '3 days'")
  const startedMs = performance.now()
  await startAgent(t, { env: site.env })
  await waitFor('the refresh to start', () => instagram.calls.length > 0, { timeoutMs: 10_000 })
  t.comment(`refresh started ${Math.round(performance.now() - startedMs)} ms after the start of the process`)
})

for (const [name, env] of Object.entries({
  'a clock that is a day fast': { CLOCK_SHIFT_MS: String(DAY_MS), NODE_OPTIONS: `--import=${WRONG_CLOCK}` },
  'a clock that is a day slow': { CLOCK_SHIFT_MS: String(-DAY_MS), NODE_OPTIONS: `--import=${WRONG_CLOCK}` },
  'an odd time zone': { TZ: 'Pacific/Chatham' },
})) {
  t.test(`${name} changes neither when a token is refreshed nor how long it is served`, { skip: missing('postgres') }, async (t) => {
    const { instagram, site } = await start(t)
    const inHours = (hours: number) => new Date(Date.now() + hours * HOUR_MS)
    const tokens = ['default', 'due-later', 'lives', 'expired'].map((account) => [account, instagram.issue()] as const)
    await site.add('default', tokens[0]?.[1] ?? '')
    await site.add('due-later', tokens[1]?.[1] ?? '', { nextRefreshAt: inHours(1) })
    await site.add('lives', tokens[2]?.[1] ?? '', { nextRefreshAt: null, expiresAt: inHours(2) })
    await site.add('expired', tokens[3]?.[1] ?? '', { nextRefreshAt: null, expiresAt: inHours(-2) })
    const agent = await startAgent(t, { env: { ...site.env, ...env }, ready: '/readyz' })
    if ('CLOCK_SHIFT_MS' in env) {
      const { time } = JSON.parse(agent.stdout().split('\n')[0] ?? '{}') as { time: string }
      t.ok(Math.abs(Date.parse(time) - Date.now()) > DAY_MS / 2, 'its clock is wrong')
    }
    await waitFor('the refresh', async () => (await site.account('default')).version === 2)

    const { issuedAt, expiresAt, nextRefreshAt } = await site.account('default')
    const fromNow = (at: Date | null): number => ((at?.getTime() ?? 0) - Date.now()) / DAY_MS
    t.ok(Math.abs(fromNow(issuedAt)) < 0.01)
    t.ok(Math.abs(fromNow(expiresAt) - instagram.knobs.lifetimeSeconds / 86_400) < 0.01)
    t.ok(fromNow(nextRefreshAt) > 6.9 && fromNow(nextRefreshAt) <= 7, 'a week on')
    t.equal((await site.account('due-later')).version, 1, 'an account that is not due is not refreshed')
    t.equal((await readToken(agent.url, 'lives')).status, 200)
    t.equal((await readToken(agent.url, 'expired')).status, 503)
    const { at } = (await site.events('default'))[0] ?? {}
    t.ok(Math.abs(fromNow(at ?? null)) < 0.01, 'the history has the right time')
  })
}

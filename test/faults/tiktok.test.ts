import { cpSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openTikTok } from '../crash/provider.ts'
import { runCli, startAgent } from '../support/agent.ts'
import { oldRelease } from '../support/old-release.ts'
import { approve, authorizeUrlIn, createClient, createOwner, openAgent, PASSWORD, SERVER_KEY } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'
import { callHook, createInstallation } from './installation.ts'

const needs = missing('postgres')

t.test('eight processes never spend a refresh token twice, nor call for one account at a time', { skip: needs }, async (t) => {
  const provider = await openTikTok(t, {})
  const { tiktok } = provider
  const { url } = await createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, env: provider.env(provider.url) })
  const names = Array.from({ length: 16 }, (_, n) => `account-${n}`)
  for (const name of names) await provider.add(site, name)
  // Slow enough for another process to interfere.
  tiktok.fail('refresh', { kind: 'slow', ms: 150 })
  const settled = (version: number) =>
    waitFor(`every account to have version ${version}`, async () => {
      const rows = await site.query('select name from accounts where version < $1 or lease_until is not null', [version])
      return rows.length === 0
    })
  const agents = await Promise.all(Array.from({ length: 8 }, () => startAgent(t, { env: site.env })))
  await settled(2)
  await site.makeDue()
  await Promise.all(agents.flatMap((agent) => [callHook(agent.url), callHook(agent.url)]))
  await settled(3)
  t.strictSame(tiktok.wrong, { overlaps: 0, usesOfDead: 0, secretsInUrl: 0 })
  t.equal(tiktok.calls.filter((call) => call === 'refresh').length, 32)
  for (const name of names) t.notOk(await provider.isDead(site, name))
})

t.test('an answer that one process cannot save counts although another has claimed since', { skip: needs }, async (t) => {
  const provider = await openTikTok(t, {})
  const { url } = await createDatabase(t)
  const proxy = await startTcpProxy(t, { port: Number(new URL(url).port) })
  const env = provider.env(provider.url)
  const site = await createInstallation(t, { databaseUrl: url, agentsDatabaseUrl: proxy.through(url), env })
  const cutOff = await startAgent(t, { env: site.env, ready: '/readyz' })
  await provider.add(site, 'shop')
  provider.tiktok.fail('refresh', { kind: 'slowAnswer', ms: 500 }, 1)
  void callHook(cutOff.url).catch(() => {})
  await waitFor('the call', () => provider.tiktok.calls.includes('refresh'))
  proxy.blackHole()
  await waitFor('the answer that cannot be saved', () => cutOff.stdout().includes('could not be saved'))
  t.ok(await provider.isDead(site, 'shop'), 'what the store holds is spent')
  await site.lapseLeases()
  const other = await startAgent(t, { env: { ...site.env, DATABASE_URL: url }, ready: '/readyz' })
  await waitFor('the other to be refused', async () => (await site.account('shop')).lastErrorCode === 'reconnect')
  t.match(await site.account('shop'), { lastError: /the agent’s loss/ })
  proxy.pass()
  await waitFor('the answer to be saved', async () => !(await provider.isDead(site, 'shop')))
  t.match(await site.account('shop'), { state: 'active', lastError: null, version: 2 })
  await site.makeDue()
  t.match((await callHook(other.url)).results, [{ outcome: 'refreshed' }])
})

t.test('a store that is away when the callback’s answer comes does not lose it', { skip: needs }, async (t) => {
  const tiktok = await startTikTok()
  t.teardown(() => tiktok.close())
  const { url } = await createDatabase(t)
  const proxy = await startTcpProxy(t, { port: Number(new URL(url).port) })
  const own = { DATABASE_URL: proxy.through(url), ENCRYPTION_KEY: 'a-key-for-all-releases', ADMIN_PASSWORD: PASSWORD }
  const agent = await startAgent(t, { env: { ...own, SERVER_KEYS: SERVER_KEY, ...tiktokSettings(tiktok) }, ready: '/readyz' })
  const owner = createClient(agent)
  await owner.signIn(PASSWORD)
  const back = await approve(authorizeUrlIn(await owner.post('/connect/tiktok', { account: 'tiktok' })))
  tiktok.fail('exchange', { kind: 'slowAnswer', ms: 300 }, 1)
  const answer = owner.get(back)
  await waitFor('the exchange', () => tiktok.calls.includes('exchange'))
  proxy.reset()
  setTimeout(() => proxy.pass(), 900)
  t.match(await answer, { location: '/admin/accounts/tiktok?done=connected' })
  const token = await agent.fetch('/accounts/tiktok/token', { headers: { authorization: `Bearer ${SERVER_KEY}` } })
  t.ok(tiktok.isAlive(await token.text()))
})

t.test('a store that is away while a seed replaces a working account does not lose it', { skip: needs }, async (t) => {
  const tiktok = await startTikTok()
  t.teardown(() => tiktok.close())
  const { url } = await createDatabase(t)
  const proxy = await startTcpProxy(t, { port: Number(new URL(url).port) })
  const start = (databaseUrl: string, ready: '/readyz' | null) => {
    const own = { DATABASE_URL: databaseUrl, ENCRYPTION_KEY: 'a-key-for-all-releases', SERVER_KEYS: SERVER_KEY }
    return startAgent(t, { env: { ...own, ...tiktokSettings(tiktok), TIKTOK_REFRESH_TOKEN: tiktok.issue().refresh }, ready })
  }
  const isTaken = (agent: Awaited<ReturnType<typeof start>>) =>
    waitFor('the seed to be taken', () => /TIKTOK_REFRESH_TOKEN has been used/.test(agent.stdout()))
  const first = await start(url, '/readyz')
  await isTaken(first)
  await first.stop()
  const calls = tiktok.calls.length
  tiktok.fail('refresh', { kind: 'slowAnswer', ms: 1000 }, 1)
  const second = await start(proxy.through(url), null)
  await waitFor('the call', () => tiktok.calls.length > calls)
  proxy.reset()
  await waitFor('the save to fail', () => /could not be saved; trying again/.test(second.stdout()))
  proxy.pass()
  await isTaken(second)
  tiktok.clock.advance(5_400_000)
  await waitFor('the agent to be ready', async () => (await second.fetch('/readyz')).ok)
  await runCli(t, ['refresh', '--force'], {
    env: { ...tiktokSettings(tiktok), DATABASE_URL: url, ENCRYPTION_KEY: 'a-key-for-all-releases' },
  })
  const answer = await second.fetch('/accounts/tiktok/token', { headers: { authorization: `Bearer ${SERVER_KEY}` } })
  t.ok(tiktok.isAlive(await answer.text()))
  t.equal(tiktok.wrong.usesOfDead, 0, 'the refresh token of the new chain was saved')
})

async function connected(t: Test) {
  const tiktok = await startTikTok()
  t.teardown(() => tiktok.close())
  const cwd = tempFolder(t, 'tiktok')
  const env = { SERVER_KEYS: SERVER_KEY, ENCRYPTION_KEY: 'a-key-for-all-releases', ...tiktokSettings(tiktok) }
  const world = await createOwner(t, { cwd, env })
  await world.owner.get(await approve(authorizeUrlIn(await world.owner.post('/connect/tiktok', { account: 'tiktok' }))))
  return { ...world, tiktok, cwd, env }
}

t.test('a copy of the store makes no call with the original’s refresh token, until its owner says so', async (t) => {
  const { agent, tiktok, cwd, env } = await connected(t)
  agent.sql("update accounts set next_refresh_at = '2026-01-01T00:00:00.000Z'")
  await agent.close()
  const copy = tempFolder(t, 'copy')
  cpSync(cwd, copy, { recursive: true })
  const calls = tiktok.calls.length
  const { owner, agent: copied } = await createOwner(t, { cwd: copy, env })
  const row = () => copied.sql<Record<string, unknown>>('select * from accounts')[0]
  t.match(row(), { last_error_code: 'misconfigured', last_error: /This store is a copy of another one.*Switch the other agent off/ })
  t.equal(tiktok.calls.length, calls)
  t.match(await owner.page('/status'), /This store is a copy of another one/)
  await owner.post('/admin/accounts/tiktok/refresh')
  t.match(row(), { last_error: null, failure_count: 0 }, 'the owner refreshes it by hand')
  t.equal(tiktok.wrong.usesOfDead, 0)
})

t.test('the release before serves no token of TikTok and spends none', async (t) => {
  const { agent, instagram, tiktok, cwd, env } = await connected(t)
  agent.sql("update accounts set next_refresh_at = '2026-01-01T00:00:00.000Z'")
  await agent.close()
  const calls = tiktok.calls.length
  const old = await startAgent(t, {
    cwd,
    cli: oldRelease(t).cli,
    env: { ...env, DATABASE_URL: `sqlite:${join(cwd, 'data/token-agent.sqlite')}` },
    ready: '/readyz',
  })
  const headers = { authorization: `Bearer ${SERVER_KEY}` }
  const answer = await old.fetch('/accounts/tiktok/token', { headers })
  t.equal(answer.status, 503)
  await old.stop()
  t.equal(tiktok.calls.length, calls)
  const next = await openAgent(t, { cwd, env, instagram })
  const token = async () => (await next.fetch('/accounts/tiktok/token', { headers })).text()
  await waitFor('it to be served again', async () => tiktok.isAlive(await token()))
})

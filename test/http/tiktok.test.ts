import { join } from 'node:path'
import t, { type Test } from 'tap'
import { approve, authorizeUrlIn, type Client, createOwner, openAgent, SERVER_KEY, served } from '../support/owner.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { refusal, startTikTok, tiktokSettings } from '../support/tiktok.ts'
import type { Knobs } from '../support/tiktok-oauth.ts'
import { waitFor } from '../support/wait-for.ts'

const SECRETS = /act\.\w{10}|rft\.\w{10}|a-secret-of-the-tiktok-app/

async function setUp(t: Test, { knobs = {}, env = {} }: { knobs?: Partial<Knobs>; env?: Record<string, string> } = {}) {
  const tiktok = await startTikTok({ knobs })
  t.teardown(() => tiktok.close())
  const world = await createOwner(t, { env: { SERVER_KEYS: SERVER_KEY, ...tiktokSettings(tiktok), ...env } })
  return { ...world, tiktok, ...readersOf(world.agent) }
}

const readersOf = (agent: Awaited<ReturnType<typeof openAgent>>) => ({
  /** As a server reads it; a number is the status of a refusal. */
  async token(account = 'tiktok'): Promise<string | number> {
    const answer = await agent.fetch(`/accounts/${account}/token`, { headers: { authorization: `Bearer ${SERVER_KEY}` } })
    return answer.status === 200 ? answer.text() : answer.status
  },
  row: (account = 'tiktok') =>
    agent.sql<Record<string, string | number | null>>(`select * from accounts where name = '${account}'`)[0] ?? {},
})

const connect = async (client: Client, account = 'tiktok') =>
  client.get(await approve(authorizeUrlIn(await client.post('/connect/tiktok', { account }))))

t.test('an account is connected, refreshed with the token of the last answer, and given to servers alone', async (t) => {
  const { agent, owner, tiktok, token, row } = await setUp(t)
  t.match(await connect(owner), { location: '/admin/accounts/tiktok?done=connected' })
  t.match(row(), { provider_user_id: tiktok.knobs.signedInAs, username: tiktok.knobs.displayName, scopes: 'user.info.basic' })
  for (let turn = 0; turn < 3; turn++) {
    const before = await token()
    t.ok(tiktok.isAlive(String(before)))
    tiktok.clock.advance(5_400_000)
    t.match(await owner.post('/admin/accounts/tiktok/refresh'), { location: '/admin/accounts/tiktok?done=refreshed' })
    t.not(await token(), before)
  }
  t.strictSame(tiktok.wrong, { overlaps: 0, usesOfDead: 0, secretsInUrl: 0 })
  t.strictSame(tiktok.calls.slice(1), ['exchange', 'user', 'refresh', 'refresh', 'refresh'], 'saved first, then asked for the name, once')
  t.match(await served(agent, '/accounts/tiktok/token.json'), { status: 403, token: null })
  t.match(await owner.page('/admin/accounts/tiktok'), /Permission ends.*Only servers get|Permission ends/)
  t.match(await owner.post('/admin/accounts/tiktok/remove', { name: 'tiktok', revoke: 'yes' }), { status: 303 })
  t.notMatch(agent.stdout(), SECRETS)
  t.equal([...tiktok.tokens.values()].filter((one) => tiktok.isAlive(one.token)).length, 0, 'revoked')
})

t.test('a refused challenge is written the other way at the next press, and after a restart', async (t) => {
  for (const challengeRefusedAt of ['authorize', 'token'] as const) {
    const { owner, tiktok, row } = await setUp(t, { knobs: { challenge: 'base64url', challengeRefusedAt } })
    t.match(await connect(owner), { status: 422, text: /does not accept the way in which this agent writes its challenge/ })
    t.match(await connect(owner), { location: '/admin/accounts/tiktok?done=connected' })
    t.match(await connect(owner), { location: '/admin/accounts/tiktok?done=connected' }, 'remembered')
    tiktok.knobs.challenge = 'hex'
    t.match(await connect(owner), { status: 422 })
    t.match(await connect(owner), { location: '/admin/accounts/tiktok?done=connected' }, 'and back')
    t.ok(row()['refresh_token'])
  }
  const { owner, agent } = await setUp(t)
  await owner.get('/connect/tiktok/callback?error=invalid_request&error_description=Code+challenge')
  t.match(agent.sql('select pkce_challenge from installation'), [{ pkce_challenge: null }], 'an answer to no request changes nothing')
})

t.test('each fault on the way leaves the account as it was, with a sentence', async (t) => {
  const { agent, owner, tiktok, token, row } = await setUp(t, { env: { TIKTOK_SCOPES: 'user.info.basic,video.publish' } })
  await connect(owner)
  const [before, kept] = [row(), await token()]
  for (const [what, knobs, says] of [
    ['a declined request', { consent: 'deny' }, /TikTok says that the request was declined/],
    ['declined, without its state', { consent: 'deny', denialState: 'without' }, /declined/],
    ['a permission switched off', { switchedOff: ['video.publish'] }, /did not give the permission video\.publish/],
    ['no refresh token', { refreshToken: 'absent' }, /gave no refresh token/],
    ['a refusal', {}, /client key and secret/],
    ['a silence', {}, /TikTok did not answer/],
  ] as [string, Partial<Knobs>, RegExp][]) {
    Object.assign(tiktok.knobs, { consent: 'approve', denialState: 'with', switchedOff: [], refreshToken: 'sent', ...knobs })
    if (what === 'a refusal') tiktok.fail('exchange', refusal('invalid_client', 'secret', 200), 1)
    if (what === 'a silence') tiktok.fail('exchange', 'reset', 1)
    const { status, text } = await connect(owner)
    t.ok(status === 422 || status === 503, what)
    t.match(text, says, what)
    t.notMatch(text, SECRETS)
  }
  t.notMatch(agent.stdout(), SECRETS)
  t.strictSame(row(), before)
  t.equal(await token(), kept)
  Object.assign(tiktok.knobs, { refreshToken: 'sent', signedInAs: 'another-user' })
  t.match(await connect(owner), { status: 200, text: /Another TikTok user\?.*@/s })
  t.strictSame(row(), before, 'another user waits for the owner’s word')
})

t.test('who may post is told the limits of posting, and a fault there changes nothing', async (t) => {
  const { owner, tiktok } = await setUp(t, { env: { TIKTOK_SCOPES: 'user.info.basic,video.publish' } })
  await connect(owner)
  t.match(
    await owner.page('/admin/accounts/tiktok?done=connected'),
    /Posts of this account may be for: everyone.*at most five users.*In a sandbox/,
  )
  t.notMatch(await owner.page('/admin/accounts/tiktok'), /at most five users/, 'once')
  tiktok.fail('creator', 'html502')
  t.match(await owner.page('/admin/accounts/tiktok?done=connected'), /does not say at the moment.*at most five users/)
})

t.test('without https a web app is refused before TikTok, and a desktop app has its own ways', async (t) => {
  for (const [env, says] of [
    [{ APP_URL: 'http://127.0.0.1:3000' }, /https:\/\/ alone.*APP_URL/s],
    [{ TIKTOK_APP_KIND: 'desktop' }, /own computer alone.*TIKTOK_REFRESH_TOKEN/s],
  ] as const) {
    const { owner } = await setUp(t, { env })
    t.match(await owner.post('/connect/tiktok', { account: 'tiktok' }), { status: 422, text: says })
  }
})

t.test('a lost answer is tried again at once, and a loss is called the agent’s own', async (t) => {
  const { agent, owner, tiktok, token, row } = await setUp(t, { knobs: { rotation: 'grace' } })
  await connect(owner)
  tiktok.fail('refresh', 'lost', 1)
  await owner.post('/admin/accounts/tiktok/refresh')
  t.match(row(), { last_error: null, failure_count: 0 }, 'saved by the grace of the old one')
  t.strictSame(tiktok.calls.slice(-2), ['refresh', 'refresh'])
  tiktok.knobs.rotation = 'strict'
  tiktok.fail('refresh', 'lost', 1)
  const served = await token()
  await owner.post('/admin/accounts/tiktok/refresh')
  t.match(row(), { last_error_code: 'reconnect', last_error: /never got that answer.*the agent’s loss/ })
  t.equal(await token(), served, 'the access token in hand is served until its end')
  t.notMatch(agent.stdout(), SECRETS)
  t.match(agent.stdout(), /That is the agent’s loss, not a refusal of the user/)
  const page = await owner.page('/admin/accounts/tiktok')
  t.match(page, /agent’s loss/)
  await connect(owner)
  tiktok.revoke()
  await owner.post('/admin/accounts/tiktok/refresh')
  t.match(row(), { last_error: /no longer accepts the refresh token/ }, 'a real refusal is called one')
})

t.test('failures of the network are no refusals: the refresh token stays, and a later try renews it', async (t) => {
  const { owner, tiktok, row } = await setUp(t)
  await connect(owner)
  const { refresh_token: sealed } = row()
  for (const fault of ['html502', 'empty500', 'reset'] as const) {
    tiktok.fail('refresh', fault, 2)
    await owner.post('/admin/accounts/tiktok/refresh')
    t.match(row(), { state: 'active', last_error_code: 'transient', refresh_token: sealed }, fault)
  }
  t.match(await owner.post('/admin/accounts/tiktok/refresh'), { location: '/admin/accounts/tiktok?done=refreshed' })
})

t.test('an answer with another user’s tokens is kept, and no reader gets them', async (t) => {
  const { owner, tiktok, token, row } = await setUp(t)
  await connect(owner)
  const { refresh_token: before } = row()
  tiktok.knobs.openId = 'other'
  await owner.post('/admin/accounts/tiktok/refresh')
  t.match(row(), { state: 'reconnect', last_error: /tokens of another user/ })
  t.not(row()['refresh_token'], before, 'saved')
  t.equal(await token(), 503)
})

t.test('an access token that ended is waited for while the refresh token lives', async (t) => {
  const { agent, owner, tiktok, token, row } = await setUp(t)
  await connect(owner)
  agent.sql("update accounts set expires_at = '2026-01-01T00:00:00.000Z', revision = revision + 1")
  tiktok.fail('refresh', 'html502')
  await owner.post('/admin/accounts/tiktok/refresh')
  await waitFor('the reader to see it', async () => (await token()) === 503)
  const answer = await agent.fetch('/accounts/tiktok/token.json', { headers: { authorization: `Bearer ${SERVER_KEY}` } })
  t.match(await answer.text(), /asks its provider for the next one/)
  t.ok(answer.headers.get('retry-after'))
  t.notMatch(await owner.page('/admin/accounts/tiktok'), /needs you/)
  tiktok.heal()
  await owner.post('/admin/accounts/tiktok/refresh')
  t.match(row(), { failure_count: 0 })
})

t.test('TIKTOK_REFRESH_TOKEN is used once, and a spent one is named', async (t) => {
  const tiktok = await startTikTok()
  t.teardown(() => tiktok.close())
  const cwd = tempFolder(t, 'seeded')
  const seed = tiktok.issue().refresh
  const env = { SERVER_KEYS: SERVER_KEY, ...tiktokSettings(tiktok), TIKTOK_REFRESH_TOKEN: seed }
  const first = await openAgent(t, { cwd, env })
  t.ok(tiktok.isAlive(String(await readersOf(first).token())))
  t.match(first.stdout(), /TIKTOK_REFRESH_TOKEN.*remove the variable/)
  t.match(await (await first.fetch('/setup')).text(), /TIKTOK_REFRESH_TOKEN: TikTok voids this token at its first use/)
  await first.close()
  const second = await openAgent(t, { cwd, env })
  t.equal(tiktok.wrong.usesOfDead, 0, 'not sent again')
  t.ok(tiktok.isAlive(String(await readersOf(second).token())))
  const wiped = await openAgent(t, { env })
  t.equal(await readersOf(wiped).token(), 503)
  t.match(readersOf(wiped).row(), { state: 'reconnect', last_error: /it was used before.*connect the account again/ })
  t.match(readersOf(wiped).row(), { next_refresh_at: null }, 'and it is not sent again')
  t.equal(tiktok.wrong.usesOfDead, 1, 'once')
  const disk = join(tempFolder(t, 'disk'), 'agent.db')
  const onWipedDisk = await openAgent(t, {
    env: { ...env, DYNO: 'web.1', DATABASE_URL: `sqlite:${disk}`, TIKTOK_REFRESH_TOKEN: tiktok.issue().refresh },
  })
  t.match(onWipedDisk.stdout(), /TIKTOK_REFRESH_TOKEN has not taken over: the token works once, and this platform may wipe/)
  t.equal(tiktok.calls.filter((call) => call === 'refresh').length, 2, 'it is not sent at all')
})

t.test('the pages have TikTok’s own steps, with the values to copy', async (t) => {
  const { owner } = await setUp(t, { env: { TIKTOK_CLIENT_KEY: '', TIKTOK_CLIENT_SECRET: '' } })
  for (const path of ['/setup', '/admin']) {
    const page = await owner.page(path)
    for (const words of ['TikTok for Developers', 'https://agent.example/connect/tiktok/callback', 'TIKTOK_CLIENT_KEY'])
      t.match(page, words, path)
  }
})

t.test('an answer with a life of seconds, or none, is saved, and the next refresh waits a minute', async (t) => {
  for (const [knobs, seconds] of [
    [{ accessSeconds: 5 }, 60],
    [{ expiresIn: 'absent' }, 600],
    [{ expiresIn: 'zero' }, 600],
    [{ accessSeconds: 7200 }, 5400],
  ] as [Partial<Knobs>, number][]) {
    const { owner, tiktok, row } = await setUp(t, { knobs })
    await connect(owner)
    await owner.post('/admin/accounts/tiktok/refresh')
    const { last_refresh_at: last, next_refresh_at: next } = row()
    const waits = (Date.parse(String(next)) - Date.parse(String(last))) / 1000
    t.ok(waits <= seconds + 1 && waits >= seconds - 75, `${JSON.stringify(knobs)}: ${waits} s`)
    t.equal(tiktok.wrong.usesOfDead, 0)
  }
})

import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { ConnectError } from '../../../src/core/errors.ts'
import type { Connect } from '../../../src/core/provider.ts'
import { Secret } from '../../../src/core/secret.ts'
import { createTikTok } from '../../../src/providers/tiktok/tiktok.ts'
import { freePort } from '../../support/free-port.ts'
import type { FaultName } from '../../support/instagram-faults.ts'
import { apiRefusal, refusal, startTikTok } from '../../support/tiktok.ts'
import { APP, type Knobs } from '../../support/tiktok-oauth.ts'
import { refused } from '../refused.ts'

const redirectUri = 'https://agent.example/connect/tiktok/callback'
const verifier = 'v'.repeat(43)

async function setUp(t: Test, { knobs = {}, timeoutMs = 10_000 }: { knobs?: Partial<Knobs>; timeoutMs?: number } = {}) {
  const tiktok = await startTikTok({ knobs })
  t.teardown(() => tiktok.close())
  const scopes = ['user.info.basic', 'video.publish']
  const app = { key: APP.key, secret: new Secret(APP.secret), kind: tiktok.knobs.kind }
  const provider = createTikTok({ apiUrl: tiktok.url, webUrl: tiktok.url, app, scopes }, { fetch, timeoutMs })
  const connect = provider.connect as Required<Connect>
  const refresh = (token: string, present: string | null = null) =>
    provider.refresh({ accessToken: present === null ? null : new Secret(present), refreshToken: new Secret(token), userId: null })
  async function approve(challenge: 'hex' | 'base64url' = 'hex'): Promise<URLSearchParams> {
    const { headers } = await fetch(connect.authorizeUrl({ state: 's', redirectUri, verifier, challenge }), { redirect: 'manual' })
    return new URL(headers.get('location') ?? '').searchParams
  }
  async function exchange(given = approve()) {
    const params = await given
    return connect.exchangeCode(params.get('code') ?? '', { redirectUri, verifier, scopes: params.get('scopes') ?? undefined })
  }
  return { tiktok, provider, connect, refresh, approve, exchange, app }
}

t.test('a refresh spends the refresh token, and its answer names life, scopes and user', async (t) => {
  const { tiktok, provider, refresh } = await setUp(t)
  const { refresh: first } = tiktok.issue({ scopes: ['video.list', 'user.info.basic'] })
  const grant = await refresh(first)
  t.match(grant, { expiresInSeconds: 7200, refreshExpiresInSeconds: 180 * 86_400, scopes: 'user.info.basic video.list' })
  t.equal(grant.profile?.userId, tiktok.knobs.signedInAs)
  t.equal((await provider.profile(grant.accessToken)).username, tiktok.knobs.displayName)
  t.ok(tiktok.isAlive(grant.refreshToken?.reveal() ?? ''))
  t.match((await refused(t, refresh(first), first)).kind, 'reconnect')
  t.strictSame(tiktok.wrong, { overlaps: 0, usesOfDead: 1, secretsInUrl: 0 })
  t.match(provider, { renewal: 'rotating', timeoutMs: 10_000 })
  t.equal(createTikTok({ apiUrl: '', webUrl: '', app: null, scopes: [] }, { fetch }).timeoutMs, 30_000)
  for (const scopes of [null, 'user.info.basic']) t.notOk(provider.isPublicSafe(scopes), 'never into a page by default')
})

t.test('an answer with a new refresh token counts, whatever else is wrong with it', async (t) => {
  for (const [knobs, wanted] of [
    [{ expiresIn: 'string' }, { expiresInSeconds: 7200 }],
    [{ expiresIn: 'absent' }, { expiresInSeconds: null }],
    [{ expiresIn: 'zero' }, { expiresInSeconds: null }],
    [{ expiresIn: 'huge' }, { expiresInSeconds: null }],
    [{ accessSeconds: 5 }, { expiresInSeconds: 5 }],
    [{ openId: 'absent' }, { profile: undefined }],
    [{ openId: 'other' }, { profile: { userId: 'another-user' } }],
    [{ accessToken: 'absent' }, { accessToken: new Secret('act.present') }],
  ] as [Partial<Knobs>, object][]) {
    const { tiktok, refresh } = await setUp(t, { knobs })
    const grant = await refresh(tiktok.issue().refresh, 'act.present')
    t.match(grant, wanted, JSON.stringify(knobs))
    t.ok(tiktok.isAlive(grant.refreshToken?.reveal() ?? ''), 'and the refresh token of the answer lives')
  }
  const { tiktok, refresh } = await setUp(t, { knobs: { refreshToken: 'absent', rotation: 'lenient' } })
  t.equal((await refresh(tiktok.issue().refresh)).refreshToken, null, 'an answer without one leaves the one in hand')
})

const REFRESH: readonly [error: string, kind: string, says: RegExp, description?: string][] = [
  ['invalid_grant', 'reconnect', /no longer accepts the refresh token.*connect the account again/],
  ['invalid_client', 'misconfigured', /does not know the client key and secret.*a sandbox has a key and a secret of its own/],
  ['unauthorized_client', 'misconfigured', /does not know the client key and secret/],
  ['invalid_scope', 'misconfigured', /add the scope to the app/],
  ['scope_not_authorized', 'misconfigured', /add the scope to the app/],
  ['server_error', 'transient', /trouble of its own/],
  ['temporarily_unavailable', 'transient', /trouble of its own/],
  ['internal_error', 'transient', /trouble of its own/],
  ['rate_limit_exceeded', 'throttled', /rate limit/],
  ['invalid_request', 'transient', /asks again in about ten minutes/, 'The request parameters are malformed.'],
  ['invalid_request', 'misconfigured', /client key and secret/, 'client_key is not valid'],
  ['never_heard_of', 'transient', /asks again in about ten minutes/],
]

t.test('each error of a refresh is one sentence, whatever its status; TikTok’s own words are not passed on', async (t) => {
  const { tiktok, refresh } = await setUp(t)
  const { refresh: token } = tiktok.issue()
  for (const [error, kind, says, description = `words of TikTok about ${token}`] of REFRESH) {
    for (const status of [200, 400, 401, 500]) {
      // An unknown error with a status of 500 is trouble.
      if (status === 500 && kind === 'transient') continue
      tiktok.fail('refresh', refusal(error, description, status), 1)
      const found = await refused(t, refresh(token), token)
      const { kind: own, message } = found.doubt === null ? found : { kind: 'transient', message: found.doubt.atFirst }
      t.equal(own, kind, `${error} with ${status}`)
      t.match(message, says)
      t.notMatch(found.message, /words of TikTok/)
      t.notOk(found.isAnswerLost, 'TikTok has answered')
    }
  }
  tiktok.fail('refresh', { kind: 'answer', status: 429, headers: { 'retry-after': '120' }, body: '' }, 1)
  t.match(await refused(t, refresh(token), token), { kind: 'throttled', retryAfterSeconds: 120, concernsAll: true })
  t.ok(tiktok.isAlive(token), 'none of them spent the token')
})

t.test('faults on the wire are no refusals, and may hide an answer', async (t) => {
  const { tiktok, refresh, app } = await setUp(t, { timeoutMs: 300 })
  for (const fault of [
    'html502',
    'html200',
    'empty500',
    'empty200',
    'object',
    'list',
    'null',
    'hang',
    'reset',
    'lost',
    'truncated',
    'cut',
    'tenMegabytes',
    'redirect',
  ] satisfies FaultName[]) {
    tiktok.fail('refresh', fault, 1)
    const { refresh: token } = tiktok.issue()
    t.match(await refused(t, refresh(token), token), { kind: 'transient', isAnswerLost: true, message: /the token is kept/ }, fault)
  }
  const { refresh: token } = tiktok.issue()
  const nowhere = createTikTok({ apiUrl: `http://127.0.0.1:${await freePort()}`, webUrl: '', app, scopes: [] }, { fetch })
  const call = nowhere.refresh({ accessToken: null, refreshToken: new Secret(token), userId: null })
  t.match(await refused(t, call, token), { kind: 'transient', isAnswerLost: false }, 'nothing was sent')
})

t.test('the way through TikTok’s page: key, scopes, challenge in hexadecimal, and no secret', async (t) => {
  const { connect, exchange, tiktok } = await setUp(t)
  const { searchParams } = connect.authorizeUrl({ state: 'a-state', redirectUri, verifier })
  t.strictSame(Object.fromEntries(searchParams), {
    client_key: APP.key,
    scope: 'user.info.basic,video.publish',
    response_type: 'code',
    redirect_uri: redirectUri,
    state: 'a-state',
    code_challenge: createHash('sha256').update(verifier).digest('hex'),
    code_challenge_method: 'S256',
  })
  const grant = await exchange()
  t.match(grant, { scopes: 'user.info.basic video.publish', profile: { userId: tiktok.knobs.signedInAs } })
  t.match(await connect.identify(grant.accessToken), { username: tiktok.knobs.displayName })
  await connect.revoke(grant)
  t.notOk(tiktok.isAlive(grant.refreshToken?.reveal() ?? ''))
  t.equal(tiktok.wrong.secretsInUrl, 0)
})

t.test('both spellings of the challenge work where TikTok takes them', async (t) => {
  for (const challenge of ['hex', 'base64url'] as const) {
    const { approve, exchange } = await setUp(t, { knobs: { challenge } })
    t.ok((await exchange(approve(challenge))).refreshToken)
    const other = challenge === 'hex' ? 'base64url' : 'hex'
    const error = await exchange(approve(other)).catch((one: unknown) => one)
    t.match(error, { isChallengeRefused: true, happened: /challenge/ })
  }
})

const CONNECT: readonly [name: string, knobs: Partial<Knobs>, says: RegExp, fault?: Parameters<typeof refusal>][] = [
  [
    'a permission is switched off',
    { switchedOff: ['video.publish'] },
    /did not give the permission video\.publish.*leave every permission/,
  ],
  ['the same, and no scopes in the callback', { switchedOff: ['video.publish'], scopesParameter: 'absent' }, /did not give the permission/],
  ['no refresh token', { refreshToken: 'absent' }, /gave no refresh token/],
  ['no access token', { accessToken: 'absent' }, /did not answer/],
  ['an old code', { codeLifetimeSeconds: 0 }, /used already, or is too old/],
  [
    'a wrong redirect',
    {},
    /redirect URI.*Login Kit/,
    ['invalid_request', 'Redirect_uri is not matched with the uri when requesting code.'],
  ],
  ['wrong credentials', {}, /client key and secret.*a sandbox has its own/, ['invalid_client']],
  ['a missing scope of the app', {}, /Add every scope of TIKTOK_SCOPES/, ['scope_not_authorized']],
  ['trouble', {}, /did not answer/, ['server_error']],
  ['a malformed request', {}, /cannot read the agent’s request/, ['invalid_request', 'The request parameters are malformed.']],
  ['an error with 200', {}, /used already/, ['invalid_grant', 'words', 200]],
  ['an unknown one', {}, /no reason that the agent knows/, ['never_heard_of']],
]

t.test('each refusal on the way says what happened and what to do', async (t) => {
  for (const [name, knobs, says, fault] of CONNECT) {
    const { tiktok, exchange } = await setUp(t, { knobs })
    if (fault !== undefined) tiktok.fail('exchange', refusal(...fault), 1)
    const error = await exchange().catch((one: unknown) => one)
    t.ok(error instanceof ConnectError, name)
    t.match((error as ConnectError).message, says, name)
    t.notMatch((error as ConnectError).message, /words/)
  }
})

t.test('a web app has an https address, and a desktop app this computer’s', async (t) => {
  for (const [kind, right, wrong, says] of [
    ['web', redirectUri, 'http://127.0.0.1:3000/connect/tiktok/callback', /https:\/\/ alone.*TIKTOK_APP_KIND/],
    ['desktop', 'http://127.0.0.1:4711/callback/', redirectUri, /own computer alone.*TIKTOK_REFRESH_TOKEN/],
  ] as const) {
    const { connect } = await setUp(t, { knobs: { kind } })
    t.ok(connect.authorizeUrl({ state: 's', verifier, redirectUri: right }))
    t.throws(() => connect.authorizeUrl({ state: 's', verifier, redirectUri: wrong }), { message: says })
  }
})

t.test('who posts by the token is told its limits, which are never a condition', async (t) => {
  const { tiktok, connect } = await setUp(t)
  const scopes = 'user.info.basic video.publish'
  const notes = async () => (await connect.notes(new Secret(tiktok.issue({ scopes: scopes.split(' ') }).access), scopes)).join(' ')
  t.match(await notes(), /may be for: everyone, friends, the account alone\. .*five users.* sandbox/s)
  t.strictSame(await connect.notes(new Secret('x'), 'user.info.basic'), [], 'nothing without the right to post')
  for (const [code, says] of [
    ['reached_active_user_cap', /daily limit of users/],
    ['spam_risk_too_many_posts', /takes the last posts for spam/],
    ['spam_risk_user_banned_from_posting', /spam/],
    ['scope_not_authorized', /add video\.publish to the app/],
    ['rate_limit_exceeded', /asked too often/],
    ['never_heard_of', /does not say at the moment/],
  ] as const) {
    tiktok.fail('creator', apiRefusal(code), 1)
    t.match(await notes(), says)
  }
  for (const fault of ['html502', 'reset', 'object'] satisfies FaultName[]) {
    tiktok.fail('creator', fault, 1)
    t.match(await notes(), /does not say at the moment.*five users/s, fault)
  }
})

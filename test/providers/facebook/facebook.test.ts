import t, { type Test } from 'tap'
import { ConnectError } from '../../../src/core/errors.ts'
import { Secret } from '../../../src/core/secret.ts'
import { createFacebook } from '../../../src/providers/facebook/facebook.ts'
import { facebook } from '../../../src/providers/facebook/module.ts'
import { FACEBOOK_APP, type FacebookKnobs, startFacebook } from '../../support/facebook.ts'
import type { FaultName } from '../../support/instagram-faults.ts'
import { CANARY, refused } from '../refused.ts'

const DAY = 86_400
const DAY_MS = DAY * 1000
const REDIRECT = 'https://agent.example/connect/facebook/callback'
const SCOPES = ['instagram_basic', 'pages_show_list', 'pages_read_engagement', 'business_management']
const secret = (text: string) => new Secret(text)

async function setUp(t: Test, knobs: Partial<FacebookKnobs> = {}, change: { objectId?: string; configId?: string } = {}) {
  const meta = await startFacebook({ knobs })
  t.teardown(() => meta.close())
  meta.redirectUris.push(REDIRECT)
  const config = {
    graphUrl: meta.url,
    webUrl: meta.url,
    version: 'v26.0',
    app: { id: FACEBOOK_APP.id, secret: secret(FACEBOOK_APP.secret) },
    scopes: SCOPES,
    configId: null,
    objectId: null,
    ...change,
  }
  const provider = createFacebook(config, { fetch: globalThis.fetch, now: Date.now })
  const { connect } = provider
  if (connect?.choice === undefined) throw new Error('accounts can be connected')
  const refresh = (token: string, userId: string | null = null, account = 'facebook') =>
    provider.refresh({ accessToken: null, refreshToken: secret(token), userId, account })
  const login = async () => {
    const { headers } = await fetch(connect.authorizeUrl({ state: 's', redirectUri: REDIRECT, verifier: '' }), { redirect: 'manual' })
    const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
    return connect.exchangeCode(code, { redirectUri: REDIRECT, verifier: '' })
  }
  return { meta, provider, connect, choice: connect.choice, refresh, login }
}

async function declined(t: Test, call: Promise<unknown>): Promise<ConnectError> {
  const error = await call.then(
    () => t.fail('the call should have failed'),
    (error: unknown) => error,
  )
  if (!(error instanceof ConnectError)) throw new Error('Not a ConnectError', { cause: error })
  t.notMatch(error.message, /https?:|EAA|a-secret/)
  return error
}

t.test('a refresh derives the Page’s token, and exchanges the user’s only in the second half of its life', async (t) => {
  const { meta, refresh } = await setUp(t)
  const user = meta.issue()
  const first = await refresh(user)
  t.equal(first.refreshToken?.reveal(), user)
  t.match(meta.tokens.get(first.accessToken.reveal()), { kind: 'page' })
  const { id, username } = meta.instagramOf(meta.knobs.signedInAs, 0)
  t.match(first, {
    expiresInSeconds: null,
    neverExpires: true,
    profile: { userId: id, username, appUserId: meta.knobs.signedInAs },
    scopes: [...SCOPES].sort().join(' '),
  })
  t.ok(Math.abs((first.refreshExpiresInSeconds ?? 0) - 60 * DAY) < 60)
  t.ok(Math.abs((first.reconnectInSeconds ?? 0) - 90 * DAY) < 60)
  meta.advance(31 * DAY_MS)
  const second = await refresh(user, id)
  t.not(second.refreshToken?.reveal(), user)
  t.ok(Math.abs((second.refreshExpiresInSeconds ?? 0) - 60 * DAY) < 60, 'counted from the exchange')
  t.ok(Math.abs((second.reconnectInSeconds ?? 0) - 59 * DAY) < 60, 'an exchange does not move the approval')
})

t.test('an exchange that does not move the date changes nothing, and is no error', async (t) => {
  for (const reexchange of ['keeps the date', 'same string', 'ends earlier', 'busy', 'refused'] as const) {
    for (const expiresIn of ['present', 'absent'] as const) {
      const { meta, refresh } = await setUp(t, { reexchange, expiresIn })
      const user = meta.issue()
      meta.advance(40 * DAY_MS)
      const grant = await refresh(user)
      t.ok(Math.abs((grant.refreshExpiresInSeconds ?? 0) - 20 * DAY) < 60, `${reexchange}, expires_in ${expiresIn}`)
      t.ok(meta.calls.length <= 4, 'it asks once')
      if (reexchange !== 'keeps the date') t.equal(grant.refreshToken?.reveal(), user, 'the present token stays')
    }
  }
})

t.test('tokens of system users never end, and are never exchanged', async (t) => {
  const { meta, refresh } = await setUp(t, { configuration: 'system', dataAccessSeconds: null })
  const grant = await refresh(meta.issue())
  t.equal(grant.refreshExpiresInSeconds, null)
  t.notOk('reconnectInSeconds' in grant)
  t.notOk(meta.calls.some(({ path }) => path === '/oauth/access_token'))
})

t.test('the account is found among all lists, by the Page’s id or the Instagram account’s', async (t) => {
  for (const pages of [1, 30, 120]) {
    const { meta, refresh } = await setUp(t, { pages })
    const user = meta.issue()
    const { id } = meta.instagramOf(meta.knobs.signedInAs, pages - 1)
    t.match(await refresh(user, id), { profile: { userId: id } }, `the last of ${pages}`)
  }
  const { meta, refresh } = await setUp(t, { pages: 3 }, { objectId: '1040000017001' })
  t.match(await refresh(meta.issue()), { profile: { username: 'shop.2' } }, 'FACEBOOK_OBJECT_ID may be a Page')
  const error = await refused(t, refresh(meta.issue(), null, 'another'))
  t.match(error.message, /leads to 3 Instagram accounts: connect the account in the browser/, 'it is for the environment’s token alone')
  const { id } = meta.instagramOf(meta.knobs.signedInAs, 2)
  t.match(await refresh(meta.issue(), id), { profile: { userId: id } }, 'an account that has its user stays with it')
})

t.test('Meta’s silence on a missing permission or an ended approval is put into words', async (t) => {
  const { meta, refresh } = await setUp(t)
  const lacking = meta.issue({ scopes: ['instagram_basic'] })
  const { id } = meta.instagramOf(meta.knobs.signedInAs, 0)
  t.match(await refused(t, refresh(lacking, id)), { kind: 'misconfigured', message: /lacks pages_show_list: add this permission/ })
  const user = meta.issue({ expiresAt: null })
  meta.advance(91 * DAY_MS)
  const ended = await refused(t, refresh(user, id))
  t.match(ended, { kind: 'reconnect', message: /approval of the Facebook user has ended.*user token of Facebook/ })
})

t.test('0 and 30 Pages without a number are refused with what to do', async (t) => {
  const cases: [Partial<FacebookKnobs>, RegExp][] = [
    [{ pages: 0 }, /no Page with an Instagram account.*business_management/],
    [{ pages: 0, portfolioPages: 0, linked: 'none' }, /no Page/],
    [{ linked: 'none' }, /no Page with an Instagram account/],
    [{ tasks: 'none' }, /no Page with an Instagram account/],
    [{ pages: 30 }, /leads to 30 Instagram accounts: .*set FACEBOOK_OBJECT_ID.*Bäckerei “Nr\. 1”.*\(17841000017000\).*and 20 more/],
  ]
  for (const [knobs, says] of cases) {
    const { meta, refresh } = await setUp(t, knobs)
    const error = await refused(t, refresh(meta.issue()))
    t.equal(error.kind, 'misconfigured')
    t.match(error.message, says)
  }
  const { meta, refresh } = await setUp(t, { pages: 0, portfolioPages: 1 })
  t.match(await refresh(meta.issue()), { profile: { username: 'shop.1' } }, 'a portfolio’s Page is listed with business_management')
  const other = await setUp(t, { linked: 'none' })
  const error = await refused(t, other.refresh(other.meta.issue(), other.meta.instagramOf(other.meta.knobs.signedInAs, 0).id))
  t.match([error.kind, error.message], ['reconnect', /no longer lists/])
})

t.test('each refusal has its kind and its sentence', async (t) => {
  const { meta, refresh, provider } = await setUp(t)
  const user = meta.issue()
  const kinds: [FaultName, string, RegExp][] = [
    ['passwordChanged', 'reconnect', /password of the Facebook account was changed.*user token of Facebook/],
    ['appRemoved', 'reconnect', /app was removed/],
    ['expired', 'reconnect', /has expired/],
    ['checkpoint', 'reconnect', /log in at facebook\.com/],
    ['appLimit', 'throttled', /rate limit/],
    ['businessLimit', 'throttled', /rate limit/],
    ['serviceTrouble', 'transient', /trouble/],
    ['noPermission', 'misconfigured', /lacks a permission/],
    ['wrongApp', 'misconfigured', /App settings/],
    ['wrongSecret', 'misconfigured', /App settings/],
    ['unsupported', 'misconfigured', /Check three things/],
    ['html502', 'transient', /HTTP 502/],
    ['reset', 'transient', /could not be reached/],
    ['truncated', 'transient', /answer/],
    ['wrongTypes', 'transient', /answer/],
    ['list', 'transient', /answer/],
    ['tenMegabytes', 'transient', /256 KB/],
  ]
  for (const path of ['/debug_token', '/me/accounts']) {
    for (const [fault, kind, says] of kinds) {
      meta.fail(path, fault, 1)
      const error = await refused(t, refresh(user), user)
      t.match([error.kind, error.message], [kind, says], `${fault} of ${path}`)
    }
  }
  for (const subcode of [458, 460, 463]) {
    const held = meta.issue({ userId: String(subcode).repeat(4) })
    meta.end(String(subcode).repeat(4), subcode)
    t.equal((await refused(t, refresh(held), held)).kind, 'reconnect', 'as debug_token says it')
  }
  await refused(t, refresh(CANARY))
  await refused(t, provider.profile(secret(CANARY)))
})

t.test('a description of the token that is not true is not believed', async (t) => {
  const { meta, refresh } = await setUp(t)
  const user = meta.issue()
  const truth = { app_id: FACEBOOK_APP.id, is_valid: true, expires_at: 0, issued_at: 1, scopes: [], user_id: '17' }
  for (const [debugData, kind] of [
    ['null', 'transient'],
    ['[]', 'transient'],
    ['{}', 'reconnect'],
    [JSON.stringify({ ...truth, is_valid: 'true' }), 'reconnect'],
    [JSON.stringify({ ...truth, app_id: '1' }), 'misconfigured'],
    [JSON.stringify({ ...truth, user_id: '' }), 'transient'],
    [JSON.stringify({ ...truth, is_valid: false, error: 'no' }), 'reconnect'],
  ] as const) {
    meta.knobs.debugData = debugData
    t.equal((await refused(t, refresh(user), user)).kind, kind, debugData)
  }
  Object.assign(meta.knobs, { debugData: null, debugAppIdAs: 'number' })
  t.ok(await refresh(user))
})

t.test('the proof of the app’s secret goes with each call of a token', async (t) => {
  const { meta, refresh, provider } = await setUp(t)
  const { accessToken } = await refresh(meta.issue())
  t.match(await provider.profile(accessToken), { username: 'shop.1' })
  for (const { params } of meta.calls.filter(({ path }) => path.startsWith('/me'))) t.match(params['appsecret_proof'], /^[0-9a-f]{64}$/)
})

t.test('a login leads to a long-lived user token, and the choice to a Page’s', async (t) => {
  const { meta, choice, login } = await setUp(t, { pages: 30, pageSize: 7 })
  const grant = await login()
  t.match(meta.tokens.get(grant.refreshToken?.reveal() ?? ''), { kind: 'long' })
  const choices = await choice.list(grant)
  t.equal(choices.length, 30)
  t.match(choices[29], { username: 'shop.30', detail: 'Page Bäckerei “Nr. 30” <b>& Söhne</b>' })
  const taken = await choice.take(grant, choices[29]?.id ?? '')
  t.match(meta.tokens.get(taken.accessToken.reveal()), { kind: 'page' })
  t.match(taken.profile, { userId: choices[29]?.id, appUserId: meta.knobs.signedInAs })
  t.match((await declined(t, choice.take(grant, '17841999'))).message, /does not list this account any more/)
})

t.test('a login that cannot work ends with a sentence', async (t) => {
  const { meta, connect, choice, login } = await setUp(t, { declined: ['pages_show_list'] })
  t.match((await declined(t, login())).happened, /did not give the permission pages_show_list/)
  meta.knobs.declined = []
  const exchange = (code: string, redirectUri = REDIRECT) => connect.exchangeCode(code, { redirectUri, verifier: '' })
  t.match((await declined(t, exchange('AQmade-up'))).happened, /used already, or is too old/)
  for (const [fault, says] of [
    ['wrongSecret', /does not know this agent’s app ID and secret/],
    ['wrongApp', /does not know this agent’s app ID and secret/],
    ['appLimit', /rate limit/],
    ['html502', /did not answer/],
  ] as const) {
    meta.fail('/oauth/access_token', fault, 1)
    t.match((await declined(t, login())).happened, says)
  }
  const { headers } = await fetch(connect.authorizeUrl({ state: 's', redirectUri: REDIRECT, verifier: '' }), { redirect: 'manual' })
  const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
  t.match(await declined(t, exchange(code, `${REDIRECT}/`)), { wantsRedirectUri: true })
  await exchange(code)
  t.match((await declined(t, exchange(code))).happened, /used already/)
  const none = await setUp(t, { pages: 0 })
  t.match((await declined(t, none.choice.list(await none.login()))).happened, /no Page with an Instagram account/)
  t.ok(choice)
})

t.test('a configuration of Facebook Login for Business stands in for the scopes', async (t) => {
  const { meta, connect, login } = await setUp(t, { configuration: 'system' }, { configId: FACEBOOK_APP.configId })
  const url = connect.authorizeUrl({ state: 's', redirectUri: REDIRECT, verifier: '' })
  t.match([url.searchParams.get('config_id'), url.searchParams.get('scope')], [FACEBOOK_APP.configId, null])
  t.match(await login(), { refreshExpiresInSeconds: null })
  t.ok(meta.calls.length > 0)
})

t.test('each setting that is wrong is named', (t) => {
  const read = (env: Record<string, string>, today = '2026-11-26') => {
    const [problems, warnings]: [string[], string[]] = [[], []]
    facebook.read({
      text: (name) => env[name] ?? null,
      list: (name) => env[name]?.split(' ') ?? [],
      origin: (_, fallback) => fallback,
      problem: (text) => void problems.push(text),
      warn: (text) => void warnings.push(text),
      now: Date.parse(today),
    })
    return { problems, warnings }
  }
  const app = { FACEBOOK_APP_ID: FACEBOOK_APP.id, FACEBOOK_APP_SECRET: FACEBOOK_APP.secret }
  t.same(read(app), { problems: [], warnings: [] })
  for (const [env, says] of [
    [{ FACEBOOK_APP_ID: '1' }, /FACEBOOK_APP_SECRET: is missing/],
    [{ FACEBOOK_APP_SECRET: 'x'.repeat(32) }, /FACEBOOK_APP_ID: is missing/],
    [{ ...app, FACEBOOK_APP_ID: 'shop' }, /FACEBOOK_APP_ID: is a number/],
    [{ ...app, FACEBOOK_CONFIG_ID: 'mine' }, /FACEBOOK_CONFIG_ID: is not the number/],
    [{ ...app, FACEBOOK_OBJECT_ID: '@shop' }, /FACEBOOK_OBJECT_ID: is not the number/],
    [{ ...app, FACEBOOK_GRAPH_VERSION: '26' }, /FACEBOOK_GRAPH_VERSION: is not a version/],
    [{ ...app, FACEBOOK_SCOPES: 'pages_show_list' }, /leaves out instagram_basic/],
  ] as const)
    t.match(read(env).problems, [says])
  t.match(read({ ...app, FACEBOOK_GRAPH_VERSION: 'v21.0' }).warnings, [
    /Meta ends v21\.0 on 2027-01-21: set FACEBOOK_GRAPH_VERSION to v26\.0/,
  ])
  t.match(read({ ...app, FACEBOOK_GRAPH_VERSION: 'v21.0' }, '2027-02-01').warnings, [/Meta has ended v21\.0/])
  t.match(read({ ...app, FACEBOOK_GRAPH_VERSION: 'v9.0' }).warnings, [/Meta has ended v9\.0/])
  t.same(read({ ...app, FACEBOOK_GRAPH_VERSION: 'v25.0' }).warnings, [])
  t.end()
})

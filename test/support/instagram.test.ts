import type { Test } from 'tap'
import t from 'tap'
import { META_APP_ID, SERVICES } from './graph-services.ts'
import type { InstagramOptions } from './instagram.ts'
import { startInstagram, startThreads } from './instagram.ts'
import { spawnInstagram } from './instagram-server.ts'

const DAY_MS = 86_400_000
const CALLBACK = 'https://agent.example/connect/instagram/callback'

async function setUp(t: Test, options: InstagramOptions = {}) {
  const instagram = await startInstagram(options)
  t.teardown(() => instagram.close())
  const ask = async (path: string, params: Record<string, string> | [string, string][] = {}, init: RequestInit = {}) => {
    const response = await fetch(`${instagram.url}${path}?${new URLSearchParams(params)}`, { redirect: 'manual', ...init })
    const text = await response.text()
    const body = text.startsWith('{') ? JSON.parse(text) : {}
    return { status: response.status, headers: response.headers, text, body, error: body.error ?? {} }
  }
  const refresh = (token: string) => ask('/refresh_access_token', { grant_type: 'ig_refresh_token', access_token: token })
  const [app] = instagram.apps
  if (app === undefined) throw new Error('the stand-in has no app')
  const asked = { client_id: app.clientId, redirect_uri: CALLBACK, response_type: 'code', scope: 'instagram_business_basic', state: 's/1' }
  const authorize = async (params: Record<string, string> = {}) => {
    const { status, headers, text } = await ask('/oauth/authorize', { ...asked, ...params })
    return { status, text, target: status === 302 ? new URL(headers.get('location') ?? '') : null }
  }
  const fields = { client_id: app.clientId, client_secret: app.clientSecret, grant_type: 'authorization_code', redirect_uri: CALLBACK }
  const exchangeCode = (given: Record<string, string>, Body: typeof FormData | typeof URLSearchParams = FormData) => {
    const body = new Body()
    for (const [name, value] of Object.entries({ ...fields, ...given })) body.append(name, value)
    return ask('/oauth/access_token', {}, { method: 'POST', body })
  }
  const code = async () => (await authorize()).target?.searchParams.get('code') ?? ''
  return { instagram, app, asked, ask, refresh, authorize, exchangeCode, code }
}

t.test('a refresh gives sixty more days, and the knob decides whether the old string still works', async (t) => {
  for (const oldString of ['valid', 'invalid'] as const) {
    const { instagram, refresh } = await setUp(t, { knobs: { oldString } })
    const token = instagram.issue()
    const { body } = await refresh(token)
    t.match(body, { access_token: /^IGAA/, token_type: 'bearer', expires_in: 5_183_944 })
    t.not(body.access_token, token)
    t.equal(instagram.issued.get(token)?.replacedBy, body.access_token)
    const again = await refresh(token)
    if (oldString === 'valid') t.equal(again.status, 200)
    else t.match(again, { status: 400, error: { code: 190, error_subcode: 467 } })
  }
})

t.test('as Threads it speaks its own names: paths, grant types, fields, error type, and no scopes with a token', async (t) => {
  const threads = await startThreads({ knobs: { signedInAs: '17841400379535405' } })
  t.teardown(() => threads.close())
  const ask = async (path: string, params: Record<string, string>, init: RequestInit = {}) => {
    const response = await fetch(`${threads.url}${path}?${new URLSearchParams(params)}`, { redirect: 'manual', ...init })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  const access_token = threads.issue({ userId: '17841400379535405' })
  t.match(access_token, /^THAA/)
  t.match(await ask('/v1.0/me', { fields: 'username', access_token }), {
    text: '{"id":17841400379535405,"username":"user.17841400379535405"}',
  })
  for (const [path, params] of [
    ['/me', {}],
    ['/me/media', {}],
    ['/v1.0/me', { fields: 'user_id' }],
  ] as const)
    t.match(await ask(path, { access_token, ...params }), { status: 400, text: /"type":"THApiException"/ }, path)
  t.match(await ask('/refresh_access_token', { grant_type: 'ig_refresh_token', access_token }), { status: 400, text: /th_refresh_token/ })
  t.match(await ask('/refresh_access_token', { grant_type: 'th_refresh_token', access_token }), { status: 200 })
  t.match(await ask('/me/permissions', { access_token }, { method: 'DELETE' }), { status: 400 })
  const { clientId: client_id, clientSecret: client_secret } = SERVICES.threads.app
  const redirect_uri = SERVICES.threads.app.redirectUri
  const asked = { client_id, redirect_uri, response_type: 'code', scope: 'threads_basic' }
  t.match(await ask('/oauth/authorize', { ...asked, client_id: META_APP_ID }), { status: 400, text: /4476002/ })
  t.match(await ask('/oauth/authorize', { ...asked, scope: 'instagram_business_basic' }), { status: 400, text: /Invalid scope/ })
  const { headers } = await ask('/oauth/authorize', asked)
  const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
  const form = { client_id, client_secret, grant_type: 'authorization_code', redirect_uri, code }
  const body = new FormData()
  for (const [name, value] of Object.entries(form)) body.append(name, value)
  t.match(await ask('/oauth/access_token', {}, { method: 'POST', body }), {
    text: /^\{"access_token":"THAA[^"]+","user_id":17841400379535405\}$/,
  })
})

t.test('a profile names its picture, which is served only to its complete signed address, without a token', async (t) => {
  const { instagram, ask } = await setUp(t)
  const token = instagram.issue({ userId: '17841400000000001' })
  const named = async (): Promise<string | undefined> =>
    (await ask('/me', { fields: 'profile_picture_url', access_token: token })).body.profile_picture_url
  const url = new URL((await named()) ?? '')
  const params = Object.fromEntries(url.searchParams)
  t.equal((await ask('/me', { fields: 'username', access_token: token })).body.profile_picture_url, undefined, 'only on request')
  t.match(await ask(url.pathname, params), { status: 200, text: /^.PNG/ })
  t.match(await ask(url.pathname, { ...params, access_token: token }), { status: 400 })
  t.match(await ask(url.pathname, { ...params, user: '17841400000000003' }), { status: 400 })
  t.match(await ask(url.pathname, params, { headers: { authorization: `Bearer ${token}` } }), { status: 400 })
  instagram.knobs.pictureUrl = 'absent'
  t.equal(await named(), undefined)
  instagram.knobs.pictureUrl = 'https://evil.example/'
  t.equal(await named(), 'https://evil.example/')
})

t.test('a refresh that returns the same string extends its expiry', async (t) => {
  const { instagram, refresh } = await setUp(t, { knobs: { refreshedString: 'same' } })
  const token = instagram.issue({ ageSeconds: 50 * 86_400 })
  t.equal((await refresh(token)).body.access_token, token)
  instagram.clock.advance(55 * DAY_MS)
  t.equal((await refresh(token)).status, 200)
  instagram.clock.advance(61 * DAY_MS)
  t.match(await refresh(token), { status: 400, error: { code: 190, error_subcode: 463 } })
})

t.test('tokens that are young, short-lived, foreign, revoked or unknown are not refreshed', async (t) => {
  const { instagram, refresh } = await setUp(t)
  const young = instagram.issue({ ageSeconds: 86_000 })
  t.match(await refresh(young), { status: 400, error: { code: 100, type: 'IGApiException' } })
  instagram.knobs.tooYoungCode = 10
  t.match((await refresh(young)).error, { code: 10 })
  instagram.clock.advance(401_000)
  t.equal((await refresh(young)).status, 200)

  t.match((await refresh(instagram.issue({ life: 'short', ageSeconds: 60 }))).error, { code: 100 })
  t.match((await refresh(instagram.issue({ family: 'basic_display' }))).error, { code: 100 })
  t.match((await refresh(instagram.issue({ family: 'facebook' }))).error, { code: 100 })
  t.match((await refresh(instagram.issue({ accountType: 'personal' }))).error, { code: 100 })
  t.match((await refresh(instagram.issue({ permissions: [] }))).error, { code: 10 })
  t.match((await refresh('IGAAnever')).error, { code: 190 })
  const revoked = instagram.issue()
  instagram.revoke(revoked)
  t.match((await refresh(revoked)).error, { code: 190, error_subcode: 458 })
})

t.test('missing, doubled, unknown parameters, unknown paths and other methods are refused in the Graph’s shape', async (t) => {
  const { instagram, ask } = await setUp(t)
  const access_token = instagram.issue()
  const good = { grant_type: 'ig_refresh_token', access_token }
  for (const [path, params, init] of [
    ['/refresh_access_token', { access_token }],
    ['/refresh_access_token', { grant_type: 'ig_refresh_token' }],
    ['/refresh_access_token', { ...good, grant_type: 'refresh_token' }],
    ['/refresh_access_token', { ...good, client_secret: 'a' }],
    ['/refresh_access_token', [...Object.entries(good), ['access_token', access_token]]],
    ['/refresh_access_token', good, { method: 'POST' }],
    ['/refresh_access_token/', good],
    ['/me', { access_token, fields: 'user_id,password' }],
    ['/me', {}],
    ['/me/media', { access_token, limit: '0' }],
    ['/me/media', { access_token, fields: 'nothing' }],
    ['/', {}],
  ] as [string, Record<string, string> | [string, string][], RequestInit?][]) {
    const { status, error } = await ask(path, params, init)
    t.match({ status, error }, { status: 400, error: { message: String, type: String, code: Number, fbtrace_id: String } }, path)
  }
})

t.test('a user id beyond 2^53 is a bare number on the wire, and the profile has only what was asked for', async (t) => {
  const { instagram, ask } = await setUp(t, { knobs: { profileShape: 'data' } })
  const access_token = instagram.issue({ userId: '17841400379535405', username: 'someone' })
  const { text } = await ask('/me', { access_token, fields: 'user_id,username' })
  t.match(text, /^\{"data":\[\{"id":"\d+","user_id":17841400379535405,"username":"someone"\}\]\}$/)
})

t.test('media come in pages, whose next address holds the token', async (t) => {
  const { instagram, ask } = await setUp(t, { knobs: { mediaCount: 30 } })
  const access_token = instagram.issue()
  const first = (await ask('/me/media', { access_token, fields: 'id,media_url,timestamp', limit: '20' })).body
  t.equal(first.data.length, 20)
  t.match(first.paging.next, access_token)
  const { body: second } = await ask('/me/media', Object.fromEntries(new URL(first.paging.next).searchParams))
  t.equal(second.data.length, 10)
  t.notOk('next' in second.paging)
})

t.test('approving leads from a code to a short token to a long one; each step works once', async (t) => {
  const { instagram, app, ask, authorize, exchangeCode } = await setUp(t)
  const { target } = await authorize()
  t.match(target?.href, /^https:\/\/agent\.example\/connect\/instagram\/callback\?code=.+&state=s%2F1#_$/)
  const code = target?.searchParams.get('code') ?? ''
  const short = await exchangeCode({ code })
  t.match(short.text, /^\{"access_token":"IGAA[^"]+","user_id":\d{17},"permissions":\["instagram_business_basic"\]\}$/)
  t.match((await exchangeCode({ code })).body, { error_type: 'OAuthException', code: 400, error_message: /already used/ })

  const swap = { grant_type: 'ig_exchange_token', client_secret: app.clientSecret, access_token: short.body.access_token }
  t.match((await ask('/access_token', { ...swap, client_secret: 'wrong' })).error, { code: 1, message: /client secret/ })
  const long = await ask('/access_token', swap)
  t.match(long.body, { access_token: /^IGAA/, expires_in: 5_183_944 })
  t.match((await ask('/access_token', { ...swap, access_token: long.body.access_token })).error, { code: 452 })
  instagram.clock.advance(3_600_000)
  t.match((await ask('/me', { access_token: short.body.access_token })).error, { code: 190, error_subcode: 463 })
  t.equal((await ask('/me', { access_token: long.body.access_token })).status, 200)
})

t.test('a code is refused when late, at another address, with a wrong secret, a stray field, or urlencoded by knob', async (t) => {
  const { instagram, exchangeCode, code } = await setUp(t, { knobs: { tokenShape: 'data', permissionsAs: 'string' } })
  t.equal((await exchangeCode({ code: await code(), redirect_uri: `${CALLBACK}/` })).status, 400)
  t.match((await exchangeCode({ code: await code(), client_secret: 'wrong' })).error, { code: 1 })
  t.equal((await exchangeCode({ code: await code(), client_id: '1' })).status, 400)
  t.equal((await exchangeCode({ code: await code(), grant_type: 'code' })).status, 400)
  t.equal((await exchangeCode({ code: await code(), extra: '1' })).status, 400)
  t.match((await exchangeCode({ code: await code() }, URLSearchParams)).body, { data: [{ permissions: 'instagram_business_basic' }] })
  instagram.knobs.urlencoded = 'refused'
  t.equal((await exchangeCode({ code: await code() }, URLSearchParams)).status, 400)
  const late = await code()
  instagram.clock.advance(3_600_000)
  t.match((await exchangeCode({ code: late })).body.error_message, /not found/)
})

t.test('the authorize page refuses what it does not know, denies with or without state, and has two buttons by knob', async (t) => {
  const { instagram, asked, ask, authorize } = await setUp(t)
  for (const wrong of [
    { redirect_uri: 'https://evil.example/' },
    { client_id: '1' },
    { scope: 'business_basic' },
    { response_type: 'token' },
    { pkce: '1' },
  ]) {
    t.equal((await authorize(wrong as Record<string, string>)).status, 400, JSON.stringify(wrong))
  }
  instagram.knobs.consent = 'deny'
  t.match(
    (await authorize()).target?.search,
    /^\?error=access_denied&error_reason=user_denied&error_description=The\+user\+denied\+your\+request&state=s%2F1$/,
  )
  instagram.knobs.denialState = 'without'
  t.notMatch((await authorize()).target?.search, /state/)
  instagram.knobs.consent = 'page'
  t.match((await authorize()).text, /value="approve".*value="deny"/)
  for (const [decision, outcome] of [
    ['approve', /code=/],
    ['deny', /access_denied/],
  ] as const) {
    const { status, headers } = await ask('/oauth/authorize', {}, { method: 'POST', body: new URLSearchParams({ ...asked, decision }) })
    t.match({ status, location: headers.get('location') }, { status: 302, location: outcome })
  }
})

t.test('a tester who has not accepted is refused like a foreign token; revoking permissions ends all tokens', async (t) => {
  const { instagram, app, ask } = await setUp(t)
  const tokens = [instagram.issue({ userId: '11' }), instagram.issue({ userId: '11' }), instagram.issue({ userId: '13' })]
  app.pendingTesters.push('13')
  t.match((await ask('/me', { access_token: tokens[2] ?? '' })).error, { code: 100 })
  app.pendingTesters.pop()
  t.same((await ask('/me/permissions', { access_token: tokens[0] ?? '' }, { method: 'DELETE' })).body, { success: true })
  t.match((await ask('/me', { access_token: tokens[1] ?? '' })).error, { code: 190, error_subcode: 458 })
  t.equal((await ask('/me', { access_token: tokens[2] ?? '' })).status, 200)
})

t.test('faults run one after the other, for the given number of calls, and may strike after the call takes effect', async (t) => {
  const { instagram, refresh } = await setUp(t, { knobs: { oldString: 'invalid' } })
  const token = instagram.issue()
  instagram.fail('/refresh_access_token', 'html502', 2)
  instagram.fail('/refresh_access_token', 'lost', 1)
  t.same([(await refresh(token)).status, (await refresh(token)).status], [502, 502])
  await t.rejects(refresh(token))
  t.ok(instagram.issued.get(token)?.replacedBy, 'rotated without an answer')
  t.match((await refresh(token)).error, { code: 190 })
  t.same(instagram.counts, { '/refresh_access_token': 4 })
  t.match(instagram.calls, [{ status: 502 }, { status: 502 }, { status: null, fault: { kind: 'lost' } }, { status: 400 }])
})

t.test('refreshes of one user that overlap are counted, those of two users are not', async (t) => {
  const { instagram, refresh } = await setUp(t)
  instagram.fail('*', { kind: 'slow', ms: 100 })
  await Promise.all([refresh(instagram.issue()), refresh(instagram.issue())])
  t.same(instagram.overlaps, { maximum: 1, count: 0 })
  const token = instagram.issue()
  await Promise.all([refresh(token), refresh(token), refresh(token)])
  t.same(instagram.overlaps, { maximum: 3, count: 2 })
})

t.test('a knob answers with another user’s token and profile', async (t) => {
  const { instagram, ask, refresh } = await setUp(t)
  const other = instagram.issue({ userId: '13' })
  const token = instagram.issue({ userId: '11' })
  instagram.knobs.profileUser = '13'
  t.match((await ask('/me', { access_token: token, fields: 'user_id' })).body, { user_id: 13 })
  instagram.knobs.refreshUser = '13'
  const got = (await refresh(token)).body.access_token
  t.not(got, other)
  t.equal(instagram.issued.get(got)?.userId, '13')
})

t.test('as a process it accepts the same commands', async (t) => {
  const instagram = await spawnInstagram({ knobs: { refreshedString: 'same' } })
  t.teardown(() => instagram.stop())
  const token = await instagram.issue({ userId: '11' })
  t.equal((await instagram.issueMany([{}, {}, {}])).length, 3)
  const refresh = () => fetch(`${instagram.url}/refresh_access_token?grant_type=ig_refresh_token&access_token=${token}`)
  await instagram.fail('/refresh_access_token', 'html502', 1)
  t.equal((await refresh()).status, 502)
  t.equal((await refresh()).status, 200)
  await instagram.setKnobs({ tooYoungCode: 190 })
  t.match(await (await refresh()).json(), { error: { code: 190 } })
  await instagram.advance(DAY_MS)
  t.equal((await refresh()).status, 200)
  await instagram.revoke(token)
  t.match(await instagram.token(token), { userId: '11', endedBy: 'revoked' })
  t.match(await instagram.state(), { issued: 4, overlaps: { maximum: 1, count: 0 }, counts: { '/refresh_access_token': 4 } })
  t.equal((await instagram.calls()).length, 4)
  t.equal((await instagram.issued(1)).length, 3)
  await t.rejects(instagram.revoke('IGAAnever'), /never issued/)
})

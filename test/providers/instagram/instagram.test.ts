import { createServer } from 'node:http'
import { inspect } from 'node:util'
import fc from 'fast-check'
import type { Test } from 'tap'
import t from 'tap'
import type { ProviderErrorKind } from '../../../src/core/errors.ts'
import { ProviderError } from '../../../src/core/errors.ts'
import { Secret } from '../../../src/core/secret.ts'
import { createInstagram } from '../../../src/providers/instagram/instagram.ts'
import type { InstagramOptions } from '../../support/instagram.ts'
import { startInstagram } from '../../support/instagram.ts'
import type { Fault, FaultName } from '../../support/instagram-faults.ts'
import { FAULTS } from '../../support/instagram-faults.ts'
import { CANARY, refused, WIRE_KINDS } from '../refused.ts'

async function setUp(t: Test, options: InstagramOptions = {}, timeoutMs = 10_000) {
  const instagram = await startInstagram(options)
  t.teardown(() => instagram.close())
  const provider = createInstagram({ graphUrl: instagram.url, timeoutMs })
  const refresh = (token: string) => provider.refresh({ accessToken: new Secret(token), refreshToken: null, userId: null })
  const profile = (token: string) => provider.profile(new Secret(token))
  return { instagram, provider, refresh, profile }
}

t.test('a refresh returns the new token and its lifetime', async (t) => {
  const { instagram, provider, refresh } = await setUp(t)
  const token = instagram.issue()
  const grant = await refresh(token)
  t.not(grant.accessToken.reveal(), token)
  t.ok(instagram.issued.has(grant.accessToken.reveal()))
  t.match(grant, { refreshToken: null, expiresInSeconds: 5_183_944, refreshExpiresInSeconds: null })
  t.match(provider, { minimumAgeSeconds: 86_400, timeoutMs: 10_000 })
})

t.test('a refresh with the same token, or inside data, is accepted too', async (t) => {
  const { instagram, refresh } = await setUp(t, { knobs: { refreshedString: 'same', tokenShape: 'data' } })
  const token = instagram.issue()
  t.equal((await refresh(token)).accessToken.reveal(), token)
})

t.test('a base address may have a path and a trailing slash', async (t) => {
  const asked: string[] = []
  const fetch = async (url: string | URL | Request) => {
    asked.push(new URL(url as URL).pathname)
    return Response.json({ user_id: '5' })
  }
  await createInstagram({ graphUrl: 'https://graph.example/v25.0/', fetch }).profile(new Secret('a'))
  t.same(asked, ['/v25.0/me'])
})

t.test('a token younger than 24 hours is refused, whatever the error, and refreshed a day later', async (t) => {
  for (const [tooYoungCode, kind] of [
    [100, 'misconfigured'],
    [10, 'misconfigured'],
    [190, 'reconnect'],
  ] as const) {
    const { instagram, provider, refresh } = await setUp(t, { knobs: { tooYoungCode } })
    const token = instagram.issue({ ageSeconds: 0 })
    t.equal((await refused(t, refresh(token), token)).kind, kind)
    instagram.clock.advance(provider.minimumAgeSeconds * 1000)
    t.ok((await refresh(token)).accessToken)
  }
})

t.test('ids beyond 2^53 keep each digit, as a number and as text, flat and in data', async (t) => {
  for (const userId of ['17841400379535405', '90071992547409931', '9007199254740993', '7']) {
    for (const userIdAs of ['number', 'string'] as const) {
      for (const profileShape of ['flat', 'data'] as const) {
        const { instagram, profile } = await setUp(t, { knobs: { userIdAs, profileShape } })
        const token = instagram.issue({ userId, username: 'some.body_1' })
        const appUserId = instagram.users.get(userId)?.appScopedId
        t.same(await profile(token), { userId, username: 'some.body_1', appUserId })
      }
    }
  }
})

t.test('the id is the account’s own, not the one scoped to the app', async (t) => {
  const { instagram, profile } = await setUp(t)
  const { userId } = await profile(instagram.issue({ userId: '17841400379535405' }))
  t.not(userId, instagram.users.get('17841400379535405')?.appScopedId)
})

t.test('a profile without a usable id is refused, one without a usable name is not', async (t) => {
  const { instagram, profile } = await setUp(t)
  for (const id of ['1.5', '1e30', '-5', '0', '"007"', '""', 'null', '[1]', '"12 "', '"1\\u0660"', 'true']) {
    instagram.heal()
    instagram.fail('/me', { kind: 'answer', body: `{"user_id":${id},"username":"a"}` })
    t.equal((await refused(t, profile(CANARY))).kind, 'transient', id)
  }
  for (const name of ['5', 'null', '"<b>"', '""', '{}']) {
    instagram.heal()
    instagram.fail('/me', { kind: 'answer', body: `{"user_id":"7","username":${name}}` })
    t.same(await profile(CANARY), { userId: '7', username: null, appUserId: null }, name)
  }
})

const KINDS: Record<FaultName, [kind: ProviderErrorKind, says: RegExp]> = {
  expired: ['reconnect', /has expired: make a new token.*190\/463/],
  passwordChanged: ['reconnect', /password.*make a new token/],
  invalidToken: ['reconnect', /no longer accepts.*make a new token.*190\/467/],
  appRemoved: ['reconnect', /app was removed.*allow it again/],
  checkpoint: ['reconnect', /owner to log in at instagram\.com/],
  unconfirmed: ['reconnect', /owner to log in at instagram\.com/],
  tokenDead: ['reconnect', /make a new token.*code 190\)/],
  sessionDead: ['reconnect', /make a new token/],
  sessionKey: ['reconnect', /make a new token/],
  appLimit: ['throttled', /rate limit/],
  userLimit: ['throttled', /rate limit/],
  pageLimit: ['throttled', /rate limit/],
  applicationLimit: ['throttled', /rate limit/],
  callLimit: ['throttled', /rate limit/],
  businessLimit: ['throttled', /rate limit/],
  unknownTrouble: ['transient', /tries again by itself/],
  serviceTrouble: ['transient', /tries again by itself/],
  noPermission: ['misconfigured', /instagram_business_basic/],
  permissionMissing: ['misconfigured', /instagram_business_basic/],
  capabilityMissing: ['misconfigured', /instagram_business_basic/],
  unsupported: ['misconfigured', /Basic Display.*tester invitation.*app secret/],
  wrongApp: ['misconfigured', /app id and secret/],
  wrongSecret: ['misconfigured', /app id and secret/],
  unheardOf: ['misconfigured', /does not know.*7777/],
  errorWith200: ['reconnect', /has expired/],
  tooMany: ['throttled', /rate limit.*HTTP 429/],
  ...WIRE_KINDS,
}

t.test('each error says who must act and what to do', async (t) => {
  for (const name of Object.keys(FAULTS) as FaultName[]) {
    const [kind, says] = KINDS[name]
    const { instagram, refresh, profile } = await setUp(t, {}, name === 'hang' ? 300 : 10_000)
    const token = instagram.issue({ token: CANARY })
    instagram.fail('*', name)
    for (const error of [await refused(t, refresh(token)), await refused(t, profile(token))]) {
      t.equal(error.kind, kind, name)
      t.match(error.message, says, name)
    }
  }
})

t.test('codes 200 to 299 are missing permissions, their neighbours are unknown', async (t) => {
  const { instagram, refresh } = await setUp(t)
  for (const code of [199, 200, 201, 299, 300]) {
    instagram.fail('*', { kind: 'graph', code }, 1)
    t.equal(/instagram_business_basic/.test((await refused(t, refresh(CANARY))).message), code >= 200 && code <= 299, String(code))
  }
})

t.test('an app that Meta has switched off is named as such, in each of Meta’s wordings', async (t) => {
  const { instagram, refresh, profile } = await setUp(t)
  const wordings: [code: number, message: string][] = [
    [200, 'API access deactivated. To reactivate, go to the app dashboard and complete Data Use Checkup.'],
    [200, 'API access blocked.'],
    [200, '(#200) API access disabled'],
    [200, 'API Access has been temporarily suspended.'],
    [200, '(#200) Access to this data is temporarily disabled for non-active apps or apps that have not recently accessed this data.'],
    [200, 'App not active: This app is not currently accessible and the app developer is aware of the issue.'],
    [10, 'Application has been deactivated.'],
    [190, 'Error validating application. Application has been deleted.'],
    [101, 'Error validating application. The application has been disabled.'],
  ]
  for (const [code, message] of wordings) {
    instagram.fail('*', { kind: 'graph', code, message })
    for (const error of [await refused(t, refresh(CANARY)), await refused(t, profile(CANARY))]) {
      t.match(error, { kind: 'misconfigured', message: /Meta has switched this app off: open it in the Meta App Dashboard/ }, message)
      t.notMatch(error.message, /make a new token/, message)
    }
    instagram.heal()
  }
  const others: [code: number, message: string, kind: ProviderErrorKind][] = [
    [190, 'Error validating access token: The user has not authorized application 12.', 'reconnect'],
    [190, 'Error validating access token: The user has blocked the app.', 'reconnect'],
    [10, 'Application does not have permission for this action', 'misconfigured'],
    [4, '(#4) Application request limit reached', 'throttled'],
    [4, 'This application is temporarily blocked for too many calls', 'throttled'],
    [200, 'Permissions error', 'misconfigured'],
  ]
  for (const [code, message, kind] of others) {
    instagram.fail('*', { kind: 'graph', code, message }, 1)
    const error = await refused(t, refresh(CANARY))
    t.equal(error.kind, kind, message)
    t.notMatch(error.message, /switched this app off/, message)
  }
})

t.test('Instagram’s own trouble and temporary blocks need no person, whatever their code', async (t) => {
  const { instagram, refresh } = await setUp(t)
  const kinds: [code: number, kind: ProviderErrorKind][] = [
    [-1, 'transient'],
    [-2, 'transient'],
    [368, 'throttled'],
    ...[80_000, 80_001, 80_004, 80_006, 80_008, 80_014].map((code): [number, ProviderErrorKind] => [code, 'throttled']),
  ]
  for (const [code, kind] of kinds) {
    instagram.fail('*', { kind: 'graph', code }, 1)
    t.match(await refused(t, refresh(CANARY)), { kind, doubt: null, concernsAll: false }, String(code))
  }
  instagram.fail('*', { kind: 'graph', code: 25, subcode: 2_207_050 }, 1)
  t.match(await refused(t, refresh(CANARY)), { kind: 'reconnect', message: /log in at instagram\.com/ })
})

t.test('an unknown code is transient where Instagram or the status says so', async (t) => {
  const { instagram, refresh } = await setUp(t)
  const cases: [Partial<Extract<Fault, { kind: 'graph' }>>, ProviderErrorKind][] = [
    [{ isTransient: true }, 'transient'],
    [{ isTransient: false }, 'misconfigured'],
    [{ status: 500 }, 'transient'],
    [{ status: 503 }, 'transient'],
    [{ status: 429 }, 'throttled'],
    [{ code: 190, status: 500 }, 'reconnect'],
    [{ code: 190, subcode: 999_999 }, 'reconnect'],
  ]
  for (const [fault, kind] of cases) {
    instagram.fail('*', { kind: 'graph', code: 7777, ...fault }, 1)
    t.equal((await refused(t, refresh(CANARY))).kind, kind, JSON.stringify(fault))
  }
})

t.test('other shapes of an error never count as success', async (t) => {
  const { instagram, refresh } = await setUp(t)
  const good = '"access_token":"IGAAgood","expires_in":5000000'
  const bodies = [
    `{"error":"no",${good}}`,
    `{"error":{},${good}}`,
    `{"error":[],${good}}`,
    `{"error":true,${good}}`,
    `{"error_message":"no",${good}}`,
  ]
  for (const body of bodies) {
    instagram.fail('*', { kind: 'answer', body }, 1)
    t.equal((await refused(t, refresh(CANARY))).kind, 'transient', body)
  }
  instagram.fail('*', { kind: 'answer', status: 400, body: `{${good}}` }, 1)
  await refused(t, refresh(CANARY))
})

t.test('Instagram’s own text is not passed on, because it may quote the token', async (t) => {
  const { instagram, refresh } = await setUp(t)
  for (const code of [190, 100, 7777]) {
    instagram.fail('*', { kind: 'graph', code, message: 'Malformed access token {token}', type: '{token}' }, 1)
    await refused(t, refresh(CANARY))
  }
  instagram.fail('*', { kind: 'answer', status: 500, body: 'No such page: https://graph.instagram.com/?access_token={token}' }, 1)
  await refused(t, refresh(CANARY))
})

t.test('retryAfterSeconds is the longest wait that Instagram asks for', async (t) => {
  const { instagram, refresh } = await setUp(t)
  const usage = (...minutes: unknown[]) =>
    JSON.stringify({ 7: minutes.map((estimated_time_to_regain_access) => ({ estimated_time_to_regain_access })) })
  const date = 'Tue, 10 Nov 2026 10:00:00 GMT'
  const cases: [Record<string, string>, number | null][] = [
    [{}, null],
    [{ 'retry-after': '120' }, 120],
    [{ 'retry-after': '0' }, null],
    [{ 'retry-after': '-5' }, null],
    [{ 'retry-after': 'soon' }, null],
    [{ 'retry-after': 'Tue, 10 Nov 2026 10:03:00 GMT', date }, 180],
    [{ 'retry-after': 'Tue, 10 Nov 2026 09:00:00 GMT', date }, null],
    [{ 'x-business-use-case-usage': usage(0, 19, 3) }, 19 * 60],
    [{ 'x-business-use-case-usage': usage(0) }, null],
    [{ 'x-business-use-case-usage': usage('19', -4, 1e300, null) }, null],
    [{ 'x-business-use-case-usage': '{"7":[{"estima' }, null],
    [{ 'x-business-use-case-usage': usage(1), 'retry-after': '90' }, 90],
  ]
  for (const [headers, seconds] of cases) {
    instagram.fail('*', { kind: 'graph', code: 80002, headers }, 1)
    t.equal((await refused(t, refresh(CANARY))).retryAfterSeconds, seconds, JSON.stringify(headers))
  }
  instagram.fail('*', { kind: 'graph', code: 190, headers: { 'retry-after': '120' } }, 1)
  t.equal((await refused(t, refresh(CANARY))).retryAfterSeconds, null, 'a dead token does not come back by waiting')
})

t.test('a lifetime that is missing, impossible or no number keeps the old token', async (t) => {
  const { instagram, refresh } = await setUp(t)
  const year = 365 * 86_400
  for (const text of [
    'absent',
    '0',
    '-5',
    '"5183944"',
    '"NaN"',
    'null',
    '1e999',
    '1e18',
    '0.5',
    '5183944.5',
    'true',
    String(400 * 86_400 + 1),
  ]) {
    instagram.knobs.expiresIn = text
    const error = await refused(t, refresh(instagram.issue({ token: CANARY })))
    t.match(error, { kind: 'transient', message: /without a usable token.*lifetime.*token in hand is kept/ }, text)
  }
  for (const [stated, believed] of [
    [year, 61 * 86_400],
    [61 * 86_400 + 1, 61 * 86_400],
    [60 * 86_400, 60 * 86_400],
  ] as const) {
    instagram.knobs.expiresIn = String(stated)
    t.equal((await refresh(instagram.issue())).expiresInSeconds, believed, 'at most a day longer than Meta documents')
  }
})

t.test('an impossible token keeps the old one', async (t) => {
  const { instagram, refresh } = await setUp(t)
  for (const text of ['', ' ', 'IGAA with spaces', 'IGAA\n', '"IGAAquoted"', 'IGAÄ', 'IGAA\u2028', 'x'.repeat(9216)]) {
    const token = instagram.issue({ token: CANARY })
    instagram.knobs.tokenText = text
    const error = await refused(t, refresh(token))
    t.match(error, { kind: 'transient', message: /without a usable token/ }, encodeURIComponent(text.slice(0, 20)))
    if (text.length > 3) t.notOk(error.message.includes(text), 'the unusable token is not shown')
  }
  for (const text of [`IGAA"</script>'`, 'x'.repeat(8192)]) {
    instagram.knobs.tokenText = text
    t.equal((await refresh(CANARY)).accessToken.reveal(), text)
  }
})

t.test('a slow answer is awaited, a body that trickles past the deadline is not', async (t) => {
  const { instagram, refresh } = await setUp(t)
  instagram.fail('*', { kind: 'slowAnswer', ms: 200 }, 1)
  t.ok(await refresh(instagram.issue()))

  const trickle = createServer((_, response) => {
    const timer = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(timer))
  })
  await new Promise<void>((resolve) => trickle.listen(0, '127.0.0.1', resolve))
  t.teardown(() => trickle.close().closeAllConnections())
  const { port } = trickle.address() as { port: number }
  const provider = createInstagram({ graphUrl: `http://127.0.0.1:${port}`, timeoutMs: 400 })
  t.match(await refused(t, provider.profile(new Secret(CANARY))), { kind: 'transient', message: /did not answer within/ })
})

t.test('a redirect is not followed: it would carry the token to another place', async (t) => {
  const { instagram, profile } = await setUp(t)
  const elsewhere = await startInstagram()
  t.teardown(() => elsewhere.close())
  instagram.fail('*', { kind: 'answer', status: 307, headers: { location: `${elsewhere.url}/me?access_token={token}` }, body: '' })
  t.match(await refused(t, profile(CANARY)), { kind: 'transient' })
  t.same(elsewhere.calls, [])
})

t.test('a closed port is reported as unreachable', async (t) => {
  const { instagram, refresh } = await setUp(t)
  await instagram.close()
  t.match(await refused(t, refresh(CANARY)), { kind: 'transient', message: /could not be reached \(ECONNREFUSED\)/ })
})

t.test('an error of fetch that quotes the URL is not passed on', async (t) => {
  const fetch = async (url: string | URL | Request) => {
    throw new TypeError(`fetch failed: ${url}`, { cause: Object.assign(new Error(`at ${url}`), { code: `${url}` }) })
  }
  const provider = createInstagram({ graphUrl: 'https://graph.example', fetch })
  t.equal((await refused(t, provider.profile(new Secret(CANARY)))).kind, 'transient')
})

t.test('a body nested deeper than the stack is an unreadable answer', async (t) => {
  const { instagram, refresh } = await setUp(t)
  for (const body of [
    '['.repeat(200_000),
    '['.repeat(100_000) + ']'.repeat(100_000),
    `${'{"data":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
  ]) {
    instagram.fail('*', { kind: 'answer', body }, 1)
    t.equal((await refused(t, refresh(CANARY))).kind, 'transient')
  }
})

t.test('with any body, the outcome is a valid grant or a ProviderError', async (t) => {
  const { instagram, refresh, profile } = await setUp(t)
  const key = fc.constantFrom(
    'access_token',
    'expires_in',
    'data',
    'error',
    'code',
    'error_subcode',
    'user_id',
    'username',
    'message',
    '__proto__',
  )
  const leaf = fc.oneof(
    fc.constantFrom(5_183_944, 190, 1e300, '', 'IGAAgood', '17841400379535405', null, CANARY),
    fc.jsonValue({ maxDepth: 1 }),
    fc.string({ unit: 'binary' }),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(key, tie('value'), { maxKeys: 5 })),
  }))
  const whole = value.map((one) => JSON.stringify(one) ?? '')
  const body = fc.oneof(
    whole,
    whole.map((text) => text.slice(0, -1)),
    fc.string({ unit: 'binary' }),
  )
  const outcome = async (call: Promise<unknown>) => {
    const result = await call.catch((error: unknown) => error)
    if (result instanceof Error && !(result instanceof ProviderError)) throw result
    return result
  }
  await fc.assert(
    fc.asyncProperty(body, fc.constantFrom(200, 200, 200, 400, 500), async (text, status) => {
      instagram.heal()
      instagram.fail('*', { kind: 'answer', status, body: text })
      const granted = await outcome(refresh(CANARY))
      if (!(granted instanceof ProviderError)) {
        const { accessToken, expiresInSeconds } = granted as { accessToken: Secret; expiresInSeconds: number }
        if (status !== 200 || !/^[\x21-\x7e]{1,8192}$/.test(accessToken.reveal())) throw new Error('an unusable token was accepted')
        if (!Number.isInteger(expiresInSeconds) || expiresInSeconds <= 0) throw new Error('an impossible lifetime was accepted')
      } else if (inspect(granted, { depth: 20 }).includes(CANARY)) throw new Error('the error shows the token')
      const known = await outcome(profile(CANARY))
      if (!(known instanceof ProviderError) && !/^\d+$/.test((known as { userId: string }).userId))
        throw new Error('an unusable id was accepted')
    }),
    { numRuns: 300 },
  )
})

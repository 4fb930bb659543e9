import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { ConnectError } from '../../../src/core/errors.ts'
import { Secret } from '../../../src/core/secret.ts'
import { createInstagramConnect } from '../../../src/providers/instagram/instagram.ts'
import { startInstagram } from '../../support/instagram.ts'
import { FAULTS, type FaultName } from '../../support/instagram-faults.ts'
import type { Knobs } from '../../support/instagram-knobs.ts'

const redirectUri = 'https://agent.example/connect/instagram/callback'
const verifier = 'v'.repeat(43)
const CANARY = 'IGAAcanary'

async function setUp(t: Test, knobs: Partial<Knobs> = {}, timeoutMs = 2000) {
  const instagram = await startInstagram({ knobs })
  t.teardown(() => instagram.close())
  const { url, apps } = instagram
  const app = { id: apps[0]?.clientId ?? '', secret: new Secret(apps[0]?.clientSecret ?? '') }
  const scopes = ['instagram_business_basic', 'instagram_business_manage_insights']
  const connector = createInstagramConnect({ app, scopes, graphUrl: url, apiUrl: url, webUrl: url, timeoutMs })
  const approve = async (): Promise<string> => {
    const { headers } = await fetch(connector.authorizeUrl({ state: 's', redirectUri, verifier }), { redirect: 'manual' })
    return new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
  }
  return { instagram, connector, approve }
}

async function failure(t: Test, work: Promise<unknown>, ...secrets: string[]): Promise<ConnectError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ConnectError)) throw new Error(`expected a ConnectError, not ${error}`)
  const text = `${error.message} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`
  for (const secret of [...secrets, 'a-secret-of-the', 'access_token=']) t.notMatch(text, secret)
  t.match(error.happened, /^[A-Z].*\.$/, 'one sentence on the event')
  t.match(error.remedy, /^[A-Z].*\.$/, 'one on the remedy')
  return error
}

t.test('a code becomes a long-lived token, in each shape of Instagram’s answers', async (t) => {
  for (const tokenShape of ['flat', 'data'] as const)
    for (const permissionsAs of ['list', 'string'] as const)
      for (const urlencoded of ['accepted', 'refused'] as const) {
        const { instagram, connector, approve } = await setUp(t, { tokenShape, permissionsAs, urlencoded })
        const grant = await connector.exchangeCode(await approve(), { redirectUri, verifier })
        t.match(instagram.issued.get(grant.accessToken.reveal()), { life: 'long' })
        t.match(grant, { refreshToken: null, scopes: 'instagram_business_basic instagram_business_manage_insights' })
        t.ok((grant.expiresInSeconds ?? 0) > 59 * 86_400)
      }
})

t.test('ids beyond 2^53 keep each digit, the user’s own and the app-scoped one', async (t) => {
  for (const userIdAs of ['number', 'string'] as const) {
    for (const signedInAs of ['17841400379535405', '90071992547409931']) {
      const { instagram, connector, approve } = await setUp(t, { userIdAs, signedInAs, profileShape: 'data' })
      const { accessToken } = await connector.exchangeCode(await approve(), { redirectUri, verifier })
      const appUserId = instagram.users.get(signedInAs)?.appScopedId
      t.match(await connector.identify(accessToken), { userId: signedInAs, appUserId, username: `user.${signedInAs}` })
    }
  }
})

t.test('a code is valid once, for its own redirect URI, and expires', async (t) => {
  const { instagram, connector, approve } = await setUp(t)
  const code = await approve()
  await connector.exchangeCode(code, { redirectUri, verifier })
  t.match((await failure(t, connector.exchangeCode(code, { redirectUri, verifier }), code)).happened, /used already/)
  const other = await failure(t, connector.exchangeCode(await approve(), { redirectUri: 'https://other.example/', verifier }))
  t.match(other, { wantsRedirectUri: true, isTransient: false })
  const late = await approve()
  instagram.clock.advance(3_601_000)
  t.match((await failure(t, connector.exchangeCode(late, { redirectUri, verifier }), late)).happened, /too old/)
})

t.test('the text of a refusal decides between “start again” and another remedy', async (t) => {
  const { instagram, connector } = await setUp(t)
  const legacy = (message: string) => ({ error_type: 'OAuthException', code: 400, error_message: message })
  const graph = (message: string, fields = {}) => ({ error: { message, type: 'OAuthException', code: 100, ...fields } })
  const spent = [
    legacy('This authorization code has been used'),
    legacy('This authorization code has been used.'),
    legacy('This authorization code has expired'),
    legacy('Invalid authorization code'),
    legacy('Matching code was not found or was already used.'),
    legacy('Authorization code expired or already redeemed'),
    legacy('The code is no longer valid'),
    legacy('Code was invalid or expired. User 12 has not authorized application 34.'),
    legacy('The authorization_code was revoked'),
    graph('This authorization code has been used.'),
    graph('Invalid verification code format.'),
    graph('This authorization code has expired.', { error_subcode: 36_007 }),
    graph('Something else', { error_subcode: 36_009 }),
    { error: 'invalid_grant', error_description: 'no words about it' },
  ]
  const other: [object, RegExp][] = [
    [legacy('Error validating verification code. Please make sure your redirect_uri is identical to the one you used'), /redirect URI/],
    [legacy('Invalid redirect URL'), /redirect URI/],
    [legacy('Invalid platform app'), /app ID and secret/],
    [legacy('Invalid client_id'), /app ID and secret/],
    [{ error: 'invalid_client' }, /app ID and secret/],
    [legacy('Invalid grant_type: authorization_code'), /no reason that the agent knows/],
    [legacy('Sorry, error code 12 is unknown'), /no reason that the agent knows/],
    [graph('API access deactivated.', { code: 200 }), /switched this app off/],
  ]
  const cases: [object, RegExp][] = [...spent.map((body): [object, RegExp] => [body, /used already, or is too old/]), ...other]
  for (const [body, happened] of cases) {
    instagram.fail('/oauth/access_token', { kind: 'answer', status: 400, body: JSON.stringify(body) }, 1)
    const error = await failure(t, connector.exchangeCode('AQcode', { redirectUri, verifier }), 'AQcode')
    t.match(error.happened, happened, JSON.stringify(body))
    t.equal(error.isTransient, false, JSON.stringify(body))
    t.notMatch(error.message, /code 400/, 'an HTTP status is no code of Meta’s')
  }
})

t.test('a token of an hour is exchanged, a long-lived one is recognized', async (t) => {
  const { instagram, connector } = await setUp(t)
  const traded = await connector.exchangeForLongLived(new Secret(instagram.issue({ life: 'short', ageSeconds: 60 })))
  t.match(instagram.issued.get(traded?.accessToken.reveal() ?? ''), { life: 'long' })
  t.equal(await connector.exchangeForLongLived(new Secret(instagram.issue())), null)
  t.match((await failure(t, connector.exchangeForLongLived(new Secret(CANARY)), CANARY)).isTransient, false)
})

t.test('each error of Instagram becomes a ConnectError without a secret, at each step', async (t) => {
  const { instagram, connector } = await setUp(t, {}, 300)
  const waits = [
    'hang',
    'reset',
    'html502',
    'serviceTrouble',
    'unknownTrouble',
    'tooMany',
    'appLimit',
    'empty500',
    'truncated',
    'list',
    'tenMegabytes',
  ]
  for (const name of Object.keys(FAULTS) as FaultName[]) {
    instagram.heal()
    instagram.fail('*', name)
    const steps = name === 'hang' || name === 'flood' ? [connector.identify] : [connector.identify, connector.exchangeForLongLived]
    for (const step of steps) {
      const result = step(new Secret(CANARY))
      // 452 means that the token is already long-lived.
      if (name === 'sessionKey' && step === connector.exchangeForLongLived) t.equal(await result, null)
      else {
        const error = await failure(t, result, CANARY)
        if (waits.includes(name)) t.equal(error.isTransient, true, name)
      }
    }
  }
})

t.test('with any body, a step ends with its result or a ConnectError', async (t) => {
  const { instagram, connector } = await setUp(t)
  const key = fc.constantFrom(
    'access_token',
    'expires_in',
    'data',
    'error',
    'code',
    'user_id',
    'id',
    'error_message',
    'permissions',
    '__proto__',
  )
  const leaf = fc.oneof(fc.constantFrom(5_183_944, 190, 452, '', 'IGAAgood', '17841400379535405', null), fc.jsonValue({ maxDepth: 1 }))
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(key, tie('value'), { maxKeys: 5 })),
  }))
  await fc.assert(
    fc.asyncProperty(value, fc.constantFrom(200, 400, 500), async (body, status) => {
      instagram.heal()
      instagram.fail('*', { kind: 'answer', status, body: JSON.stringify(body) ?? '' })
      for (const step of [
        connector.identify(new Secret(CANARY)),
        connector.exchangeForLongLived(new Secret(CANARY)),
        connector.revoke?.({ accessToken: new Secret(CANARY), refreshToken: null }),
      ])
        await step?.catch((error: unknown) => {
          if (!(error instanceof ConnectError)) throw error
        })
    }),
    { numRuns: 150 },
  )
  t.pass()
})

t.test('only a request signed with the app’s secret names a user', async (t) => {
  const { connector, instagram } = await setUp(t)
  const secret = instagram.apps[0]?.clientSecret ?? ''
  const sign = (payload: string): string => {
    const text = Buffer.from(payload).toString('base64url')
    return `${createHmac('sha256', secret).update(text).digest('base64url')}.${text}`
  }
  t.match(connector.readSignedRequest(sign('{"algorithm":"HMAC-SHA256","user_id":"17841400379535405"}')), {
    userId: '17841400379535405',
  })
  t.match(connector.readSignedRequest(sign('{"algorithm":"HMAC-SHA256","user_id":17841400379535405}')), {
    userId: '17841400379535405',
  })
  for (const payload of [
    '',
    'null',
    '[]',
    '{"algorithm":"HMAC-SHA256"}',
    '{"algorithm":"none","user_id":"1"}',
    '{"algorithm":"HMAC-SHA256","user_id":"1 or 1=1"}',
  ])
    t.equal(connector.readSignedRequest(sign(payload)), null, payload)
  const good = sign('{"algorithm":"HMAC-SHA256","user_id":"1"}')
  for (let at = 0; at < good.length; at++) {
    const flipped = good.slice(0, at) + (good[at] === 'A' ? 'B' : 'A') + good.slice(at + 1)
    // The last character of a signature of 32 bytes has two spare bits.
    if (at !== 42) t.equal(connector.readSignedRequest(flipped), null, `flipped at ${at}`)
  }
})

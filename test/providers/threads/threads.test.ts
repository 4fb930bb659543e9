import t, { type Test } from 'tap'
import type { ProviderErrorKind } from '../../../src/core/errors.ts'
import { ConnectError } from '../../../src/core/errors.ts'
import type { Picture } from '../../../src/core/media.ts'
import { readPastedToken } from '../../../src/core/pasted-token.ts'
import { Secret } from '../../../src/core/secret.ts'
import { threads as module } from '../../../src/providers/threads/module.ts'
import { createThreads, createThreadsConnect } from '../../../src/providers/threads/threads.ts'
import { META_APP_ID } from '../../support/graph-services.ts'
import { startThreads } from '../../support/instagram.ts'
import { FAULTS, type FaultName } from '../../support/instagram-faults.ts'
import type { Knobs } from '../../support/instagram-knobs.ts'
import { pictureOf } from '../../support/instagram-pictures.ts'
import { CANARY, refused, WIRE_KINDS } from '../refused.ts'

const USER = '17841400379535405'
const DAY_MS = 86_400_000
const redirectUri = 'https://agent.example/connect/threads/callback'
const verifier = 'v'.repeat(43)
const secret = (token: string): Secret => new Secret(token)

async function setUp(t: Test, knobs: Partial<Knobs> = {}, timeoutMs = 10_000) {
  const threads = await startThreads({ knobs })
  t.teardown(() => threads.close())
  const { url, apps } = threads
  const app = { id: apps[0]?.clientId ?? '', secret: secret(apps[0]?.clientSecret ?? '') }
  const scopes = ['threads_basic', 'threads_manage_insights']
  const connect = createThreadsConnect({ app, scopes, graphUrl: url, apiUrl: url, webUrl: url, timeoutMs })
  const provider = createThreads({ graphUrl: url, timeoutMs })
  const refresh = (token: string) => provider.refresh({ accessToken: secret(token), refreshToken: null, userId: null })
  const approve = async (): Promise<string> => {
    const { headers } = await fetch(connect.authorizeUrl({ state: 's', redirectUri, verifier }), { redirect: 'manual' })
    return new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
  }
  return { threads, provider, connect, refresh, approve, app }
}

async function notConnected(t: Test, work: Promise<unknown>): Promise<ConnectError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ConnectError)) throw new Error(`expected a ConnectError, not ${error}`)
  t.notMatch(`${error.stack} ${JSON.stringify(error)}`, /a-secret-of-the|access_token=|THAA-canary|Instagram/)
  t.match([error.happened, error.remedy], [/^[A-Z].*\.$/, /^[A-Z].*\.$/])
  return error
}

t.test('a refresh brings a token for sixty more days, the same string or a new one', async (t) => {
  for (const refreshedString of ['new', 'same'] as const)
    for (const oldString of ['valid', 'invalid'] as const)
      for (const tokenShape of ['flat', 'data'] as const) {
        const { threads, refresh } = await setUp(t, { refreshedString, oldString, tokenShape })
        const token = threads.issue()
        t.match(token, /^THAA/)
        const grant = await refresh(token)
        t.equal(grant.accessToken.reveal() === token, refreshedString === 'same')
        t.match(grant, { refreshToken: null, expiresInSeconds: 5_183_944 })
      }
})

t.test('a token younger than 24 hours is refreshed a day later', async (t) => {
  const { threads, provider, refresh } = await setUp(t)
  const token = threads.issue({ ageSeconds: 0 })
  t.equal((await refused(t, refresh(token), token)).kind, 'misconfigured')
  threads.clock.advance(provider.minimumAgeSeconds * 1000)
  t.ok(await refresh(token))
})

t.test('a profile has the user’s id, digit by digit, and no id of the app', async (t) => {
  for (const userIdAs of ['number', 'string'] as const) {
    const { threads, provider } = await setUp(t, { userIdAs })
    const token = threads.issue({ userId: USER, username: 'moss.and.clay' })
    t.same(await provider.profile(secret(token)), { userId: USER, username: 'moss.and.clay', appUserId: null })
  }
})

t.test('the user’s picture comes from Meta’s hosts, without the token', async (t) => {
  const { threads, provider } = await setUp(t)
  const token = threads.issue({ userId: USER })
  t.ok(pictureOf(USER).equals(((await provider.picture(secret(token))) as Picture).bytes))
  t.same(
    threads.calls.map(({ path, token }) => [path, token !== '']),
    [
      ['/v1.0/me', true],
      ['/picture', false],
    ],
  )
  threads.knobs.pictureUrl = 'https://evil.example/x.png'
  t.match((await refused(t, provider.picture(secret(token)), token)).message, /not one of Threads’s own/)
  threads.knobs.pictureUrl = 'absent'
  t.equal(await provider.picture(secret(token)), null)
})

const KINDS: Record<FaultName, [kind: ProviderErrorKind, says: RegExp]> = {
  expired: ['reconnect', /has expired: make a new token.*User Token Generator.*Threads’s code 190\/463/],
  passwordChanged: ['reconnect', /password of the Threads account.*make a new token/],
  invalidToken: ['reconnect', /Threads no longer accepts.*make a new token/],
  appRemoved: ['reconnect', /app was removed in the Threads account.*private profile ends after 90 days/],
  checkpoint: ['reconnect', /log in at threads\.com/],
  unconfirmed: ['reconnect', /log in at threads\.com/],
  tokenDead: ['reconnect', /make a new token/],
  sessionDead: ['reconnect', /make a new token/],
  sessionKey: ['reconnect', /make a new token/],
  appLimit: ['throttled', /Threads’s rate limit/],
  userLimit: ['throttled', /rate limit/],
  pageLimit: ['throttled', /rate limit/],
  applicationLimit: ['throttled', /rate limit/],
  callLimit: ['throttled', /rate limit/],
  businessLimit: ['throttled', /rate limit/],
  unknownTrouble: ['transient', /Threads has trouble/],
  serviceTrouble: ['transient', /Threads has trouble/],
  noPermission: ['misconfigured', /threads_basic.*private profile ends after 90 days/],
  permissionMissing: ['misconfigured', /threads_basic/],
  capabilityMissing: ['misconfigured', /threads_basic/],
  unsupported: ['misconfigured', /token is one of Threads.*tester invitation.*app secret/],
  wrongApp: ['misconfigured', /Threads app’s.*the Meta app has others/],
  wrongSecret: ['misconfigured', /Threads app’s/],
  unheardOf: ['misconfigured', /does not know.*7777/],
  errorWith200: ['reconnect', /has expired/],
  tooMany: ['throttled', /rate limit.*HTTP 429/],
  ...WIRE_KINDS,
}

t.test('each thing that can go wrong says who must act and what to do, in Threads’ own words', async (t) => {
  for (const name of Object.keys(FAULTS) as FaultName[]) {
    const [kind, says] = KINDS[name]
    const { threads, provider, refresh } = await setUp(t, {}, name === 'hang' ? 300 : 10_000)
    threads.issue({ token: CANARY })
    const fault = FAULTS[name]
    threads.fail('*', fault.kind === 'graph' ? { ...fault, type: 'THApiException' } : name)
    for (const error of [await refused(t, refresh(CANARY)), await refused(t, provider.profile(secret(CANARY)))]) {
      t.equal(error.kind, kind, name)
      t.match(error.message, says, name)
      if (name !== 'unsupported') t.notMatch(error.message, /Instagram/, name)
    }
  }
})

t.test('the Meta app’s ID in place of the Threads app’s is named, on the page of Threads and in its answers', async (t) => {
  const { threads, connect, refresh, app } = await setUp(t)
  const wrong = createThreadsConnect({
    app: { ...app, id: META_APP_ID },
    scopes: ['threads_basic'],
    graphUrl: threads.url,
    apiUrl: threads.url,
    webUrl: threads.url,
  })
  const shown = await fetch(wrong.authorizeUrl({ state: 's', redirectUri, verifier }), { redirect: 'manual' })
  t.match(await shown.text(), /4476002/)
  t.match(await notConnected(t, wrong.exchangeCode('AQcode', { redirectUri, verifier })), { happened: /app ID and secret/ })
  threads.fail('*', { kind: 'graph', code: 4_476_002, type: 'THApiException' })
  const error = await notConnected(t, connect.exchangeCode('AQcode', { redirectUri, verifier }))
  t.match(error, { happened: /does not know this agent’s app ID/, remedy: /not those of the Meta app/ })
  t.match(await refused(t, refresh(CANARY)), { kind: 'misconfigured', message: /the Meta app has others/ })
})

t.test('a code becomes a token that lasts, with the scopes that were asked for', async (t) => {
  for (const tokenShape of ['flat', 'data'] as const)
    for (const userIdAs of ['number', 'string'] as const)
      for (const urlencoded of ['accepted', 'refused'] as const) {
        const { threads, connect, approve } = await setUp(t, { tokenShape, userIdAs, urlencoded, signedInAs: USER })
        const grant = await connect.exchangeCode(await approve(), { redirectUri, verifier })
        t.match(threads.issued.get(grant.accessToken.reveal()), { life: 'long', userId: USER })
        t.match(grant, { refreshToken: null, scopes: 'threads_basic threads_manage_insights' })
        t.match(await connect.identify(grant.accessToken), { userId: USER, username: `user.${USER}` })
      }
})

t.test('a code is good once, for its own redirect URI, and not for ever', async (t) => {
  const { threads, connect, approve } = await setUp(t)
  const code = await approve()
  await connect.exchangeCode(code, { redirectUri, verifier })
  t.match((await notConnected(t, connect.exchangeCode(code, { redirectUri, verifier }))).happened, /used already/)
  const other = await notConnected(t, connect.exchangeCode(await approve(), { redirectUri: 'https://other.example/', verifier }))
  t.match(other, { wantsRedirectUri: true, remedy: /Access the Threads API/ })
  const late = await approve()
  threads.clock.advance(3_601_000)
  t.match((await notConnected(t, connect.exchangeCode(late, { redirectUri, verifier }))).happened, /too old/)
})

t.test('a token of an hour is exchanged, and a long-lived one is recognised', async (t) => {
  const { threads, connect } = await setUp(t)
  const exchanged = await connect.exchangeForLongLived(secret(threads.issue({ life: 'short', ageSeconds: 60 })))
  t.match(threads.issued.get(exchanged?.accessToken.reveal() ?? ''), { life: 'long' })
  t.equal(await connect.exchangeForLongLived(secret(threads.issue())), null)
})

t.test('while an account is being connected each error is a sentence on what happened and one on what to do', async (t) => {
  const { threads, connect } = await setUp(t, {}, 300)
  for (const name of Object.keys(FAULTS) as FaultName[]) {
    threads.heal()
    threads.fail('*', name)
    if (name !== 'hang' && name !== 'flood' && name !== 'sessionKey')
      await notConnected(t, connect.exchangeForLongLived(secret('THAA-canary')))
    await notConnected(t, connect.identify(secret('THAA-canary')))
  }
})

t.test('an account that has not accepted its tester invitation is told where to', async (t) => {
  const { threads, connect, approve, refresh } = await setUp(t, { signedInAs: USER })
  const code = await approve()
  threads.apps[0]?.pendingTesters.push(USER)
  t.match((await notConnected(t, connect.exchangeCode(code, { redirectUri, verifier }))).remedy, /Website permissions/)
  t.match(await refused(t, refresh(threads.issue({ token: CANARY, userId: USER }))), { message: /tester invitation/ })
})

t.test('what a private profile has granted ends after 90 days, however often it is refreshed', async (t) => {
  for (const accountType of ['PRIVATE', 'BUSINESS']) {
    const { threads, refresh } = await setUp(t)
    let token = threads.issue({ accountType, ageSeconds: 86_400 })
    threads.clock.advance(50 * DAY_MS)
    token = (await refresh(token)).accessToken.reveal()
    threads.clock.advance(40 * DAY_MS)
    if (accountType === 'PRIVATE') t.match(await refused(t, refresh(token), token), { kind: 'reconnect', message: /90 days/ })
    else t.ok(await refresh(token))
  }
})

t.test('Threads has no address that revokes what a user has granted, so nothing pretends to', async (t) => {
  const { connect } = await setUp(t)
  t.equal(connect.revoke, undefined)
})

t.test('what people take for a token of Threads is named', (t) => {
  const problem = (text: string) => readPastedToken(text, module.mistakes).problem
  const long = 'x'.repeat(40)
  t.equal(problem(`THAA${long}`), null)
  for (const [text, says] of [
    [`IGAA${long}`, /one of Instagram/],
    [`EAAB${long}`, /one of Facebook Login/],
    ['TH|880602627938097|a1b2C3', /an app’s own token.*no Threads account/],
    ['880602627938097|a1b2C3', /an app’s own token/],
    ['880602627938097', /id of an app or of a user/],
    ['0123456789abcdef0123456789abcdef', /app secret/],
    [`AQ${long}`, /authorization code/],
  ] as const)
    t.match(problem(text), says)
  t.end()
})

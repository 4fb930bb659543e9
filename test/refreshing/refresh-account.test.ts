import t, { type Test } from 'tap'
import { seedAccount } from '../../src/accounts/seed.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createInstagram } from '../../src/providers/instagram/instagram.ts'
import { instagram } from '../../src/providers/instagram/module.ts'
import { refreshAccount } from '../../src/refreshing/refresh-account.ts'
import { reportStatus } from '../../src/status/report.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import { eachEngine } from '../storage/engines.ts'
import { FAULTS, type FaultName } from '../support/instagram-faults.ts'
import { createStoreWorld, DAY_MS, MINUTE_MS, type StoreWorld } from '../support/store-world.ts'

const CONFIRMATION_MS = 10 * MINUTE_MS

/** A world with an account whose token was refreshed eight days ago. */
async function refreshedOnce(t: Test, options: Parameters<typeof createStoreWorld>[1] = {}) {
  const world = await createStoreWorld(t, options)
  await world.seed(world.instagram.issue())
  await world.later(8 * DAY_MS)
  return world
}

async function waitsBetween(t: Test, world: StoreWorld, fromMs: number, toMs: number): Promise<void> {
  const { nextRefreshAt } = await world.account()
  const ms = (nextRefreshAt?.getTime() ?? 0) - world.deps.store.now().getTime()
  t.ok(ms > fromMs - 5_000 && ms <= toMs + 5_000, `waits ${Math.round(ms / 1000)} s, which is not ${fromMs / 1000} to ${toMs / 1000} s`)
}

eachEngine(t, 'a due token is refreshed, served and due again a week later', async (t, engine) => {
  const world = await refreshedOnce(t, { open: () => engine.open() })
  const before = await world.account()
  const old = await world.token()
  const { refreshed, failed, results } = await world.refresh()
  t.match({ refreshed, failed, outcome: results[0]?.outcome }, { refreshed: 1, failed: 0, outcome: 'refreshed' })
  const after = await world.account()
  const now = await world.token()
  t.not(now, old)
  t.equal(world.instagram.issued.get(old)?.replacedBy, now, 'the provider’s new token')
  t.equal(after.version, before.version + 1)
  t.equal(after.state, 'active')
  t.equal(after.failureCount, 0)
  t.ok(after.issuedAt && after.expiresAt && after.lastRefreshAt && after.nextRefreshAt)
  t.equal(after.expiresAt?.getTime(), (after.issuedAt?.getTime() ?? 0) + 5_183_944_000)
  await waitsBetween(t, world, 7 * DAY_MS - 10 * MINUTE_MS, 7 * DAY_MS)
  t.match((await world.events())[0], { kind: 'refreshed', outcome: 'ok', actor: 'timer', account: 'default' })
  t.match(world.published.at(-1), { version: after.version, accessToken: after.accessToken }, 'readers get it at once')
  t.equal((await world.refresh()).results.length, 0, 'it is not due again')
})

// The person who must act, the wait, and a pattern of the owner's sentence.
type Outcome = [kind: string, fromMs: number, toMs: number, sentence: RegExp]
const TRANSIENT: Outcome = ['transient', MINUTE_MS, 2 * MINUTE_MS, /tries again by itself/]
const THROTTLED: Outcome = ['throttled', MINUTE_MS, 2 * MINUTE_MS, /rate limit/]
const REFUSED: Outcome = ['reconnect', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /token/]
const OUTCOMES: Record<FaultName, Outcome> = {
  expired: ['reconnect', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /has expired/],
  passwordChanged: ['reconnect', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /password/],
  invalidToken: REFUSED,
  appRemoved: ['reconnect', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /app was removed/],
  checkpoint: ['reconnect', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /log in at instagram\.com/],
  unconfirmed: ['reconnect', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /log in at instagram\.com/],
  tokenDead: REFUSED,
  sessionDead: REFUSED,
  sessionKey: REFUSED,
  errorWith200: ['reconnect', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /has expired/],
  appLimit: THROTTLED,
  userLimit: THROTTLED,
  pageLimit: THROTTLED,
  applicationLimit: THROTTLED,
  callLimit: THROTTLED,
  businessLimit: ['throttled', 19 * MINUTE_MS, 20 * MINUTE_MS, /rate limit/],
  tooMany: ['throttled', 2 * MINUTE_MS, 3 * MINUTE_MS, /rate limit/],
  unknownTrouble: TRANSIENT,
  serviceTrouble: TRANSIENT,
  noPermission: ['misconfigured', MINUTE_MS, 2 * MINUTE_MS, /permission/],
  permissionMissing: ['misconfigured', MINUTE_MS, 2 * MINUTE_MS, /permission/],
  capabilityMissing: ['misconfigured', MINUTE_MS, 2 * MINUTE_MS, /permission/],
  unsupported: ['misconfigured', MINUTE_MS, 2 * MINUTE_MS, /Basic Display.*tester invitation.*secret/],
  wrongApp: ['misconfigured', MINUTE_MS, 2 * MINUTE_MS, /app id and secret/],
  wrongSecret: ['misconfigured', MINUTE_MS, 2 * MINUTE_MS, /app id and secret/],
  unheardOf: ['transient', CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS, /asks again in about ten minutes/],
  html502: TRANSIENT,
  html200: TRANSIENT,
  empty500: TRANSIENT,
  empty200: TRANSIENT,
  object: TRANSIENT,
  list: TRANSIENT,
  null: TRANSIENT,
  wrongTypes: TRANSIENT,
  notUtf8: TRANSIENT,
  redirect: TRANSIENT,
  hang: TRANSIENT,
  reset: TRANSIENT,
  lost: TRANSIENT,
  truncated: TRANSIENT,
  cut: TRANSIENT,
  tenMegabytes: TRANSIENT,
  flood: TRANSIENT,
}

t.test('with any answer of the provider the present token is kept, served and explained', async (t) => {
  for (const fault of Object.keys(FAULTS) as FaultName[]) {
    t.test(fault, async (t) => {
      const world = await refreshedOnce(t, { timeoutMs: 400 })
      const [before, old] = [await world.account(), await world.token()]
      const [kind, fromMs, toMs, sentence] = OUTCOMES[fault]
      world.instagram.fail('/refresh_access_token', fault)
      const { refreshed, failed } = await world.refresh()
      t.match({ refreshed, failed }, { refreshed: 0, failed: 1 })
      const after = await world.account()
      t.equal(await world.token(), old)
      t.equal(after.version, before.version, 'no new version without a new token')
      t.equal(after.state, 'active', 'one answer does not end the account')
      t.ok(await world.isServed())
      t.equal(after.failureCount, 1)
      t.equal(after.lastErrorCode, kind)
      t.match(after.lastError, sentence)
      t.notMatch(after.lastError, old)
      t.match((await world.events())[0], { kind: 'refresh_failed', outcome: 'failed', detail: /The present token is still served\.$/ })
      t.equal((await world.events()).filter((event) => event.kind === 'refresh_failed').length, 1)
      await waitsBetween(t, world, fromMs, toMs)
    })
  }
})

t.test('waits longer after each failure, up to six hours, until a success', async (t) => {
  const world = await refreshedOnce(t)
  world.instagram.fail('/refresh_access_token', 'html502')
  const waits: number[] = []
  for (let round = 0; round < 11; round++) {
    await world.refresh()
    const wait = ((await world.account()).nextRefreshAt?.getTime() ?? 0) - world.deps.store.now().getTime()
    waits.push(Math.round(wait / MINUTE_MS))
    await world.later(wait + 1000)
  }
  t.equal((await world.account()).failureCount, 11)
  t.same(
    waits.toSorted((a, b) => a - b),
    waits,
    'never shorter than the one before',
  )
  t.ok((waits.at(-1) ?? 0) <= 360, 'never longer than six hours')
  world.instagram.heal()
  await world.refresh()
  t.match(await world.account(), { failureCount: 0, lastError: null, lastErrorCode: null, state: 'active' })
})

t.test('a restored token of another user than the account’s is never served', async (t) => {
  const world = await refreshedOnce(t)
  for (const [column, value] of [
    ['state', 'unverified'],
    ['trusted_at', null],
    ['issued_at', null],
    ['provider_user_id', '17841400000000009'],
  ] as const)
    await world.set(column, value)
  t.match(await world.refresh(true), { failed: 1, results: [{ message: /the token is another user’s/ }] })
  t.equal(await world.isServed(), false)
  await world.set('provider_user_id', '17841400000000001')
  t.equal(await world.isServed(), false, 'not confirmed yet')
  t.match(await world.refresh(true), { refreshed: 1 })
  t.equal(await world.isServed(), true)
})

t.test('one refusal between two successes has no effect', async (t) => {
  const world = await refreshedOnce(t)
  world.instagram.fail('/refresh_access_token', 'expired', 1)
  await world.refresh()
  await world.later(CONFIRMATION_MS + 2 * MINUTE_MS)
  t.equal((await world.refresh()).refreshed, 1)
  t.match(await world.account(), { state: 'active', refusedAt: null, lastErrorCode: null })
  t.notOk((await world.events()).some((event) => event.kind === 'reconnect_needed'))
})

t.test('two refusals within ten minutes count as one', async (t) => {
  const world = await refreshedOnce(t)
  world.instagram.fail('/refresh_access_token', 'expired')
  await world.refresh()
  await world.later(5 * MINUTE_MS)
  await world.refresh(true)
  t.equal((await world.account()).state, 'active')
})

eachEngine(t, 'a second refusal ten minutes later needs a person, and the token is served until it expires', async (t, engine) => {
  const world = await refreshedOnce(t, { open: () => engine.open() })
  world.instagram.fail('/refresh_access_token', 'passwordChanged')
  await world.refresh()
  await world.later(CONFIRMATION_MS + 2 * MINUTE_MS)
  await world.refresh()
  t.equal((await world.account()).state, 'reconnect')
  t.ok(await world.isServed())
  t.match((await world.events())[0], { kind: 'reconnect_needed', detail: /password.*still served/ })

  await waitsBetween(t, world, DAY_MS, DAY_MS + 10 * MINUTE_MS)
  await world.later(DAY_MS + 11 * MINUTE_MS)
  await world.refresh()
  await waitsBetween(t, world, DAY_MS, DAY_MS + 10 * MINUTE_MS)
  t.equal((await world.events()).filter((event) => event.kind === 'reconnect_needed').length, 1, 'said once')

  await world.later(60 * DAY_MS)
  t.notOk(await world.isServed(), 'not after its expiry')
  world.instagram.heal()
})

t.test('an account that needed a person recovers by itself once its token works again', async (t) => {
  const world = await refreshedOnce(t)
  world.instagram.fail('/refresh_access_token', 'checkpoint')
  await world.refresh()
  await world.later(CONFIRMATION_MS + 2 * MINUTE_MS)
  await world.refresh()
  t.equal((await world.account()).state, 'reconnect')
  world.instagram.heal()
  await world.later(DAY_MS + 11 * MINUTE_MS)
  t.equal((await world.refresh()).refreshed, 1)
  t.match(await world.account(), { state: 'active', failureCount: 0, refusedAt: null, lastError: null })
})

t.test('a refusal is not confirmed by a time-out', async (t) => {
  const world = await refreshedOnce(t)
  world.instagram.fail('/refresh_access_token', 'expired', 1)
  world.instagram.fail('/refresh_access_token', 'html502', 1)
  await world.refresh()
  await world.later(CONFIRMATION_MS + 2 * MINUTE_MS)
  await world.refresh()
  t.match(await world.account(), { state: 'active', lastErrorCode: 'transient' })
})

t.test('an unknown code needs a person once it comes again ten minutes later', async (t) => {
  for (const [code, again] of [
    [24, 24],
    [7777, 9004],
  ] as const) {
    const world = await refreshedOnce(t)
    const needPerson = async () => (await reportStatus(world.deps)).needPerson
    const refuse = async (with_: number | 'html502') => {
      world.instagram.fail('/refresh_access_token', with_ === 'html502' ? with_ : { kind: 'graph', code: with_ }, 1)
      await world.refresh(true)
    }
    await refuse(code)
    t.match(await world.account(), { lastErrorCode: 'transient', lastError: new RegExp(`asks again.*code ${code}`) })
    await world.later(5 * MINUTE_MS)
    await refuse(again)
    t.strictSame(await needPerson(), [], 'within ten minutes it counts as one')
    await refuse('html502')
    await world.later(6 * MINUTE_MS)
    await refuse(again)
    t.match(await world.account(), { state: 'active', lastErrorCode: 'misconfigured', lastError: /look the code up/ })
    t.strictSame(await needPerson(), ['default'])
    await world.refresh(true)
    t.match(await world.account(), { lastErrorCode: null, doubted: null, doubtedAt: null })
    await refuse(code)
    t.strictSame(await needPerson(), [], 'a success in between resets it')
  }
})

t.test('a refresh never shortens a life that the provider stated by more than a day', async (t) => {
  for (const [expiresIn, isTaken] of [
    ['5', false],
    ['3600', false],
    [String(40 * 86_400), false],
    [String(51 * 86_400), true],
    [String(51 * 86_400 + 1), true],
    [String(365 * 86_400), true],
  ] as const) {
    t.test(`in hand 52 days, answered ${expiresIn} s`, async (t) => {
      const world = await refreshedOnce(t)
      const [before, old] = [await world.account(), await world.token()]
      world.instagram.knobs.expiresIn = expiresIn
      await world.refresh()
      const after = await world.account()
      t.equal((await world.token()) !== old, isTaken)
      t.ok(await world.isServed())
      if (isTaken) t.ok((after.expiresAt?.getTime() ?? 0) <= world.deps.store.now().getTime() + 61 * DAY_MS)
      else {
        t.same(after.expiresAt, before.expiresAt)
        t.match(after, { lastErrorCode: 'transient', lastError: /ends sooner than the one in hand/, state: 'active' })
        await waitsBetween(t, world, CONFIRMATION_MS, CONFIRMATION_MS + MINUTE_MS)
      }
    })
  }
})

t.test('a shorter life counts once the same answer comes ten minutes later', async (t) => {
  const world = await refreshedOnce(t)
  const old = await world.token()
  const answer = async (expiresIn: number, afterMs: number): Promise<boolean> => {
    await world.later(afterMs)
    world.instagram.knobs.expiresIn = String(expiresIn)
    await world.refresh(true)
    return (await world.token()) !== old
  }
  t.notOk(await answer(10 * 86_400, 0))
  t.notOk(await answer(10 * 86_400, 5 * MINUTE_MS), 'too soon')
  t.notOk(await answer(5, 6 * MINUTE_MS), 'another one')
  t.notOk(await answer(10 * 86_400, 11 * MINUTE_MS), 'the first answer again, which starts over')
  t.ok(await answer(10 * 86_400 - 660, 11 * MINUTE_MS), 'the same end, counted down')
  t.match(await world.account(), { state: 'active', failureCount: 0, doubted: null })
})

t.test('a shorter life counts at once where the old token is dead', async (t) => {
  const world = await refreshedOnce(t, { knobs: { oldString: 'invalid' } })
  const old = await world.token()
  world.instagram.knobs.expiresIn = String(10 * 86_400)
  t.equal((await world.refresh()).refreshed, 1)
  t.equal(await world.token(), world.instagram.issued.get(old)?.replacedBy)
})

t.test('only an expiry that the provider stated is compared, not an imported or impossible one', async (t) => {
  const world = await createStoreWorld(t)
  const seed = (expiresAt: Date, ageSeconds: number, account: string) =>
    seedAccount(world.deps, {
      account,
      provider: 'instagram',
      token: new Secret(world.instagram.issue({ ageSeconds })),
      actor: 'cli',
      fingerprint: null,
      expiresAt,
    })
  world.instagram.knobs.expiresIn = String(20 * 86_400)
  t.match(await seed(new Date('2099-01-01'), 7 * 86_400, 'old'), { result: { outcome: 'refreshed' } })
  t.match(await seed(new Date('2099-01-01'), 60, 'young'), { result: { outcome: 'verified' } })
  const { expiresAt } = await world.account('young')
  t.ok((expiresAt?.getTime() ?? 0) <= world.deps.store.now().getTime() + 61 * DAY_MS, 'an imported expiry is bounded too')
  await world.later(2 * DAY_MS)
  t.equal((await world.refresh()).refreshed, 1)
  t.match(await world.account('young'), { failureCount: 0 })

  const kept = await refreshedOnce(t)
  await kept.set('expires_at', new Date(Date.now() + 357 * DAY_MS))
  t.equal((await kept.refresh()).refreshed, 1, 'a year, which an earlier release accepted')
})

t.test('“still served” appears only where it is true', async (t) => {
  const says = async (world: StoreWorld): Promise<boolean> => {
    world.instagram.fail('/refresh_access_token', 'html502', 1)
    await world.refresh(true)
    const [event] = await world.events()
    t.match(event, { kind: 'refresh_failed' })
    return /still served/.test(event?.detail ?? '')
  }
  const world = await refreshedOnce(t)
  t.ok(await says(world))
  await world.set('expires_at', new Date(Date.now() - 1000))
  t.notOk(await says(world), 'expired')
  await world.set('expires_at', new Date(Date.now() + DAY_MS))
  const { accessToken } = await world.account()
  for (const provider of ['instagram', 'myspace']) {
    await world.set('provider', provider)
    await world.set('access_token', 'v1.otherkey.AAAA.AAAA')
    t.notOk(await says(world), `no key opens it (${provider})`)
    await world.set('access_token', accessToken)
  }
  await world.set('provider', 'instagram')
  await world.set('provider_user_id', null)
  await world.set('state', 'unverified')
  await world.set('issued_at', new Date(Date.now() - 2 * DAY_MS))
  for (const trustedAt of [null, new Date()]) {
    await world.set('trusted_at', trustedAt)
    t.equal(await says(world), trustedAt !== null, 'unconfirmed')
  }
})

// Only a success, or a confirmed refusal, replaces an error that needs a person.
eachEngine(t, 'a transient error does not hide an error that needs a person', async (t, engine) => {
  const world = await refreshedOnce(t, { open: () => engine.open() })
  const needPerson = async () => (await reportStatus(world.deps)).needPerson
  world.instagram.fail('/refresh_access_token', 'noPermission', 1)
  await world.refresh()
  const { lastError } = await world.account()
  for (const fault of ['html502', 'userLimit', 'expired'] as const) {
    world.instagram.fail('/refresh_access_token', fault, 1)
    t.match((await world.refresh(true)).results, [{ outcome: 'failed' }])
    t.match(await world.account(), { state: 'active', lastErrorCode: 'misconfigured', lastError })
    t.strictSame(await needPerson(), ['default'], fault)
  }
  t.match((await world.events()).slice(1, 3), [{ detail: /rate limit/ }, { detail: /HTTP 502/ }], 'the history has it')
  await world.later(CONFIRMATION_MS + 2 * MINUTE_MS)
  world.instagram.fail('/refresh_access_token', 'expired', 1)
  await world.refresh(true)
  t.match(await world.account(), { state: 'reconnect', lastErrorCode: 'reconnect', lastError: /has expired/ })
  await world.refresh(true)
  t.strictSame(await needPerson(), [])
})

t.test('during the provider’s trouble a refused account keeps its error and its daily probe', async (t) => {
  for (const fault of ['html502', 'userLimit'] as const) {
    const world = await refreshedOnce(t)
    world.instagram.fail('/refresh_access_token', 'passwordChanged')
    await world.refresh()
    await world.later(CONFIRMATION_MS + 2 * MINUTE_MS)
    await world.refresh()
    await world.later(DAY_MS + 11 * MINUTE_MS)
    world.instagram.heal()
    world.instagram.fail('/refresh_access_token', fault)
    t.match((await world.refresh()).results, [{ outcome: 'failed', message: /trouble|rate limit/ }])
    t.match(await world.account(), { state: 'reconnect', lastErrorCode: 'reconnect', lastError: /password/ })
    await waitsBetween(t, world, DAY_MS, DAY_MS + 10 * MINUTE_MS)
  }
})

t.test('during the provider’s trouble a restored key is not reported as lost', async (t) => {
  const world = await refreshedOnce(t)
  const token = (await world.account()).accessToken
  await world.set('access_token', 'v1.otherkey.AAAA.AAAA')
  await world.refresh()
  await world.set('access_token', token)
  world.instagram.fail('/refresh_access_token', 'html502')
  for (const state of ['active', 'reconnect']) {
    await world.set('state', state)
    await world.set('last_error_code', 'unreadable')
    await world.refresh(true)
    t.match(await world.account(), { state, lastErrorCode: 'transient', lastError: /HTTP 502/ })
  }
})

t.test('another user’s token never replaces the account’s', async (t) => {
  const world = await refreshedOnce(t)
  const stranger = '17841400000009999'
  world.instagram.issue({ userId: stranger })
  world.instagram.knobs.refreshUser = stranger
  const old = await world.token()
  t.equal((await world.refresh()).failed, 1)
  t.equal(await world.token(), old)
  t.match(await world.account(), { state: 'active', lastErrorCode: 'transient', lastError: /another user/ })
})

t.test('an impossible lifetime keeps the old token', async (t) => {
  for (const expiresIn of ['absent', '0', '-5', '"5183944"', '1e999', 'null', '1.5', 'true', '1754000000']) {
    t.test(expiresIn, async (t) => {
      const world = await refreshedOnce(t)
      const old = await world.token()
      world.instagram.knobs.expiresIn = expiresIn
      t.equal((await world.refresh()).failed, 1)
      t.equal(await world.token(), old)
      t.match(await world.account(), { lastErrorCode: 'transient', lastError: /lifetime/ })
    })
  }
})

t.test('an unusable token keeps the old one', async (t) => {
  for (const text of ['', ' ', 'a b', 'a\nb', '</script>\u2028', 'ü', 'x'.repeat(8193)]) {
    t.test(encodeURIComponent(text.slice(0, 20)) || 'empty', async (t) => {
      const world = await refreshedOnce(t)
      const old = await world.token()
      world.instagram.fail('/refresh_access_token', {
        kind: 'answer',
        body: JSON.stringify({ access_token: text, token_type: 'bearer', expires_in: 5_184_000 }),
      })
      t.equal((await world.refresh()).failed, 1)
      t.equal(await world.token(), old)
      t.match(await world.account(), { lastErrorCode: 'transient', lastError: /usable token/ })
    })
  }
})

t.test('both shapes of an answer are accepted, with the same token or a new one', async (t) => {
  for (const knobs of [
    { tokenShape: 'data', profileShape: 'data', userIdAs: 'string' },
    { refreshedString: 'same' },
    { oldString: 'invalid' },
  ] as const) {
    t.test(JSON.stringify(knobs), async (t) => {
      const world = await refreshedOnce(t, { knobs })
      t.equal((await world.refresh()).refreshed, 1)
      t.match(await world.account(), { state: 'active', providerUserId: '17841400000000001', failureCount: 0 })
    })
  }
})

t.test('an unreadable account is reported and unchanged, and the others are refreshed', async (t) => {
  const world = await refreshedOnce(t)
  await world.seed(world.instagram.issue(), 'second')
  await world.later(8 * DAY_MS)
  const foreign = createVault([generateKey()]).seal(
    new Secret('IGAAforeign'),
    accountContext({ provider: 'instagram', name: 'default' }, 'access_token'),
  )
  await world.set('access_token', foreign)
  const { refreshed, failed } = await world.refresh()
  t.match({ refreshed, failed }, { refreshed: 1, failed: 1 })
  const after = await world.account()
  t.equal(after.accessToken, foreign)
  t.match(after, { lastErrorCode: 'unreadable', lastError: /ENCRYPTION_KEY/ })
  t.match(await world.account('second'), { state: 'active', failureCount: 0 })
})

t.test('the result for a replaced token is dropped', async (t) => {
  const world = await refreshedOnce(t)
  const [claim] = await world.deps.store.claimDue({ leaseOwner: 'this process', leaseSeconds: 40, limit: 1 })
  if (claim === undefined) throw new Error('nothing was due')
  world.instagram.fail('/refresh_access_token', { kind: 'slowAnswer', ms: 300 }, 1)
  const running = refreshAccount(world.deps, claim, { actor: 'timer' })
  const given = world.instagram.issue()
  const accessToken = world.deps.vault.seal(new Secret(given), accountContext({ provider: 'instagram', name: 'default' }, 'access_token'))
  const event = { account: 'default', kind: 'connected', actor: 'owner', outcome: 'ok', detail: null } as const
  t.ok(await world.deps.store.replace('default', (await world.account()).version, { accessToken }, event))
  t.match(await running, { outcome: 'lost' })
  t.equal(await world.token(), given, 'the owner’s token stands')
})

eachEngine(t, 'a late result is dropped where another process took over', async (t, engine) => {
  const world = await refreshedOnce(t, { open: () => engine.open() })
  const [claim] = await world.deps.store.claimDue({ leaseOwner: 'this process', leaseSeconds: 40, limit: 1 })
  if (claim === undefined) throw new Error('nothing was due')
  await world.set('lease_until', new Date(Date.now() - 1000))
  t.equal((await world.refresh()).refreshed, 1, 'the lease has lapsed')
  const token = await world.token()
  const late = await refreshAccount(world.deps, claim, { actor: 'timer' })
  t.equal(late.outcome, 'lost')
  t.equal(await world.token(), token)
  t.equal((await world.events()).filter((event) => event.kind === 'refreshed').length, 2, 'a dropped result is no event')
})

t.test('the attempt of a dead process is reported and retried once its lease ends', async (t) => {
  const world = await refreshedOnce(t)
  await world.deps.store.claimDue({ leaseOwner: 'a process that dies', leaseSeconds: 40, limit: 1 })
  t.equal((await world.refresh()).results.length, 0, 'not during its lease')
  t.equal((await world.refresh(true)).results.length, 0, 'not even with force')
  await world.later(41_000)
  t.equal((await world.refresh()).refreshed, 1)
  t.ok(world.lines.some(({ message }) => /never ended/.test(message)))
})

t.test('a grant that the store cannot save is kept until it can', async (t) => {
  const world = await refreshedOnce(t)
  let refusals = 3
  const flaky = {
    ...world.deps.store,
    commit: (...args: Parameters<typeof world.deps.store.commit>) =>
      refusals-- > 0 ? Promise.reject(new Error('the disk is full')) : world.deps.store.commit(...args),
  }
  const old = await world.token()
  const [claim] = await world.deps.store.claimDue({ leaseOwner: 'this process', leaseSeconds: 40, limit: 1 })
  if (claim === undefined) throw new Error('nothing was due')
  t.match(await refreshAccount({ ...world.deps, store: flaky }, claim, { actor: 'timer' }), { outcome: 'refreshed' })
  t.not(await world.token(), old)
  t.equal(world.instagram.counts['/refresh_access_token'], 2, 'the provider was called once for it')
})

t.test('in mode “scheduled” only the safety margin counts: a quarter of the token’s life', async (t) => {
  const world = await createStoreWorld(t, { policy: { mode: 'scheduled', frequency: 'daily' } })
  await world.seed(world.instagram.issue())
  await waitsBetween(t, world, 44 * DAY_MS, 45 * DAY_MS)
})

t.test('monthly leaves room for a retry too', async (t) => {
  const world = await createStoreWorld(t, { policy: { frequency: 'monthly' }, knobs: { lifetimeSeconds: 20 * 86_400 } })
  await world.seed(world.instagram.issue())
  await waitsBetween(t, world, 15 * DAY_MS - 10 * MINUTE_MS, 15 * DAY_MS)
})

t.test('an account of an unknown provider needs the operator and affects no other', async (t) => {
  const world = await refreshedOnce(t)
  await world.seed(world.instagram.issue(), 'second')
  await world.set('provider', 'myspace', 'second')
  await world.set('next_refresh_at', new Date(0), 'second')
  t.match(await world.refresh(), { refreshed: 1, failed: 1 })
  t.match(await world.account('second'), { lastErrorCode: 'misconfigured', lastError: /does not know the provider/ })
})

t.test('an unreachable provider differs from a refusal', async (t) => {
  const world = await refreshedOnce(t)
  const providers = new Map([['instagram', { ...instagram, ...createInstagram({ graphUrl: 'http://127.0.0.1:1' }) }]])
  const [claim] = await world.deps.store.claimDue({ leaseOwner: 'this process', leaseSeconds: 40, limit: 1 })
  if (claim === undefined) throw new Error('nothing was due')
  t.match(await refreshAccount({ ...world.deps, providers }, claim, { actor: 'timer' }), {
    outcome: 'failed',
    message: /could not be reached/,
  })
  await waitsBetween(t, world, MINUTE_MS, 2 * MINUTE_MS)
})

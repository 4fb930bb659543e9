import t, { type Test } from 'tap'
import { createPictures } from '../../src/accounts/pictures.ts'
import type { Account } from '../../src/core/account.ts'
import type { Picture } from '../../src/core/media.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createRateLimit } from '../../src/refreshing/rate-limit.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import type { Call } from '../support/instagram.ts'
import { pictureOf } from '../support/instagram-pictures.ts'
import { createStoreWorld, DAY_MS, HOUR_MS, MINUTE_MS } from '../support/store-world.ts'
import { waitFor } from '../support/wait-for.ts'

const USER = '17841400000000001'

async function setUp(t: Test) {
  const world = await createStoreWorld(t)
  const { instagram, deps } = world
  let nowMs = 0
  const pictures = createPictures(deps, () => nowMs)
  await world.seed(instagram.issue({ userId: USER }))
  const asked = (): number => instagram.calls.filter(({ path, token }) => path === '/picture' && token === '').length
  const profiles = instagram.counts['/me'] ?? 0
  return {
    ...world,
    pictures,
    /** Shows the picture of the default account, as stored. */
    show: async (name?: string): Promise<Picture | null> => pictures.of(await world.account(name)),
    pass: (ms: number): void => {
      nowMs += ms
    },
    asked,
    /** Calls since the setup. */
    profilesAsked: () => (instagram.counts['/me'] ?? 0) - profiles,
  }
}

const is = (picture: Picture | null, userId: string): boolean => picture !== null && pictureOf(userId).equals(picture.bytes)

t.test('a picture is fetched once and cached for a day, for any number of requests', async (t) => {
  const { show, pass, asked, instagram } = await setUp(t)
  const first = await Promise.all(Array.from({ length: 20 }, () => show()))
  t.ok(
    first.every((picture) => is(picture, USER)),
    'all of them see it',
  )
  pass(DAY_MS - 1)
  t.ok(is(await show(), USER))
  instagram.fail('*', 'html502')
  t.ok(is(await show(), USER), 'even while the provider is down')
  instagram.heal()
  t.equal(asked(), 1)
  pass(1)
  t.ok(is(await show(), USER))
  t.equal(asked(), 2)
})

t.test('a failing provider is called again after five minutes, not at each request', async (t) => {
  for (const path of ['/me', '/picture']) {
    const { show, pass, profilesAsked, instagram, lines } = await setUp(t)
    instagram.fail(path, 'html502')
    for (let looks = 0; looks < 20; looks++) t.equal(await show(), null)
    t.equal(profilesAsked(), 1, path)
    t.match(lines.at(-1), { details: { account: 'default' }, message: /^the account is shown without its picture: / })
    instagram.heal()
    pass(5 * MINUTE_MS - 1)
    t.equal(await show(), null)
    pass(1)
    t.ok(is(await show(), USER))
    t.equal(profilesAsked(), 2, path)
  }
})

t.test('for an account without a picture the provider is called once a day', async (t) => {
  const { show, pass, profilesAsked, instagram } = await setUp(t)
  instagram.knobs.pictureUrl = 'absent'
  for (const ms of [0, HOUR_MS, DAY_MS - HOUR_MS - 1]) {
    pass(ms)
    t.equal(await show(), null)
  }
  t.equal(profilesAsked(), 1)
  instagram.knobs.pictureUrl = 'right'
  pass(1)
  t.ok(is(await show(), USER))
})

t.test('after another user takes the account over, the old picture is not shown', async (t) => {
  const { show, seed, instagram, asked } = await setUp(t)
  t.ok(is(await show(), USER))
  await seed(instagram.issue({ userId: USER }))
  t.ok(is(await show(), USER), 'a new token of the same user changes nothing')
  t.equal(asked(), 1)
  instagram.fail('/picture', 'html502')
  await seed(instagram.issue({ userId: '17841400000000003' }))
  t.equal(await show(), null, 'even while the new picture cannot be fetched')
  instagram.heal()

  const late = await setUp(t)
  late.instagram.fail('/picture', { kind: 'slow', ms: 300 }, 1)
  const before = late.show()
  await late.seed(late.instagram.issue({ userId: '17841400000000003' }))
  t.ok(is(await late.show(), '17841400000000003'))
  await before
  t.ok(is(await late.show(), '17841400000000003'), 'even if the old picture arrives late')
})

t.test('no call is made without a working token', async (t) => {
  const useless: Record<string, string | number | Date | null> = {
    access_token: null,
    provider_user_id: null,
    state: 'unverified',
    paused_at: new Date(),
    expires_at: new Date(Date.now() - 1),
  }
  for (const [column, value] of [...Object.entries(useless), ['state', 'reconnect']] as const) {
    const { show, set, profilesAsked } = await setUp(t)
    await set(column, value)
    t.equal(await show(), null, column)
    t.equal(profilesAsked(), 0, `${column} ${value}`)
  }
  const { deps, account, profilesAsked, lines } = await setUp(t)
  const withoutKey = createPictures({ ...deps, vault: createVault([generateKey()]) })
  t.equal(await withoutKey.of(await account()), null, 'a token that no key opens')
  t.equal(profilesAsked(), 0)
  t.match(lines.at(-1)?.message, /No key in ENCRYPTION_KEY opens/)
})

t.test('a forgotten picture is not shown from memory, even if it arrives late', async (t) => {
  const { show, pictures, set, instagram, asked } = await setUp(t)
  t.ok(await show())
  await set('paused_at', new Date())
  t.ok(await show(), 'a paused account keeps its picture')
  pictures.forget('default')
  t.equal(await show(), null)
  await set('paused_at', null)
  instagram.fail('/picture', { kind: 'slow', ms: 200 }, 1)
  const late = show()
  await waitFor('the call', () => asked() === 2)
  pictures.forget('default')
  await late
  await set('paused_at', new Date())
  t.equal(await show(), null)
})

t.test('four are fetched at a time, and the newest hundred are cached', async (t) => {
  const { deps, instagram, account } = await setUp(t)
  const pictures = createPictures({ ...deps, rateLimit: createRateLimit({ concurrency: 8, perSecond: 1e6, burst: 1e6 }) })
  const one = await account()
  const named = (n: number): Account => {
    const token = new Secret(instagram.issue({ userId: USER }))
    return {
      ...one,
      name: `a${n}`,
      accessToken: deps.vault.seal(token, accountContext({ provider: 'instagram', name: `a${n}` }, 'access_token')),
    }
  }
  const accounts = Array.from({ length: 101 }, (_, n) => named(n))
  instagram.fail('/picture', { kind: 'slowAnswer', ms: 20 })
  instagram.calls.length = 0
  const shown = await Promise.all(accounts.map((account) => pictures.of(account)))
  t.ok(shown.every((picture) => is(picture, USER)))
  t.equal(instagram.calls.length, 202)
  t.equal(mostAtOnce(instagram.calls), 4)
  for (const account of accounts.slice(1)) await pictures.of(account)
  t.equal(instagram.calls.length, 202, 'kept')
  await pictures.of(accounts[0] ?? one)
  t.equal(instagram.calls.length, 204, 'all but the oldest are cached')
})

function mostAtOnce(calls: readonly Call[]): number {
  const runs = calls.filter(({ path }) => path === '/picture')
  const at = (ms: number): number => runs.filter(({ startedAt, endedAt }) => startedAt <= ms && ms < (endedAt ?? 0)).length
  return Math.max(...runs.map(({ startedAt }) => at(startedAt)))
}

t.test('pictures share the rate limit of all calls, and a limit met by one pauses refreshes too', async (t) => {
  const { deps, later, show, pass, profilesAsked, instagram } = await setUp(t)
  while (deps.rateLimit.take('instagram'));
  t.equal(await show(), null)
  t.equal(profilesAsked(), 0, 'no permit, no call')
  await later(5 * MINUTE_MS)
  pass(5 * MINUTE_MS)
  instagram.fail('/me', 'appLimit')
  t.equal(await show(), null)
  t.equal(profilesAsked(), 1)
  t.equal(await deps.rateLimit.permits('instagram', 1), 0, 'calls are paused')
  instagram.heal()
  pass(5 * MINUTE_MS)
  t.equal(await show(), null)
  t.equal(profilesAsked(), 1)
})

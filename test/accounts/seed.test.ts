import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { seedAccount } from '../../src/accounts/seed.ts'
import { Secret } from '../../src/core/secret.ts'
import { eachEngine } from '../storage/engines.ts'
import { FAULTS, type FaultName } from '../support/instagram-faults.ts'
import { createStoreWorld, DAY_MS, HOUR_MS, MINUTE_MS } from '../support/store-world.ts'

const YOUNG = { ageSeconds: 60 }

eachEngine(t, 'a seed is checked with the provider, refreshed at once, and gets its user', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const token = world.instagram.issue({ username: 'the.shop' })
  t.match(await world.seed(token), { outcome: 'taken', result: { outcome: 'refreshed' } })
  const account = await world.account()
  t.match(account, { state: 'active', username: 'the.shop', providerUserId: '17841400000000001', provider: 'instagram', failureCount: 0 })
  t.ok(account.expiresAt, 'its expiry is known')
  t.equal(world.instagram.issued.get(token)?.replacedBy, await world.token())
  t.same((await world.events()).map(({ kind }) => kind).toSorted(), ['refreshed', 'seeded'])
})

for (const tooYoungCode of [100, 10, 190] as const) {
  t.test(`a seed too young to be refreshed is normal, and refreshed after a day (code ${tooYoungCode})`, async (t) => {
    const world = await createStoreWorld(t, { knobs: { tooYoungCode } })
    const token = world.instagram.issue(YOUNG)
    t.match(await world.seed(token), { outcome: 'taken', result: { outcome: 'verified', message: /too young.*normal/ } })
    t.equal(await world.token(), token)
    t.match(await world.account(), { state: 'active', failureCount: 0, lastError: null, lastErrorCode: null, expiresAt: null })
    t.ok(await world.isServed())
    t.match((await world.events())[0], { kind: 'verified', outcome: 'ok' })

    const { nextRefreshAt } = await world.account()
    const waitMs = (nextRefreshAt?.getTime() ?? 0) - world.deps.store.now().getTime()
    t.ok(waitMs > 23.9 * HOUR_MS && waitMs < 24.1 * HOUR_MS, 'a day, not a back-off')
    await world.later(waitMs + MINUTE_MS)
    t.equal((await world.refresh()).refreshed, 1)
    t.match(await world.account(), { state: 'active', failureCount: 0, lastError: null })
    t.ok((await world.account()).expiresAt)
  })
}

t.test('forcing a young seed changes nothing and does not delay its refresh', async (t) => {
  const world = await createStoreWorld(t)
  await world.seed(world.instagram.issue(YOUNG))
  await world.later(20 * HOUR_MS)
  t.match((await world.refresh(true)).results, [{ outcome: 'verified' }])
  await world.later(4 * HOUR_MS + 10 * MINUTE_MS)
  t.equal((await world.refresh()).refreshed, 1)
})

t.test('a working token whose refreshes are refused is explained after its first day', async (t) => {
  for (const fault of ['expired', 'unsupported'] as const) {
    t.test(fault, async (t) => {
      const world = await createStoreWorld(t)
      await world.seed(world.instagram.issue(YOUNG))
      world.instagram.fail('/refresh_access_token', fault)
      const codes: (string | null)[] = []
      for (let round = 0; round < 5; round++) {
        await world.later(DAY_MS + 20 * MINUTE_MS)
        await world.refresh()
        codes.push((await world.account()).lastErrorCode)
      }
      t.notOk(codes.includes(null), `no round clears the error: ${codes.join(' ')}`)
      t.ok(await world.isServed(), 'it works, so it is served')
    })
  }
})

t.test('a forced refresh soon after the first refusal does not hide it again', async (t) => {
  const world = await createStoreWorld(t)
  await world.seed(world.instagram.issue(YOUNG))
  world.instagram.fail('/refresh_access_token', 'expired')
  await world.later(DAY_MS + 20 * MINUTE_MS)
  await world.refresh()
  t.equal((await world.account()).lastErrorCode, 'reconnect')
  await world.later(15 * MINUTE_MS)
  await world.refresh(true)
  t.match(await world.account(), { state: 'reconnect', lastErrorCode: 'reconnect' })
})

t.test('while the provider is silent, a seed is served, and confirmed later', async (t) => {
  for (const fault of ['html502', 'reset', 'hang', 'tooMany', 'empty200', 'serviceTrouble'] as const) {
    t.test(fault, async (t) => {
      const world = await createStoreWorld(t, { timeoutMs: 400 })
      const token = world.instagram.issue()
      world.instagram.fail('*', fault)
      t.match(await world.seed(token), { outcome: 'taken', result: { outcome: 'failed' } })
      t.match(await world.account(), { state: 'unverified', failureCount: 1 })
      t.ok(await world.isServed())
      t.equal(await world.token(), token)
      world.instagram.heal()
      await world.later(5 * MINUTE_MS)
      t.equal((await world.refresh()).refreshed, 1)
      t.match(await world.account(), { state: 'active', providerUserId: '17841400000000001' })
    })
  }
})

t.test('a token pasted in the browser is served only after the provider confirms it', async (t) => {
  const world = await createStoreWorld(t)
  const paste = (token: string) =>
    seedAccount(world.deps, { account: 'default', provider: 'instagram', token: new Secret(token), actor: 'owner', fingerprint: null })
  world.instagram.fail('*', 'html502')
  const pasted = world.instagram.issue()
  for (let round = 0; round < 3; round++) {
    if (round === 0) t.match(await paste(pasted), { outcome: 'taken', result: { outcome: 'failed' } })
    else await world.refresh(true)
    t.match(await world.account(), { state: 'unverified', failureCount: round + 1, trustedAt: null })
    t.notOk(await world.isServed())
    t.notMatch((await world.events())[0]?.detail ?? '', /still served/)
  }
  t.match(await world.seed(pasted), { outcome: 'taken' }, 'the same token from the command line is trusted')
  t.ok(await world.isServed())
  t.match(await paste(world.instagram.issue()), { outcome: 'postponed' }, 'a paste does not replace it')
  t.ok(await world.isServed())
  world.instagram.heal()
  await world.later(MINUTE_MS)
  const confirmed = world.instagram.issue({ username: 'pasted' })
  t.match(await paste(confirmed), { outcome: 'taken', result: { outcome: 'refreshed' } })
  t.match(await world.account(), { username: 'pasted', trustedAt: null })
  t.ok(await world.isServed())
})

t.test('a new token replaces one that was refused twice, even while the provider is silent', async (t) => {
  for (const actor of ['boot', 'cli', 'owner'] as const) {
    t.test(actor, async (t) => {
      const world = await createStoreWorld(t)
      await world.seed(world.instagram.issue())
      await world.later(8 * DAY_MS)
      const give = (token: string) =>
        seedAccount(world.deps, { account: 'default', provider: 'instagram', token: new Secret(token), actor, fingerprint: 'of the new' })
      world.instagram.fail('/refresh_access_token', 'passwordChanged', 1)
      await world.refresh()
      world.instagram.fail('*', 'html502')
      const good = world.instagram.issue({ username: 'back' })
      t.match(await give(good), { outcome: 'postponed' }, 'after one refusal the token may still work')
      world.instagram.heal()
      world.instagram.fail('/refresh_access_token', 'passwordChanged', 1)
      await world.later(12 * MINUTE_MS)
      await world.refresh()
      t.match(await world.account(), { state: 'reconnect' })
      world.instagram.fail('*', 'html502')
      t.match(await give(good), { outcome: 'taken', result: { outcome: 'failed' } })
      t.equal(await world.token(), good)
      t.equal(await world.isServed(), actor !== 'owner', 'trusted unless it was pasted')
      world.instagram.heal()
      await world.later(5 * MINUTE_MS)
      await world.refresh()
      t.match(await world.account(), { state: 'active', username: 'back' })
      t.ok(await world.isServed())
    })
  }
})

t.test('a seed that the provider refuses is kept, not served, and explained', async (t) => {
  const refusals = (Object.keys(FAULTS) as FaultName[]).filter((name) =>
    ['expired', 'passwordChanged', 'appRemoved', 'unsupported', 'noPermission', 'wrongApp', 'sessionDead', 'unheardOf'].includes(name),
  )
  t.equal(refusals.length, 8)
  for (const fault of refusals) {
    t.test(fault, async (t) => {
      const world = await createStoreWorld(t)
      const token = world.instagram.issue()
      world.instagram.fail('*', fault)
      t.match(await world.seed(token), { outcome: 'taken', result: { outcome: 'failed', message: /Instagram|token/ } })
      t.match(await world.account(), { state: 'reconnect', lastError: /\(Instagram’s code \d+/ })
      t.notOk(await world.isServed())
      t.equal(await world.token(), token)
      t.match((await world.events())[0], { kind: 'reconnect_needed', outcome: 'failed' })
      t.notMatch((await world.events())[0]?.detail ?? '', /still served/)
    })
  }
})

t.test('tokens of another family and of a pending tester are refused with the three things to check', async (t) => {
  const world = await createStoreWorld(t)
  await world.seed(world.instagram.issue({ family: 'basic_display' }))
  t.match(await world.account(), { state: 'reconnect', lastError: /Basic Display.*tester invitation.*secret/ })
})

eachEngine(t, 'a changed starting token takes over once the provider has confirmed it', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const first = world.instagram.issue()
  t.match(await world.boot(first), { outcome: 'taken' })
  t.equal(await world.boot(first), null, 'the same token is not seeded twice')
  const second = world.instagram.issue({ username: 'the.other.shop' })
  t.match(await world.boot(second), { outcome: 'taken' })
  t.match(await world.account(), { username: 'the.other.shop', state: 'active' })
  t.equal(world.instagram.issued.get(second)?.replacedBy, await world.token())
  t.equal(await world.boot(second), null)
})

t.test('a changed starting token that the provider refuses never replaces one that works', async (t) => {
  const world = await createStoreWorld(t)
  await world.boot(world.instagram.issue())
  const before = await world.account()
  const refused = world.instagram.issue({ ageSeconds: 61 * 86_400 })
  t.match(await world.boot(refused), { outcome: 'refused', message: /expired/ })
  const after = await world.account()
  t.same(after, before)
  t.match((await world.events())[0], { kind: 'seed_refused', outcome: 'failed', detail: /working one stays/ })
})

t.test('nor an unconfirmed one that is served', async (t) => {
  const world = await createStoreWorld(t)
  world.instagram.fail('*', 'html502')
  const trusted = world.instagram.issue()
  await world.boot(trusted)
  world.instagram.heal()
  t.match(await world.boot(world.instagram.issue({ ageSeconds: 61 * 86_400 })), { outcome: 'refused' })
  t.equal(await world.token(), trusted)
  t.ok(await world.isServed())
})

t.test('of two unconfirmed tokens the newer one is served', async (t) => {
  const world = await createStoreWorld(t)
  world.instagram.fail('*', 'html502')
  await world.boot(world.instagram.issue())
  const newer = world.instagram.issue()
  t.match(await world.boot(newer), { outcome: 'taken' })
  t.equal(await world.token(), newer)
  t.ok(await world.isServed())
})

t.test('while the provider is silent a changed starting token waits, and is tried again', async (t) => {
  const world = await createStoreWorld(t)
  await world.boot(world.instagram.issue())
  const before = await world.account()
  const second = world.instagram.issue()
  for (const fault of ['html502', 'tooMany'] as const) {
    world.instagram.fail('/me', fault)
    t.match(await world.boot(second), { outcome: 'postponed' })
    world.instagram.heal()
  }
  t.same(await world.account(), before)
  t.match(await world.boot(second), { outcome: 'taken' })
})

t.test('a refused token gives way to any other, checked or not', async (t) => {
  const world = await createStoreWorld(t)
  world.instagram.fail('*', 'expired')
  await world.boot(world.instagram.issue())
  t.notOk(await world.isServed())
  world.instagram.heal()
  t.match(await world.boot(world.instagram.issue()), { outcome: 'taken', result: { outcome: 'refreshed' } })
  t.match(await world.account(), { state: 'active', lastError: null, failureCount: 0 })
  t.ok(await world.isServed())
})

t.test('at the next start the old starting token does not replace a token seeded by the command line', async (t) => {
  const world = await createStoreWorld(t)
  const starting = world.instagram.issue()
  await world.boot(starting)
  const seeded = world.instagram.issue({ username: 'by.hand' })
  t.match(await world.seed(seeded), { outcome: 'taken' }, 'from a shell without STARTING_TOKEN')
  t.equal(await world.boot(starting), null)
  t.match(await world.account(), { username: 'by.hand' })
  t.match(await world.boot(world.instagram.issue()), { outcome: 'taken' }, 'a new one takes over nevertheless')
})

t.test('an invalid token is refused before any call or write', async (t) => {
  const world = await createStoreWorld(t)
  for (const text of ['', 'a b', 'https://shop.example/IGAA', 'a\nb', 'x'.repeat(10_240), 'IGAAü']) {
    await t.rejects(world.seed(text), { code: 'invalid', message: /^The token / })
  }
  t.equal(world.instagram.calls.length, 0)
  t.same(await world.deps.store.list(), [])
  const seed = { account: 'default', provider: 'myspace', token: new Secret('abc'), actor: 'cli', fingerprint: null } as const
  await t.rejects(seedAccount(world.deps, seed), { code: 'invalid', message: /does not know the provider/ })
})

eachEngine(t, 'two processes that start with the same new token store it once', async (t, engine) => {
  const world = await createStoreWorld(t, { open: () => engine.open() })
  const token = world.instagram.issue()
  const results = await Promise.all([world.boot(token), world.boot(token), world.boot(token)])
  t.ok(results.every((result) => result === null || result.outcome === 'taken'))
  t.equal((await world.events()).filter(({ kind }) => kind === 'seeded').length, 1)
  t.equal(world.instagram.overlaps.count, 0, 'their calls never overlap')
  t.match(await world.account(), { state: 'active' })
})

t.test('the stored token, seeded again, is refreshed by one process only', async (t) => {
  const world = await createStoreWorld(t, { knobs: { oldString: 'invalid', minimumAgeSeconds: 0 } })
  const token = world.instagram.issue()
  const [first, second] = await Promise.all([world.seed(token), world.seed(token).then(() => world.seed(token))])
  t.same([first.outcome, second.outcome], ['taken', 'taken'])
  t.equal(world.instagram.overlaps.count, 0)
  t.equal(world.instagram.issued.get(await world.token())?.endedAt, null, 'the stored token works')
  t.match(await world.account(), { state: 'active', lastError: null })
})

t.test('another token waits for the refresh under way, then takes over', async (t) => {
  const world = await createStoreWorld(t, { knobs: { oldString: 'invalid', minimumAgeSeconds: 0 } })
  await world.seed(world.instagram.issue())
  const [claim] = await world.deps.store.claimDue({ leaseOwner: 'another', leaseSeconds: 60, limit: 1, account: 'default', force: true })
  const next = world.instagram.issue({ username: 'next' })
  const calls = world.instagram.calls.length
  const seeding = world.seed(next)
  t.equal(await Promise.race([seeding, sleep(600, 'waits')]), 'waits')
  t.equal(world.instagram.calls.length, calls, 'without a call meanwhile')
  if (claim !== undefined) await world.deps.store.release(claim, null)
  t.match(await seeding, { outcome: 'taken', result: { outcome: 'refreshed' } })
  t.match(await world.account(), { username: 'next' })
})

t.test('a seed does not replace the token of a leased account', async (t) => {
  const world = await createStoreWorld(t, { timeoutMs: 300 })
  await world.seed(world.instagram.issue())
  const held = await world.token()
  await world.deps.store.claimDue({ leaseOwner: 'another', leaseSeconds: 60, limit: 1, account: 'default', force: true })
  t.match(await world.boot(world.instagram.issue()), { outcome: 'postponed', message: /try again in a minute/ })
  t.equal(await world.token(), held)
})

t.test('a refused token does not change when the working one is due', async (t) => {
  const world = await createStoreWorld(t)
  await world.boot(world.instagram.issue())
  const before = await world.account()
  t.match(await world.boot(world.instagram.issue({ ageSeconds: 61 * 86_400 })), { outcome: 'refused' })
  t.same(await world.account(), before)
  t.equal((await world.refresh(true)).results.length, 1, 'and the lease is released')
})

t.test('a paused account keeps its good token until another one is confirmed', async (t) => {
  const world = await createStoreWorld(t)
  await world.boot(world.instagram.issue())
  const good = await world.token()
  await world.deps.store.update(
    'default',
    { pausedAt: new Date() },
    { account: 'default', kind: 'paused', actor: 'cli', outcome: 'ok', detail: null },
  )
  t.match(await world.boot('IGAAbogus'), { outcome: 'refused' })
  t.equal(await world.token(), good)
  const next = world.instagram.issue({ username: 'next' })
  t.match(await world.boot(next), { outcome: 'taken', result: null, message: /paused/ })
  t.match(await world.account(), { username: 'next', state: 'active' })
})

t.test('an old starting token does not come back after the account was removed and created again', async (t) => {
  const world = await createStoreWorld(t)
  const event = (kind: 'removed' | 'created') => ({ account: 'default', kind, actor: 'cli', outcome: 'ok', detail: null }) as const
  const starting = world.instagram.issue()
  await world.boot(starting)
  await world.deps.store.remove('default', event('removed'))
  await world.deps.store.insert({ name: 'default', provider: 'instagram', state: 'unverified' }, event('created'))
  await world.seed(world.instagram.issue({ username: 'newer' }))
  t.equal(await world.boot(starting), null)
  t.match(await world.account(), { username: 'newer' })
})

t.test('a token that dies between two calls is not taken for a young one', async (t) => {
  const world = await createStoreWorld(t, { knobs: { minimumAgeSeconds: 0 } })
  const token = world.instagram.issue()
  world.instagram.fail('/refresh_access_token', 'passwordChanged')
  world.instagram.fail('/me', { kind: 'answer', body: '{"user_id":"17841400000000001","username":"the.shop"}' }, 1)
  world.instagram.fail('/me', 'passwordChanged')
  const { result } = (await world.seed(token)) as { result: { outcome: string } }
  t.equal(result.outcome, 'failed')
})

t.test('an instance with an outdated read does not seed a starting token that another has just seeded', async (t) => {
  const world = await createStoreWorld(t)
  const token = world.instagram.issue()
  await world.boot(token)
  const [taken, calls] = [await world.account(), world.instagram.calls.length]
  const seed = { account: 'default', provider: 'instagram', token: new Secret(token), actor: 'boot' } as const
  t.match(await seedAccount(world.deps, { ...seed, fingerprint: taken.seedFingerprint }), { outcome: 'taken', result: null })
  t.same(await world.account(), taken)
  t.equal(world.instagram.calls.length, calls, 'the provider is not called')
})

t.test('a seed replaces a token that no key opens', async (t) => {
  const world = await createStoreWorld(t)
  await world.seed(world.instagram.issue())
  await world.set('access_token', 'v1.unknown.AAAA.BBBB')
  t.match(await world.seed(world.instagram.issue()), { outcome: 'taken', result: { outcome: 'refreshed' } })
  t.match(await world.account(), { state: 'active', lastError: null })
})

t.test('the history names a token by its source', async (t) => {
  const ways = [
    ['owner', 'The token that was pasted'],
    ['cli', 'The token given on the command line'],
    ['boot', 'The token of STARTING_TOKEN'],
  ] as const
  for (const [actor, words] of ways) {
    const world = await createStoreWorld(t)
    const seed = { account: 'shop', provider: 'instagram', actor, variable: 'STARTING_TOKEN' }
    const give = (token: string) => seedAccount(world.deps, { ...seed, token: new Secret(token), fingerprint: token.slice(-32) })
    await give(world.instagram.issue())
    await give(world.instagram.issue())
    await give(world.instagram.issue({ ageSeconds: 61 * 86_400 }))
    const details = (await world.deps.store.events('shop', 20)).map(({ detail }) => detail).join(' ')
    for (const what of ['was stored.', 'took over.', 'was refused, and the working one stays.']) t.match(details, `${words} ${what}`)
  }
})

t.test('a token is not stored in an account of another provider', async (t) => {
  const { deps, instagram, boot } = await createStoreWorld(t)
  const event = { account: 'default', kind: 'created', actor: 'cli', outcome: 'ok', detail: null } as const
  await deps.store.insert({ name: 'default', provider: 'another', state: 'unverified', nextRefreshAt: null }, event)
  await t.rejects(boot(instagram.issue()), { code: 'invalid', message: /“default” belongs to \w+, not to instagram/ })
  t.match(await deps.store.find('default'), { provider: 'another', accessToken: null })
})

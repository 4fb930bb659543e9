import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { AccountChange, AccountEvent, ClaimRequest, NewAccount } from '../../src/core/account-store.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext, type Vault } from '../../src/core/vault.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database, Param } from '../../src/storage/database.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'
import { eachStore } from './engines.ts'

const PAST = new Date('2026-01-01T00:00:00.000Z')
const FUTURE = new Date('2999-01-01T00:00:00.000Z')
const SWEEP: ClaimRequest = { leaseOwner: 'a', leaseSeconds: 60, limit: 10 }

const event = (account: string | null, kind: AccountEvent['kind'] = 'refreshed'): AccountEvent => ({
  account,
  kind,
  actor: 'timer',
  outcome: 'ok',
  detail: null,
})
const due = (name: string, nextRefreshAt: Date | null = PAST): NewAccount => ({
  name,
  provider: 'instagram',
  state: 'active',
  accessToken: 'v1.sealed',
  nextRefreshAt,
})

async function storeWith(db: Database, ...accounts: NewAccount[]) {
  const store = createAccountStore(db)
  for (const account of accounts) await store.insert(account, event(account.name, 'seeded'))
  return store
}

async function only<T>(list: Promise<T[]>): Promise<T> {
  const [one, ...more] = await list
  if (one === undefined || more.length > 0) throw new Error(`expected one, got ${one === undefined ? 0 : more.length + 1}`)
  return one
}

function present<T>(value: T | null): T {
  if (value === null) throw new Error('expected a row')
  return value
}

/** Moves a lease into the past. */
const lapse = (db: Database) =>
  db.query(`update accounts set lease_until = ${db.dialect.nowPlus('$1')} where lease_until is not null`, [-1])

eachStore(t, 'returns each value as it was written, to the millisecond', async (t, db) => {
  const full: Required<NewAccount> = {
    name: 'x'.repeat(40),
    provider: 'instagram',
    providerUserId: '17841400000000000123456789012345',
    providerAppUserId: '24841400000000001',
    username: '𝓎ou%_\\\'"`$1?1:x;--\u2028\u{1F600}é\t\n',
    accessToken: 'v1.a.b.c',
    refreshToken: "'; drop table accounts; --",
    scopes: '',
    pageUseConfirmedAt: new Date('2026-11-05T00:00:00.125Z'),
    pageUseEndedAt: new Date('2026-11-05T01:00:00.125Z'),
    reconnectBy: new Date('2027-01-05T00:00:00.125Z'),
    neverExpires: true,
    allowedDomains: '*.shop.example\nwww.example.com',
    jsConstant: '$hop',
    serves: 'feed',
    feedOpen: true,
    pausedAt: new Date('2026-03-29T01:00:00.001Z'),
    state: 'reconnect',
    issuedAt: new Date('2026-04-05T02:44:59.999Z'),
    expiresAt: new Date('2028-02-29T23:59:59.001Z'),
    refreshExpiresAt: new Date('2026-10-25T01:30:00.500Z'),
    lastRefreshAt: new Date('1970-01-01T00:00:00.000Z'),
    nextRefreshAt: new Date('2026-09-27T02:45:00.010Z'),
    failureCount: 3,
    refusedAt: new Date('9999-12-31T23:59:59.999Z'),
    lastErrorCode: 'transient',
    lastError: 'Zeile 1\nZeile 2 – “x”',
    seedFingerprint: 'f'.repeat(64),
    trustedAt: new Date('2026-11-01T00:00:00.250Z'),
    connectedAt: new Date('2026-11-02T00:00:00.500Z'),
    checkedAt: new Date('2026-11-03T00:00:00.750Z'),
    nextCheckAt: new Date('2026-11-04T00:00:00.999Z'),
    doubted: 'life of 5 s',
    doubtedAt: new Date('2026-11-23T08:00:00.001Z'),
  }
  const store = await storeWith(db, full)
  const { version, revision, createdAt, failingSince: _, ...kept } = present(await store.find(full.name))
  t.strictSame(kept, full)
  t.equal(version, 1)
  t.equal(revision, 0)
  t.ok(Math.abs(createdAt.getTime() - store.now().getTime()) < 60_000)
  t.strictSame(await store.list(), [await store.find(full.name)])
  t.equal(await store.find('nobody'), null)
})

eachStore(t, 'inserts a name once, with its event', async (t, db) => {
  const store = await storeWith(db)
  t.equal(await store.insert(due('one'), event('one', 'seeded')), true)
  t.equal(await store.insert(due('one'), event('one', 'replaced')), false)
  t.strictSame(
    (await store.events('one', 9)).map(({ kind }) => kind),
    ['seeded'],
  )
})

eachStore(t, 'refuses impossible values', async (t, db) => {
  const store = await storeWith(db, due('one'))
  await t.rejects(store.insert(due(''), event(null)))
  await t.rejects(store.insert(due('x'.repeat(41)), event(null)))
  await t.rejects(db.query("update accounts set state = 'broken'"))
  await t.rejects(db.query('update accounts set version = 0'))
  await t.rejects(db.query("update accounts set lease_owner = 'a'"))
  await t.rejects(db.query("update accounts set attempt_id = 'a'"))
})

eachStore(t, 'claims the due and free accounts, the most overdue first, up to the limit', async (t, db) => {
  const at = (minute: number) => new Date(PAST.getTime() + minute * 60_000)
  const overdue = [due('b', at(3)), due('d', at(1)), due('c', at(2)), due('a', at(4))]
  const store = await storeWith(db, due('later', FUTURE), due('never', null), ...overdue)
  const first = await store.claimDue({ ...SWEEP, limit: 3 })
  t.strictSame(
    first.map(({ account }) => account.name),
    ['d', 'c', 'b'],
  )
  t.equal(new Set(first.map(({ attemptId }) => attemptId)).size, 3, 'each attempt has its own id')
  t.strictSame(
    (await store.claimDue(SWEEP)).map(({ account }) => account.name),
    ['a'],
  )
  t.strictSame(await store.claimDue(SWEEP), [])
})

eachStore(t, 'claims one account by name, with force also before it is due, but never a leased one', async (t, db) => {
  const store = await storeWith(db, due('a'), due('later', FUTURE), due('never', null))
  t.strictSame(await store.claimDue({ ...SWEEP, account: 'later' }), [])
  t.equal((await only(store.claimDue({ ...SWEEP, account: 'later', force: true }))).account.name, 'later')
  t.equal((await only(store.claimDue({ ...SWEEP, account: 'never', force: true }))).account.name, 'never')
  t.strictSame(await store.claimDue({ ...SWEEP, account: 'later', force: true, leaseOwner: 'b' }), [])
})

eachStore(t, 'a forced attempt of a dead process is retried', async (t, db) => {
  const store = await storeWith(db, due('later', FUTURE), due('never', null))
  await store.claimDue({ ...SWEEP, force: true })
  await lapse(db)
  const again = await store.claimDue(SWEEP)
  t.strictSame(again.map(({ account }) => account.name).sort(), ['later', 'never'])
  t.ok(again.every(({ interruptedAt }) => interruptedAt !== null))
})

eachStore(t, 'the next owner of a lapsed lease learns when the first attempt began', async (t, db) => {
  const store = await storeWith(db, due('a'))
  const lost = await only(store.claimDue(SWEEP))
  t.equal(lost.interruptedAt, null)
  await lapse(db)
  const taken = await only(store.claimDue({ ...SWEEP, leaseOwner: 'b' }))
  t.equal(taken.interruptedAt?.getTime(), lost.claimedAt.getTime())
  t.not(taken.attemptId, lost.attemptId)

  t.equal(await store.commit(lost, { accessToken: 'v1.late' }, event('a')), false)
  t.equal((await store.find('a'))?.accessToken, 'v1.sealed')
  t.equal(await store.commit(taken, { accessToken: 'v1.new', nextRefreshAt: FUTURE }, event('a')), true)
  t.match(await store.find('a'), { accessToken: 'v1.new', version: 2 })
  t.equal((await store.events('a', 9)).length, 2, 'the late attempt left no event')
})

eachStore(t, 'a late result is saved where no other process took over', async (t, db) => {
  const store = await storeWith(db, due('a'))
  const claim = await only(store.claimDue(SWEEP))
  await lapse(db)
  t.equal(await store.commit(claim, { accessToken: 'v1.new' }, event('a')), true)
})

eachStore(t, 'a repeated commit returns true and writes nothing twice', async (t, db) => {
  const store = await storeWith(db, due('a'))
  const claim = await only(store.claimDue(SWEEP))
  t.equal(await store.commit(claim, { accessToken: 'v1.new' }, event('a')), true)
  t.equal(await store.commit(claim, { accessToken: 'v1.new' }, event('a')), true)
  t.equal((await store.find('a'))?.version, 2)
  t.equal((await store.events('a', 9)).length, 2)
  await store.replace('a', 2, { accessToken: 'v1.other' }, event('a', 'replaced'))
  t.equal(await store.commit(claim, { accessToken: 'v1.new' }, event('a')), false)
})

eachStore(t, 'the end of an attempt frees the account until it is due again', async (t, db) => {
  const store = await storeWith(db, due('a'))
  const claim = await only(store.claimDue(SWEEP))
  const change = { failureCount: 1, lastError: 'Try later.', nextRefreshAt: FUTURE }
  t.equal(await store.commit(claim, change, event('a', 'refresh_failed')), true)
  t.match(await store.find('a'), { ...change, version: 1, accessToken: 'v1.sealed' }, 'no token, no new version')
  t.strictSame(await store.claimDue(SWEEP), [])
  t.equal((await only(store.claimDue({ ...SWEEP, force: true }))).interruptedAt, null)
})

eachStore(t, 'replaces the version that was read, once, and voids the running attempt', async (t, db) => {
  const store = await storeWith(db, due('a'))
  const claim = await only(store.claimDue(SWEEP))
  t.equal(await store.replace('a', 1, { accessToken: 'v1.other', issuedAt: null }, event('a', 'replaced')), true)
  t.equal(await store.replace('a', 1, { accessToken: 'v1.third' }, event('a', 'replaced')), false)
  t.equal(await store.commit(claim, { accessToken: 'v1.stale' }, event('a')), false)
  t.match(await store.find('a'), { accessToken: 'v1.other', version: 2 })
  t.equal((await only(store.claimDue({ ...SWEEP, force: true }))).interruptedAt, null, 'the claim is free at once')
  t.strictSame(
    (await store.events('a', 9)).map(({ kind }) => kind),
    ['replaced', 'seeded'],
  )
})

eachStore(t, 'changes nothing where the event cannot be written', async (t, db) => {
  const store = await storeWith(db, due('a'))
  const claim = await only(store.claimDue(SWEEP))
  // An outcome that the table refuses, from an untyped caller.
  const broken: AccountEvent = JSON.parse(JSON.stringify({ ...event('a'), outcome: 'perhaps' }))
  await t.rejects(store.commit(claim, { accessToken: 'v1.new' }, broken))
  await t.rejects(store.replace('a', 1, { accessToken: 'v1.new' }, broken))
  await t.rejects(store.insert(due('b'), broken))
  t.match(await store.find('a'), { accessToken: 'v1.sealed', version: 1 })
  t.equal(await store.find('b'), null)
  t.equal(await store.commit(claim, { accessToken: 'v1.new' }, event('a')), true, 'the attempt is still open')
})

eachStore(t, 'lists the events of one account, newest first', async (t, db) => {
  const store = await storeWith(db)
  for (let i = 0; i < 20; i++) await store.record({ ...event('a'), detail: String(i) })
  await store.record(event('b'))
  await store.record(event(null))
  const events = await store.events('a', 15)
  t.strictSame(
    events.map(({ detail }) => detail),
    Array.from({ length: 15 }, (_, i) => String(19 - i)),
  )
  t.match(events[0], { account: 'a', kind: 'refreshed', actor: 'timer', outcome: 'ok' })
  t.ok(Math.abs((events[0]?.at.getTime() ?? 0) - store.now().getTime()) < 60_000)
  t.strictSame(await store.events('nobody', 5), [])
})

eachStore(t, 'reseals a row only if it has not changed since it was read', async (t, db) => {
  const store = await storeWith(db, due('a'))
  const read = present(await store.find('a'))
  t.equal(await store.reseal(read, { accessToken: 'v1.again', refreshToken: null }), true)
  t.equal(await store.reseal(read, { accessToken: 'v1.stale', refreshToken: null }), false)
  t.match(await store.find('a'), { accessToken: 'v1.again', version: 1 })
})

eachStore(t, 'counts time by the database’s clock, not this machine’s', async (t, db) => {
  const ahead: Database = { ...db, dialect: { ...db.dialect, now: db.dialect.nowPlus('172800') } }
  const store = createAccountStore(ahead)
  const fromHere = () => Math.round((store.now().getTime() - Date.now()) / 3_600_000)
  t.equal(fromHere(), 0, 'before the first answer this machine’s clock counts')
  await store.insert(due('a', new Date(Date.now() + 86_400_000)), event('a', 'seeded'))
  t.equal(fromHere(), 48)
  t.equal((await only(store.claimDue(SWEEP))).account.name, 'a', 'due tomorrow by this clock, since yesterday by the database’s')
})

eachStore(t, 'gives each account to one of several processes that sweep at once', async (t, db, engine) => {
  const names = Array.from({ length: 60 }, (_, i) => `account-${i}`)
  await storeWith(db, ...names.map((name) => due(name)))
  const claimed: string[] = []
  const sweep = async (owner: string) => {
    const store = createAccountStore(await engine.open())
    for (;;) {
      const claims = await store.claimDue({ ...SWEEP, leaseOwner: owner, limit: 3 })
      if (claims.length === 0) return
      t.ok(claims.length <= 3, 'within the limit')
      claimed.push(...claims.map(({ account }) => account.name))
    }
  }
  await Promise.all([sweep('a'), sweep('b'), sweep('c')])
  t.strictSame(claimed.sort(), names.sort())
})

eachStore(t, 'a sweep skips an account that another process is claiming', async (t, db, engine) => {
  const store = await storeWith(db, due('held'), due('free', new Date(PAST.getTime() + 1000)))
  const other = await engine.open()
  const held = Promise.withResolvers<void>()
  const letGo = Promise.withResolvers<void>()
  const holding = other.transaction(async (tx) => {
    const taken = "update accounts set lease_owner = 'b', lease_until = $1, attempt_id = 'b', attempt_started_at = $1 where name = 'held'"
    await tx.query(taken, [FUTURE])
    held.resolve()
    await letGo.promise
  })
  await held.promise
  const claiming = store.claimDue(SWEEP)
  // SQLite has one writer, so its claim comes later; Postgres must not wait for the row.
  if (engine.name === 'sqlite') letGo.resolve()
  const claims = await claiming
  letGo.resolve()
  await holding
  t.strictSame(
    claims.map(({ account }) => account.name),
    ['free'],
  )
})

eachStore(t, 'resealing under load never restores an old token', async (t, db, engine) => {
  const [old, fresh] = [generateKey(), generateKey()]
  const place = accountContext({ provider: 'instagram', name: 'a' }, 'access_token')
  const before = createVault([old])
  const after = createVault([fresh, old])
  const seal = (vault: Vault, token: string) => vault.seal(new Secret(token), place)
  const store = await storeWith(db, { ...due('a'), accessToken: seal(before, 'token-1') })
  const rotating = createAccountStore(await engine.open())
  let replacing = true
  const rotation = (async () => {
    while (replacing) {
      const read = present(await rotating.find('a'))
      const opened = after.open(read.accessToken ?? '', place)
      if (await rotating.reseal(read, { accessToken: after.seal(opened, place), refreshToken: null })) t.match(opened.reveal(), /^token-/)
    }
  })()
  for (let version = 1; version <= 30; version++) {
    // An agent without the new key wrote it.
    t.equal(await store.replace('a', version, { accessToken: seal(before, `token-${version + 1}`) }, event('a', 'replaced')), true)
    t.equal(after.open(present(await store.find('a')).accessToken ?? '', place).reveal(), `token-${version + 1}`)
  }
  replacing = false
  await rotation
})

eachStore(t, 'a claim by name waits for a locked row; a sweep skips it', async (t, db, engine) => {
  const store = await storeWith(db, due('locked'))
  const other = await engine.open()
  let claiming: Promise<unknown[]> | undefined
  await other.transaction(async (tx) => {
    await tx.query('update accounts set username = username where name = $1', ['locked'])
    if (engine.name === 'postgres') t.same(await store.claimDue(SWEEP), [], 'passed over')
    claiming = store.claimDue({ ...SWEEP, account: 'locked' })
    t.equal(await Promise.race([claiming, sleep(200, 'waits')]), 'waits')
  })
  t.match(await claiming, [{ account: { name: 'locked' } }])
  t.same(await store.claimDue({ ...SWEEP, leaseOwner: 'b', account: 'locked', force: true }), [], 'it is claimed once the lock is gone')
})

t.test('finds the due accounts among 100,000 by an index', async (t) => {
  const claimSql = async (db: Database) => {
    const asked: { sql: string; params: readonly Param[] | undefined }[] = []
    const watched: Database = {
      ...db,
      query: <Row>(sql: string, params?: readonly Param[]) => {
        asked.push({ sql, params })
        return db.query<Row>(sql, params)
      },
    }
    await createAccountStore(watched).claimDue(SWEEP)
    return asked[0] ?? t.fail('asked nothing')
  }
  const series = {
    sqlite: 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n',
    postgres: 'select i from generate_series(1, 100000) as n(i)',
  }
  eachStore(t, 'the plan', async (t, db, { name }) => {
    const later = db.dialect.nowPlus('60 * (i - 50)')
    // With the time limit of migrations: so many rows take longer than a query may.
    await db.exclusively(async (tx) => {
      await tx.script(`insert into accounts (name, provider, state, next_refresh_at, created_at)
        select 'account-' || i, 'instagram', 'active', ${later}, ${db.dialect.now} from (${series[name]}) as numbers; analyze`)
    })
    const question = await claimSql(db)
    if (typeof question === 'boolean') return
    const rows = await db.query(`${name === 'sqlite' ? 'explain query plan' : 'explain'} ${question.sql}`, question.params)
    const plan = rows.map((row) => JSON.stringify(row)).join('\n')
    t.match(plan, /Index Cond: \(next_refresh_at <=|USING INDEX accounts_next_refresh_at \(next_refresh_at</)
    t.notMatch(plan, /Seq Scan on accounts|SCAN accounts/, 'no table is scanned')
  })
})

eachStore(t, 'other scopes end the owner’s word that pages may have the token, the same ones do not', async (t, db) => {
  const store = await storeWith(db, { ...due('one'), scopes: 'a b', pageUseConfirmedAt: new Date('2026-11-05T00:00:00.125Z') })
  const wordAfter = async (scopes: string | null) => {
    t.ok(await store.update('one', { scopes }, event('one', 'changed')))
    return present(await store.find('one')).pageUseConfirmedAt
  }
  const [given, ended] = [new Date('2026-11-06T00:00:00.125Z'), new Date('2026-11-07T00:00:00.125Z')]
  t.ok(await wordAfter('a b'))
  t.equal(await wordAfter('a'), null)
  await store.update('one', { pageUseConfirmedAt: given }, event('one', 'changed'))
  t.equal(await wordAfter(null), null, 'unknown ones too')

  const endAfter = async (word: Date | null, change: AccountChange) => {
    await store.update('one', { scopes: 'a', pageUseConfirmedAt: word, pageUseEndedAt: null }, event('one', 'changed'))
    await store.update('one', { pageUseEndedAt: ended, ...change }, event('one', 'changed'))
    return present(await store.find('one')).pageUseEndedAt
  }
  t.same(await endAfter(given, { scopes: 'a b' }), ended)
  t.same(await endAfter(given, { scopes: null, pageUseConfirmedAt: null }), ended)
  t.equal(await endAfter(given, { scopes: 'a' }), null, 'the same scopes')
  t.equal(await endAfter(null, { scopes: 'a b' }), null, 'pages did not have it')
})

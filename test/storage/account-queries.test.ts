import t from 'tap'
import { isAtRisk, lifeLeft, needsPerson } from '../../src/core/account.ts'
import type { NewAccount } from '../../src/core/account-store.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createOverview } from '../../src/storage/account-queries.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { createAlertStore } from '../../src/storage/alert-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { createVault } from '../../src/storage/vault.ts'
import { eachStore } from './engines.ts'

const DAY = 86_400_000
const vault = createVault(['newest-key', 'older-key'])
const older = createVault(['older-key'])
const foreign = createVault(['somebody-else'])
const seal = (name: string, by = vault): string =>
  by.seal(new Secret('token'), accountContext({ provider: 'instagram', name }, 'access_token'))
const inDays = (days: number): Date => new Date(Date.now() + days * DAY)
const event = { account: null, kind: 'seeded', actor: 'cli', outcome: 'ok', detail: null } as const

const CASES: readonly (Partial<NewAccount> & { name: string })[] = [
  { name: 'fine', accessToken: seal('fine'), expiresAt: inDays(30), nextRefreshAt: inDays(20) },
  { name: 'sealed-earlier', accessToken: seal('sealed-earlier', older), expiresAt: inDays(30), nextRefreshAt: inDays(10) },
  { name: 'life-not-known', accessToken: seal('life-not-known'), state: 'unverified', nextRefreshAt: inDays(0) },
  { name: 'failing', accessToken: seal('failing'), expiresAt: inDays(9), failureCount: 2, lastErrorCode: 'transient' },
  { name: 'refused', accessToken: seal('refused'), state: 'reconnect', expiresAt: inDays(8), failureCount: 1, lastErrorCode: 'reconnect' },
  { name: 'misconfigured', accessToken: seal('misconfigured'), expiresAt: inDays(7), failureCount: 1, lastErrorCode: 'misconfigured' },
  { name: 'expired', accessToken: seal('expired'), expiresAt: inDays(-1), nextRefreshAt: inDays(-2) },
  { name: 'empty', state: 'unverified' },
  { name: 'paused', accessToken: seal('paused'), state: 'reconnect', expiresAt: inDays(-1), pausedAt: inDays(-1) },
  { name: 'foreign', accessToken: seal('foreign', foreign), expiresAt: inDays(30), nextRefreshAt: inDays(15) },
  { name: 'altered', accessToken: seal('fine'), expiresAt: inDays(30), failureCount: 1, lastErrorCode: 'unreadable' },
]
/** Accounts that need attention, and some that only look like it. */
const NEAR_END: typeof CASES = [
  { name: 'dying', accessToken: seal('dying'), issuedAt: inDays(-55), expiresAt: inDays(5), failureCount: 30, lastErrorCode: 'transient' },
  { name: 'early', accessToken: seal('early'), issuedAt: inDays(-53), expiresAt: inDays(7), failureCount: 20, lastErrorCode: 'transient' },
  { name: 'short', accessToken: seal('short'), issuedAt: inDays(-55), expiresAt: inDays(5), nextRefreshAt: inDays(1) },
]
/** With a refresh token, whose end counts instead of the access token's. */
const renewed = { accessToken: seal('fine'), refreshToken: seal('fine'), issuedAt: inDays(-1), expiresAt: inDays(-0.01) }
const RENEWED: typeof CASES = [
  { name: 'renewed', ...renewed, refreshExpiresAt: inDays(100), failureCount: 1, lastErrorCode: 'transient' },
  { name: 'seed-alone', refreshToken: seal('fine'), state: 'unverified' },
  { name: 'grant-ended', ...renewed, expiresAt: inDays(1), refreshExpiresAt: inDays(-1) },
  { name: 'approval-ended', ...renewed, neverExpires: true, expiresAt: null, reconnectBy: inDays(-1) },
  { name: 'approval-ends', ...renewed, neverExpires: true, expiresAt: null, reconnectBy: inDays(6) },
  { name: 'foreign-seed', refreshToken: seal('x', foreign), state: 'unverified' },
]
const hourly = { issuedAt: inDays(-10), expiresAt: inDays(50), failureCount: 1, lastErrorCode: 'transient' }
const FAILING: typeof CASES = [
  { name: 'a-day', accessToken: seal('a-day'), ...hourly },
  { name: 'an-hour', accessToken: seal('an-hour'), ...hourly },
]

eachStore(t, 'counts as core/account.ts does', async (t, db) => {
  const store = createAccountStore(db)
  for (const one of [...CASES, ...NEAR_END]) await store.insert({ provider: 'instagram', state: 'active', ...one }, event)
  await store.insert({ name: 'gone', provider: 'instagram', state: 'reconnect' }, event)
  await store.remove('gone', { ...event, kind: 'removed' })
  const accounts = await store.list()
  const need = accounts.filter((account) => needsPerson(account, store.now())).map(({ name }) => name)
  const failing = accounts.filter((one) => one.failureCount > 0 && (lifeLeft(one, store.now()) ?? 1) <= 0.1)
  t.strictSame(
    failing.map(({ name }) => name),
    ['dying'],
  )
  t.strictSame(need.sort(), ['altered', 'empty', 'expired', 'misconfigured', 'refused'])
  t.strictSame(await createOverview(db, vault.keyPrefixes).summarize(), {
    byState: { unverified: 2, active: 10, reconnect: 2 },
    paused: 1,
    needPerson: need.length,
    nearEnd: 1,
    unreadable: 2,
    needAttention: need.length + 4,
  })
  t.match(await createOverview(db, foreign.keyPrefixes).summarize(), { unreadable: 13 - 1 })
})

eachStore(t, 'pages begin with the accounts that need attention, counted as core/account.ts does', async (t, db) => {
  const store = createAccountStore(db)
  for (const one of [...CASES, ...NEAR_END, ...FAILING]) await store.insert({ provider: 'instagram', state: 'active', ...one }, event)
  for (const [name, since] of [
    ['a-day', inDays(-1.01)],
    ['an-hour', inDays(-0.05)],
  ] as const)
    await db.query('update accounts set failing_since = $1 where name = $2', [since, name])
  const now = store.now()
  const expected = (await store.list())
    .filter((one) => needsPerson(one, now) || isAtRisk(one, now) || one.name === 'foreign')
    .map(({ name }) => name)
  t.strictSame(
    expected.filter((name) => ['a-day', 'an-hour', 'dying', 'early', 'short', 'fine'].includes(name)),
    ['a-day', 'dying', 'early', 'short'],
  )
  const overview = createOverview(db, vault.keyPrefixes)
  t.match(await overview.summarize(), { needAttention: expected.length })
  const all = { offset: 0, limit: 100, search: '', onlyNeedy: false }
  const names = async (request: Partial<typeof all>): Promise<string[]> =>
    (await overview.page({ ...all, ...request })).accounts.map(({ name }) => name)
  const needy = await names({ onlyNeedy: true })
  t.strictSame(needy.toSorted(), expected.toSorted())
  t.equal((await overview.page({ ...all, onlyNeedy: true, limit: 1 })).total, expected.length)
  const whole = await names({})
  t.strictSame(whole.slice(0, needy.length), needy, 'in front')
  t.ok(needy.indexOf('refused') < needy.indexOf('a-day'), 'accounts that need a person come before those that the agent retries')
  const others = whole.slice(needy.length)
  t.equal(whole.length, (await store.list()).length, 'all of them')
  t.strictSame(others, others.toSorted(), 'the others by name')
  const turned = []
  for (let offset = 0; offset < whole.length; offset += 3) turned.push(...(await names({ offset, limit: 3 })))
  t.strictSame(turned, whole, 'each account once, whatever the page size')
  t.strictSame(await names({ search: 'EARL' }), ['early'])
})

eachStore(t, 'a refresh token counts by its own end, and a row with it alone needs nobody', async (t, db) => {
  const store = createAccountStore(db)
  for (const one of RENEWED) await store.insert({ provider: 'tiktok', state: 'active', ...one }, event)
  const named = (is: typeof needsPerson) => store.list().then((all) => all.filter((one) => is(one, store.now())).map(({ name }) => name))
  t.strictSame(await named(needsPerson), ['approval-ended', 'grant-ended'])
  t.strictSame(await named(isAtRisk), ['approval-ended', 'approval-ends', 'grant-ended'])
  const overview = createOverview(db, vault.keyPrefixes)
  t.match(await overview.summarize(), { needPerson: 2, needAttention: 4, unreadable: 1, nearEnd: 0 })
  const { accounts } = await overview.page({ offset: 0, limit: 9, search: '', onlyNeedy: true })
  t.strictSame(accounts.map(({ name }) => name).sort(), ['approval-ended', 'approval-ends', 'foreign-seed', 'grant-ended'])
  const due = await store.claimDue({ leaseOwner: 'me', leaseSeconds: 60, limit: 1, account: 'seed-alone', force: true })
  t.equal(due.length, 1, 'it may be asked for by name')
})

eachStore(t, 'mostUrgent lists failing accounts, then due ones, up to the limit', async (t, db) => {
  const store = createAccountStore(db)
  for (const one of CASES) await store.insert({ provider: 'instagram', state: 'active', ...one }, event)
  const urgent = async (limit: number) => (await createOverview(db, vault.keyPrefixes).mostUrgent(limit)).map(({ name }) => name)
  t.strictSame(await urgent(3), ['misconfigured', 'refused', 'failing'])
  const all = await urgent(100)
  t.equal(all.length, CASES.length)
  const due = all.filter((name) => ['expired', 'life-not-known', 'sealed-earlier', 'foreign', 'fine'].includes(name))
  t.strictSame(due, ['expired', 'life-not-known', 'sealed-earlier', 'foreign', 'fine'])
})

eachStore(t, 'deletes the oldest events in slices', async (t, db) => {
  const store = createAccountStore(db)
  for (let n = 0; n < 5; n++) await store.record(event)
  const rows = await db.query<{ id: string }>('select id from events order by id')
  for (const [at, { id }] of rows.entries()) await db.query('update events set at = $1 where id = $2', [inDays(at < 3 ? -401 : -399), id])
  const overview = createOverview(db, vault.keyPrefixes)
  t.equal(await overview.trimEvents(400, 2), 2)
  t.equal(await overview.trimEvents(400, 2), 1)
  t.equal(await overview.trimEvents(400, 2), 0)
  t.equal((await store.events(null, 100)).length, 2)
})

const AMOUNT = 20_000

/** Each with a token of 200 characters, as Instagram's are; a hundred due, ten failing. */
async function fill(db: Database): Promise<void> {
  const now = Date.now()
  for (let start = 0; start < AMOUNT; start += 500) {
    const rows = Array.from({ length: 500 }, (_, n) => {
      const at = start + n
      const next = new Date(at % 200 === 0 ? now - at * 1000 : now + DAY + at * 1000).toISOString()
      const text = `('shop-${at}', 'instagram', '${'v1.'.padEnd(300, 'x')}', 'active', '${new Date(now + 40 * DAY).toISOString()}', '${next}', '${new Date(now + 30 * DAY).toISOString()}', ${at % 2000 === 0 ? 1 : 0}, '${new Date(now).toISOString()}')`
      return text
    })
    await db.query(
      `insert into accounts (name, provider, access_token, state, expires_at, next_refresh_at, alert_at, failure_count, created_at) values ${rows.join(',')}`,
    )
  }
  await db.query('analyze accounts')
}

eachStore(t, 'the queries of each tick and scrape use an index', async (t, db, engine) => {
  await fill(db)
  const plans: string[] = []
  const explaining: Database = {
    ...db,
    async query<Row>(sql: string, params?: Parameters<Database['query']>[1]) {
      const explain = engine.name === 'sqlite' ? 'explain query plan' : 'explain'
      const rows = await db.query<Record<string, unknown>>(`${explain} ${sql}`, params)
      plans.push(rows.map((row) => String(row['QUERY PLAN'] ?? row['detail'])).join('\n'))
      return db.query<Row>(sql, params)
    },
  }
  const claim = { leaseOwner: 'test', leaseSeconds: 30, limit: 8 }
  const store = createAccountStore(explaining)
  t.equal((await store.claimDue({ ...claim, provider: 'instagram' })).length, 8)
  await store.claimDue({ ...claim, exceptProviders: ['instagram'] })
  await store.claimDue({ ...claim, account: 'shop-7', force: true })
  await createAlertStore(explaining).claimAlerts(10, 60)
  await createOverview(explaining, vault.keyPrefixes).mostUrgent(1000)
  await createOverview(explaining, vault.keyPrefixes).trimEvents(400, 1000)
  t.equal(plans.length, 7)
  for (const plan of plans) t.notMatch(plan, engine.name === 'sqlite' ? /\bSCAN accounts(?! USING INDEX)/ : /Seq Scan on accounts/, plan)
  t.match(plans[0], /accounts_(provider_)?next_refresh_at/)
})

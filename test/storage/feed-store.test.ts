import t from 'tap'
import { type FeedClaim, type FeedPost, isShown, MAX_TRIES } from '../../src/feeds/feed.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { createFeedStore } from '../../src/storage/feed-store.ts'
import { createFeedSummaries } from '../../src/storage/feed-summaries.ts'
import { prepareInstallation } from '../../src/storage/installation.ts'
import { eachStore } from './engines.ts'

const PROVIDERS = { all: ['instagram', 'threads'], byDefault: ['instagram'], private: ['threads'] }
const event = (account: string) => ({ account, kind: 'changed', actor: 'owner', outcome: 'ok', detail: null }) as const
const NAME = 'a'.repeat(32)
const picture = (name = NAME) =>
  ({
    name,
    type: 'image/webp',
    width: 9,
    height: 9,
    color: null,
    sizes: [
      { width: 3, height: 3 },
      { width: 9, height: 9 },
    ],
  }) as const
const BYTES = [new Uint8Array(10).fill(255), new Uint8Array(20)]

function post(id: string, change: Partial<FeedPost> = {}): FeedPost {
  const text = { username: null, caption: null, altText: null, productType: null, children: [] }
  return { id, mediaType: 'IMAGE', permalink: 'https://x', timestamp: 't', ...text, picture: null, file: null, tries: 0, ...change }
}

async function setUp(db: Database, { maxBytes = 1e6 } = {}) {
  await prepareInstallation(db, '')
  const accounts = createAccountStore(db)
  const store = createFeedStore(db, { providers: PROVIDERS, leaseSeconds: 60, maxBytes })
  const add = async (name: string, change = {}): Promise<void> => {
    const row = { provider: 'instagram', state: 'active', accessToken: 'v1.x', providerUserId: '1', ...change } as const
    await accounts.insert({ ...row, name }, event(name))
    await store.begin(name, '1')
  }
  const later = (name: string, set: string, seconds: number) =>
    db.query(`update feeds set ${set} = ${db.dialect.nowPlus('$2')} where account = $1`, [name, seconds])
  const claimed = async (name = 'shop'): Promise<FeedClaim> => {
    const [claim] = await store.claim({ limit: 1, account: name, isForced: true })
    if (claim === undefined) throw new Error(`no claim of ${name}`)
    return claim
  }
  const save = (claim: FeedClaim, posts: FeedPost[], etag = 'e', isLast = true) =>
    store.save(claim, { posts, etag, isShort: false, nextFetchAt: new Date(Date.now() + 60_000), isLast, lastError: null })
  const rows = async () =>
    (
      await db.query<{ account: string; name: string; width: number }>(
        'select account, name, width from pictures order by account, name, width',
      )
    ).map(({ account, name, width }) => `${account} ${name.slice(0, 2)} ${width}`)
  return { accounts, store, add, later, claimed, save, rows }
}

eachStore(t, 'each due feed goes to one caller, by the rules of what may be fetched', async (t, db) => {
  const { accounts, store, add, later, claimed } = await setUp(db)
  t.equal(await createFeedSummaries(db).hasWork(), false)
  await add('due')
  await add('paused', { pausedAt: new Date() })
  await add('refused', { state: 'reconnect' })
  await add('empty', { accessToken: null })
  await add('ended', { expiresAt: new Date(Date.now() - 1000) })
  await add('off', { serves: 'token' })
  await add('feed', { serves: 'feed' })
  await add('threads', { provider: 'threads' })
  await add('word', { provider: 'threads', serves: 'both' })
  await add('tiktok', { provider: 'tiktok', serves: 'both' })
  await add('other', {})
  await db.query("update feeds set user_id = '2' where account = 'other'")
  t.equal(await createFeedSummaries(db).hasWork(), true)
  const names = (claims: FeedClaim[]) => claims.map(({ account: { name } }) => name).sort()
  const both = await Promise.all([store.claim({ limit: 9 }), store.claim({ limit: 9 })])
  t.strictSame(names(both.flat()), ['due', 'feed'])
  t.strictSame(names(await store.claim({ limit: 9 })), [], 'leased')
  await store.giveWord('word', '1')
  t.strictSame(names(await store.claim({ limit: 9 })), ['word'], 'the owner says that the profile is public')
  await later('due', 'lease_until', -1)
  t.match(await claimed('due'), { account: { name: 'due' }, feed: { posts: null, userId: '1' } }, 'a lease lapses')
  await accounts.remove('word', event('word'))
  t.match(await store.look('word'), { isRemoved: true, feed: null })
})

eachStore(t, 'there is work where a feed is due, outdated, or nobody’s', async (t, db) => {
  const { add, later, claimed, save } = await setUp(db)
  const { hasWork } = createFeedSummaries(db)
  await add('shop')
  await save(await claimed(), [post('1')])
  t.equal(await hasWork(), false)
  await later('shop', 'read_at', -9 * 86_400)
  await later('shop', 'next_fetch_at', -86_400)
  t.equal(await hasWork(), false, 'nobody reads it')
  await later('shop', 'fetched_at', -15 * 86_400)
  t.equal(await hasWork(), true, 'outdated')
  await later('shop', 'fetched_at', 0)
  await db.query("update accounts set provider_user_id = '2'")
  t.equal(await hasWork(), true, 'of another user')
})

eachStore(t, 'the end of an attempt that another has taken over deletes none of its pictures', async (t, db) => {
  const { accounts, store, add, later, claimed, rows } = await setUp(db)
  await add('shop')
  const late = await claimed()
  await later('shop', 'lease_until', -1)
  t.equal(await store.addPicture(await claimed(), picture(), BYTES), 'kept')
  await store.fail(late, { kind: 'full', nextFetchAt: new Date(), lastError: 'Full.' })
  t.strictSame(await rows(), ['shop aa 3', 'shop aa 9'])
  await db.query(`update accounts set next_refresh_at = ${db.dialect.nowPlus('86400')}`)
  await store.fail(late, { kind: 'refused', nextFetchAt: new Date(), lastError: 'No.' })
  t.ok(((await accounts.find('shop'))?.nextRefreshAt?.getTime() ?? 0) > Date.now() + 80_000_000, 'and asks for no refresh')
})

eachStore(t, 'pictures and posts are written by the attempt that holds the feed, and by no other', async (t, db) => {
  const { store, add, later, claimed, save, rows } = await setUp(db)
  await add('shop')
  const late = await claimed()
  await later('shop', 'lease_until', -1)
  const present = await claimed()
  t.equal(await store.addPicture(late, picture(), BYTES), 'void')
  t.equal(await save(late, [post('1')]), null)
  t.equal(await store.addPicture(present, picture(), BYTES), 'kept')
  t.equal(await store.addPicture(present, picture(), BYTES), 'kept', 'again')
  t.equal(await store.addPicture(present, picture('b'.repeat(32)), BYTES), 'kept')
  t.equal(await save(present, [post('1', { picture: picture(), file: 'f' }), post('2', { caption: 'é😀\0' })], 'one', false), 1)
  t.strictSame(await rows(), ['shop aa 3', 'shop aa 9'], 'what no post names goes')
  t.match(await store.look('shop'), {
    feed: { version: 1, etag: 'one', postCount: 2, bytes: 30, posts: [{ picture: { name: NAME } }, {}], failures: 0 },
  })
  t.equal((await store.look('shop', 'one')).feed?.posts, null, 'known posts are not read again')
  t.equal(await save(present, [post('1', { picture: picture(), file: 'f' })], 'two'), 2, 'the attempt went on')
  t.equal(await save(present, []), null, 'and is over')
  const same = await claimed()
  t.equal(await save(same, [post('1', { picture: picture(), file: 'f' })], 'two'), 2, 'an equal answer is no new version')
  const found = await store.picture('shop', NAME, 3)
  t.equal(found?.type, 'image/webp')
  t.strictSame([...(found?.bytes ?? [])], [...(BYTES[0] ?? [])])
  t.equal(await store.picture('shop', NAME, 4), null)
  await store.fail(await claimed(), { kind: 'failed', nextFetchAt: new Date(), lastError: 'No.' })
  t.match(await store.look('shop'), { feed: { failures: 1, lastError: 'No.', version: 2 } })
})

const ENDINGS: Record<string, (world: Awaited<ReturnType<typeof setUp>>) => Promise<unknown>> = {
  removed: ({ accounts }) => accounts.remove('shop', event('shop')),
  'another user': ({ accounts }) => accounts.replace('shop', 1, { accessToken: 'v1.y', providerUserId: '2' }, event('shop')),
  erased: ({ accounts }) => accounts.replace('shop', 1, { accessToken: null, providerUserId: null, state: 'reconnect' }, event('shop')),
  'permission withdrawn': ({ accounts }) => accounts.replace('shop', 1, { state: 'reconnect' }, { ...event('shop'), endsFeed: true }),
  'withdrawn after a refusal': async ({ accounts }) => {
    await accounts.update('shop', { state: 'reconnect' }, event('shop'))
    const { revision } = (await accounts.find('shop')) ?? { revision: 0 }
    await accounts.replace('shop', 1, { state: 'reconnect' }, { ...event('shop'), endsFeed: true })
    const after = await accounts.find('shop')
    t.ok((after?.revision ?? 0) > revision, 'no cached feed outlasts it')
  },
  'refused for good by a refresh': async ({ accounts }) => {
    const [claim] = await accounts.claimDue({ leaseOwner: 'me', leaseSeconds: 9, limit: 1, account: 'shop', force: true })
    if (claim) await accounts.commit(claim, { state: 'reconnect' }, { ...event('shop'), endsFeed: true })
  },
}
for (const [name, end] of Object.entries(ENDINGS))
  eachStore(t, `${name}: posts and pictures go in the same transaction, and a fetch under way brings none back`, async (t, db) => {
    const world = await setUp(db)
    const { store, add, claimed, save, rows } = world
    await add('shop')
    await add('other')
    for (const account of ['shop', 'other']) {
      const claim = await claimed(account)
      await store.addPicture(claim, picture(), BYTES)
      await save(claim, [post('1', { picture: picture(), file: 'f' })])
    }
    const underWay = await claimed()
    await end(world)
    t.strictSame(await rows(), ['other aa 3', 'other aa 9'])
    t.equal((await store.look('shop')).feed, null)
    t.equal(await store.addPicture(underWay, picture('b'.repeat(32)), BYTES), 'void')
    t.equal(await save(underWay, []), null)
    await store.fail(underWay, { kind: 'refused', nextFetchAt: new Date(), lastError: null })
    t.strictSame(await rows(), ['other aa 3', 'other aa 9'])
  })

eachStore(t, 'a usual change of the account leaves the feed alone', async (t, db) => {
  const { accounts, store, add, claimed, save } = await setUp(db)
  await add('shop')
  await save(await claimed(), [post('1')])
  await accounts.update('shop', { allowedDomains: 'https://a.example', pausedAt: new Date() }, event('shop'))
  await accounts.replace('shop', 1, { accessToken: 'v1.z', providerUserId: '1' }, event('shop'))
  t.match(await store.look('shop'), { feed: { postCount: 1 }, account: { allowedDomains: 'https://a.example' } })
})

eachStore(t, 'the limit holds for all feeds; one that is there may exceed it by a tenth; a week unread gives way', async (t, db) => {
  const { store, add, later, claimed, save, rows } = await setUp(db, { maxBytes: 100 })
  await add('old')
  const first = await claimed('old')
  for (const letter of 'abc') t.equal(await store.addPicture(first, picture(letter.repeat(32)), BYTES), 'kept')
  t.equal(await store.addPicture(first, picture('d'.repeat(32)), BYTES), 'full')
  await save(
    first,
    [...'abc'].map((one) => post('1', { picture: picture(one.repeat(32)), file: one })),
  )
  const again = await claimed('old')
  t.equal(await store.addPicture(again, picture('d'.repeat(32)), [new Uint8Array(10), new Uint8Array(10)]), 'kept')
  t.equal(await store.addPicture(again, picture('e'.repeat(32)), [new Uint8Array(1), new Uint8Array(0)]), 'full')
  await add('new')
  const fresh = await claimed('new')
  t.equal(await store.addPicture(fresh, picture(), BYTES), 'full')
  t.strictSame(await store.makeRoom(), [])
  await later('old', 'read_at', -8 * 86_400)
  t.strictSame(await store.makeRoom(), ['old'])
  t.equal(await store.addPicture(fresh, picture(), BYTES), 'kept')
  t.strictSame(await rows(), ['new aa 3', 'new aa 9'])
  t.match(await store.look('old'), { feed: { posts: null, bytes: 0, version: 2 } })
  t.equal(await save(again, []), null, 'its fetch is void')
  await store.fail(fresh, { kind: 'full', nextFetchAt: new Date(), lastError: 'Full.' })
  t.strictSame(await rows(), [])
})

eachStore(t, 'old feeds, and what an older release left behind, are swept', async (t, db) => {
  const { store, add, later, claimed, save, rows } = await setUp(db)
  for (const name of ['old', 'gone', 'changed', 'good']) {
    await add(name)
    const claim = await claimed(name)
    await store.addPicture(claim, picture(), BYTES)
    await save(claim, [post('1', { picture: picture(), file: 'f' })])
  }
  await later('old', 'fetched_at', -15 * 86_400)
  // As the release before does it.
  await db.query(`update accounts set removed_at = ${db.dialect.now}, provider_user_id = null where name = 'gone'`)
  await db.query("update accounts set provider_user_id = '2' where name = 'changed'")
  await db.query("insert into pictures values ('never', 'x', 1, 1, 'image/png', $1)", [new Uint8Array(1)])
  t.match([await store.look('gone'), await store.look('changed')], [{ feed: null }, { feed: null }], 'not shown before the sweep either')
  await db.query("update feeds set failures = 1 where account in ('old', 'changed')")
  const summaries = createFeedSummaries(db)
  t.match(await summaries.totals(), { feeds: 4, posts: 4, bytes: 120, failing: 1 })
  const seen = await summaries.of(['old', 'gone', 'changed', 'good', 'none'])
  t.strictSame([...seen].map(([name, { isFailing, postCount, bytes }]) => [name, isFailing, postCount, bytes]).toSorted(), [
    ['good', false, 1, 30],
    ['old', true, 1, 30],
  ])
  t.strictSame(await store.sweep(), ['old'])
  t.strictSame(await rows(), ['good aa 3', 'good aa 9'])
  t.equal(await store.clear('good'), true)
  t.match([await store.look('good'), await rows()], [{ feed: { posts: null, version: 2, failures: 0 } }, []])
  await store.begin('changed', '2')
  t.match(await store.look('changed'), { feed: { userId: '2', posts: null } })
})

eachStore(t, 'a read after a quiet day makes the feed due; an account’s refresh is due after a refusal, once', async (t, db) => {
  const { accounts, store, add, later, claimed, save } = await setUp(db)
  await add('shop', { nextRefreshAt: new Date(Date.now() + 9e6), nextCheckAt: new Date() })
  const claim = await claimed()
  await save(claim, [])
  await store.touch(['shop'])
  const plannedAt = (await store.look('shop')).feed?.nextFetchAt.getTime() ?? 0
  t.ok(plannedAt > Date.now())
  await later('shop', 'read_at', -2 * 86_400)
  await store.touch(['shop', 'nothing'])
  t.ok(((await store.look('shop')).feed?.nextFetchAt.getTime() ?? 0) <= Date.now() + 1000)
  await store.confirm(claim, new Date(Date.now() + 9e7))
  t.match(await accounts.find('shop'), { checkedAt: Date })
  await store.fail(await claimed(), { kind: 'refused', nextFetchAt: new Date(), lastError: 'Dead.' })
  t.ok(((await accounts.find('shop'))?.nextRefreshAt?.getTime() ?? 0) <= Date.now() + 1000)
  const soon = new Date(Date.now() + 600_000)
  await accounts.update('shop', { refusedAt: new Date(), nextRefreshAt: soon }, event('shop'))
  await store.fail(await claimed(), { kind: 'refused', nextFetchAt: new Date(), lastError: 'Dead.' })
  t.equal((await accounts.find('shop'))?.nextRefreshAt?.getTime(), soon.getTime(), 'the second refusal has its own time')
})

t.test('a post is shown with its picture, without one it never had, or after three tries', async (t) => {
  const shown: [Partial<FeedPost>, boolean][] = [
    [{ picture: picture(), file: 'f' }, true],
    [{}, true],
    [{ file: 'f' }, false],
    [{ file: 'f', tries: MAX_TRIES - 1 }, false],
    [{ file: 'f', tries: MAX_TRIES }, true],
  ]
  for (const [change, expected] of shown) t.equal(isShown(post('1', change)), expected, JSON.stringify(change))
})

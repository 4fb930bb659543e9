import t, { type Test } from 'tap'
import type { Media, Post, PostPage } from '../../../src/core/media.ts'
import { Secret } from '../../../src/core/secret.ts'
import { createInstagram } from '../../../src/providers/instagram/instagram.ts'
import { createThreads } from '../../../src/providers/threads/threads.ts'
import { startInstagram } from '../../support/instagram.ts'
import { FAULTS } from '../../support/instagram-faults.ts'
import type { Knobs } from '../../support/instagram-knobs.ts'
import { pictureOf } from '../../support/instagram-pictures.ts'
import { CANARY, refused } from '../refused.ts'

const DAY_MS = 86_400_000

async function setUp(t: Test, knobs: Partial<Knobs> = {}) {
  const instagram = await startInstagram({ knobs: { postPictures: 'own', ...knobs } })
  t.teardown(() => instagram.close())
  const create = knobs.service === 'threads' ? createThreads : createInstagram
  const { media: access } = create({ graphUrl: instagram.url, timeoutMs: 2_000 })
  const media: Media = await access.load()
  const token = instagram.issue({ username: 'shop' })
  const posts = (limit = 24, isShort = false, after?: string): Promise<PostPage> =>
    media.posts(new Secret(token), { limit, isShort, ...(after === undefined ? {} : { after }) })
  return { instagram, access, media, token, posts }
}

t.test('the newest posts come with the fields of a feed and no others', async (t) => {
  const { posts } = await setUp(t)
  const page = await posts(6)
  t.match(page, { refused: 0, isEmpty: false, isShort: false, usagePercent: 0, after: /./ })
  t.equal(page.posts.length, 6)
  const [image, , carousel, , video] = page.posts
  t.match(image, {
    id: /^18\d{15}$/,
    mediaType: 'IMAGE',
    productType: 'FEED',
    permalink: 'https://www.instagram.com/p/0/',
    timestamp: '2026-09-26T22:36:43+0000',
    username: 'shop',
    caption: 'Picture number 0',
    altText: 'Hills and a sun, number 0',
    children: [],
    picture: { url: /\/cdn\/0\.png\?oe=[0-9a-f]+&oh=/, file: '0.png' },
  })
  t.match(carousel, { mediaType: 'CAROUSEL_ALBUM', altText: null, children: [{ mediaType: 'IMAGE' }, { mediaType: 'IMAGE' }] })
  t.match(video, { mediaType: 'VIDEO', picture: { file: '-4.png' } }, 'the still picture, not the film')
  t.notMatch(JSON.stringify(page), /access_token|IGAA|mp4|paging/)
})

const GOOD = {
  id: '18051994516870087',
  media_type: 'IMAGE',
  permalink: 'https://www.instagram.com/p/C_jgYtLSTEY/',
  timestamp: '2026-11-20T09:36:43+0000',
  media_url: 'https://scontent-cdg4-1.cdninstagram.com/v/t51/1_2_n.jpg?oe=1&oh=2',
}
const FILM = 'https://scontent.cdninstagram.com/1.mp4'
const child = { id: '1', media_type: 'IMAGE' }

t.test('each post stands or falls alone', async (t) => {
  const { instagram, posts } = await setUp(t)
  const bad: Record<string, unknown>[] = [
    { id: 'x1' },
    { id: '1'.repeat(33) },
    { id: undefined },
    { media_type: 'STORY' },
    { media_type: undefined },
    ...['', 'http', '//', 'javascript:alert(1)', 'https://www.instagram.com.evil.example/p/1/', 'https://a@www.instagram.com/p/1/'].map(
      (permalink) => ({ permalink }),
    ),
    { permalink: 'https://www.instagram.com:444/p/1/' },
    { permalink: `https://www.instagram.com/p/${'1'.repeat(500)}` },
    { permalink: 'https://www.instagram.com/p/"><script>/' },
    ...[undefined, 'yesterday', '2026-13-45T99:99:99Z', 1_700_000_000].map((timestamp) => ({ timestamp })),
    { caption: 'x'.repeat(2_501) },
    { children: { data: Array(21).fill(child) } },
  ]
  instagram.knobs.posts = [null, 7, [], 'text', ...bad.map((change) => ({ ...GOOD, ...change })), GOOD]
  t.match(await posts(100), { refused: bad.length + 4, isEmpty: false, posts: [{ id: GOOD.id }] })
})

t.test('a post that is listed twice comes once', async (t) => {
  const { instagram, posts } = await setUp(t)
  instagram.knobs.posts = [GOOD, { ...GOOD, id: '2' }, GOOD]
  t.strictSame(
    (await posts(100)).posts.map(({ id }) => id),
    [GOOD.id, '2'],
  )
})

t.test('what can be left out of a post is left out', async (t) => {
  const { instagram, posts } = await setUp(t)
  const odd: [change: Record<string, unknown>, expected: Partial<Post>][] = [
    [{ username: '<b>' }, { username: null }],
    [{ media_product_type: 'a"b' }, { productType: null }],
    [{ caption: 'a\0\u0007b\r\nc\u0085\ud800' }, { caption: 'ab\nc\ufffd' }],
    [{ caption: '😀'.repeat(2_500) }, { caption: '😀'.repeat(2_500) }],
    [{ caption: 7 }, { caption: null }],
    [{ alt_text: 'x'.repeat(3_000) }, { altText: null }],
    [{ children: { data: [child, { id: 'x' }, null] } }, { children: [{ id: '1', mediaType: 'IMAGE' }] }],
    [{ media_url: undefined }, { picture: null }],
    [{ media_url: 'https://evil.example/1.jpg' }, { picture: null }],
    [{ media_url: 'http://scontent.cdninstagram.com/1.jpg' }, { picture: null }],
    [{ media_url: 'https://scontent.cdninstagram.com.evil.example/1.jpg' }, { picture: null }],
    [{ media_url: 'https://x@scontent.cdninstagram.com/1.jpg' }, { picture: null }],
    [{ media_url: 'https://scontent.cdninstagram.com/' }, { picture: null }],
    [{ media_type: 'VIDEO', thumbnail_url: undefined }, { picture: null }],
    // An album that begins with a film.
    [
      { media_type: 'CAROUSEL_ALBUM', media_url: FILM, thumbnail_url: GOOD.media_url },
      { picture: { url: GOOD.media_url, file: '1_2_n.jpg' } },
    ],
  ]
  instagram.knobs.posts = odd.map(([change], at) => ({ ...GOOD, id: String(at + 1), ...change }))
  const page = await posts(100)
  t.equal(page.refused, 0)
  for (const [at, [change, expected]] of odd.entries()) t.match(page.posts[at], expected, JSON.stringify(change).slice(0, 80))
})

t.test('a token that may not read all fields gets those that every token may', async (t) => {
  const { instagram, posts } = await setUp(t, { mediaFields: 'eight' })
  t.match(await posts(3), { isShort: true, posts: [{ caption: 'Picture number 0', altText: null, children: [] }] })
  t.equal(instagram.counts['/me/media'], 2)
  await posts(3, true)
  t.equal(instagram.counts['/me/media'], 3, 'a known one costs one call')
  instagram.fail('/me/media', 'unsupported')
  t.match(await refused(t, posts()), { kind: 'misconfigured', reason: 'unsupported' })
})

t.test('the next page is asked for at the known host', async (t) => {
  const { instagram, posts } = await setUp(t, { emptyFirstPage: true, mediaCount: 5 })
  const first = await posts(3)
  t.match(first, { isEmpty: true, posts: [] })
  t.equal((await posts(3, false, first.after ?? '')).posts.length, 3)
  instagram.knobs.emptyFirstPage = false
  t.equal((await posts(5)).after, null)
  const next = { next: 'https://evil.example/?access_token=x', cursors: { after: '"<' } }
  instagram.fail('/me/media', { kind: 'answer', body: JSON.stringify({ data: [], paging: next }) }, 1)
  t.equal((await posts()).after, null)
})

t.test('the used part of the rate limit is read from the headers', async (t) => {
  const { instagram, posts } = await setUp(t, { usagePercent: 83 })
  t.equal((await posts(1)).usagePercent, 83)
  const body = JSON.stringify({ data: [] })
  for (const [header, percent] of [
    ['{"1":[{"type":"instagram","call_count":4,"total_time":61}]}', 61],
    ['{"call_count":"90"}', 0],
    ['nonsense', 0],
  ] as const) {
    instagram.fail('/me/media', { kind: 'answer', headers: { 'x-business-use-case-usage': header }, body }, 1)
    t.equal((await posts(1)).usagePercent, percent, header)
  }
})

t.test('a fault is a ProviderError that holds neither token nor address', async (t) => {
  const { instagram, media } = await setUp(t, { tokenText: CANARY })
  const faults = { ...FAULTS, tenMegabytes: { kind: 'flood', bytes: 10_000_000 }, noList: { kind: 'answer', body: '{"data":{}}' } } as const
  for (const [name, fault] of Object.entries(faults)) {
    if (['slow', 'slowAnswer', 'hang'].some((kind) => 'kind' in fault && fault.kind === kind)) continue
    instagram.fail('/me/media', fault, 2)
    const error = await refused(t, media.posts(new Secret(CANARY), { limit: 24, isShort: false }))
    t.notMatch(`${error.message} ${error.stack}`, new RegExp(CANARY), name)
    t.equal(error.reason, name === 'appRemoved' ? 'withdrawn' : name === 'unsupported' ? 'unsupported' : null, name)
    instagram.heal()
  }
})

t.test('a picture comes from the provider’s hosts alone, is a picture, and has 4 MiB at most', async (t) => {
  const { instagram, media, posts } = await setUp(t)
  const [post] = (await posts(1)).posts
  const address = post?.picture?.url ?? ''
  t.same(await media.picture(address), { type: 'image/png', bytes: pictureOf('/cdn/0.png') })
  for (const other of [
    'https://evil.example/1.jpg',
    'http://127.0.0.1:1/1.jpg',
    'file:///etc/passwd',
    '',
    `${instagram.url}/cdn/0.png?oe=ffffffff&oh=1`,
  ])
    await refused(t, media.picture(other))
  for (const bytes of [
    '<!doctype html>',
    '<svg xmlns="http://www.w3.org/2000/svg"/>',
    'GIF89a',
    '',
    Buffer.alloc(4 * 1024 * 1024 + 1, '\xff\xd8\xff', 'latin1'),
  ]) {
    instagram.knobs.pictureBytes = Buffer.from(bytes)
    await refused(t, media.picture(address))
  }
  instagram.knobs.pictureBytes = null
  instagram.fail('/cdn/0.png', { kind: 'answer', status: 302, headers: { location: address }, body: '' }, 1)
  await refused(t, media.picture(address))
  instagram.clock.advance(4 * DAY_MS)
  await refused(t, media.picture(address))
})

t.test('Threads gives own posts alone, on both of its hosts, and says that a profile may be private', async (t) => {
  const { access, posts, instagram: threads } = await setUp(t, { service: 'threads', foreignPosts: true })
  t.equal(access.mayBePrivate, true)
  const page = await posts(24)
  t.equal(page.refused, 0)
  const numbers = (found: PostPage) => found.posts.map(({ permalink }) => -Number(permalink.split('/').at(-2)))
  const own = [...Array(24).keys()].filter((at) => at % 3 !== 0 && at % 4 !== 0)
  t.strictSame(numbers(page), own)
  threads.knobs.mediaFields = 'eight'
  const short = await posts(24)
  t.strictSame([short.isShort, numbers(short)], [true, own], 'with few fields too')
  const repost = { ...GOOD, media_type: 'REPOST_FACADE' }
  threads.knobs.posts = [...Array(24).fill(repost), { ...GOOD, permalink: 'https://www.threads.com/@a/post/1/' }]
  const reposts = await posts(24)
  t.match(reposts, { isEmpty: true, posts: [] }, 'reposts alone are no feed without posts')
  t.equal((await posts(24, false, reposts.after ?? '')).posts.length, 1)
  t.match(
    page.posts.find(({ mediaType }) => mediaType === 'TEXT_POST'),
    { picture: null, caption: /^Picture/ },
  )
  t.match([...new Set(page.posts.map(({ permalink }) => new URL(permalink).host))].sort(), ['www.threads.com', 'www.threads.net'])
  const { access: instagram } = await setUp(t)
  t.equal(instagram.mayBePrivate, false)
})

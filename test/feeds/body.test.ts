import t from 'tap'
import { shownPosts } from '../../src/feeds/body.ts'
import type { FeedPost } from '../../src/feeds/feed.ts'
import { type FetchHistory, nextFetchAt, nextTryAt } from '../../src/feeds/next-fetch.ts'

const PLACE = { appUrl: 'https://agent.example', account: 'shop', title: 'Instagram' }
const NAME = '5f0c'.repeat(8)

function post(change: Partial<FeedPost>): FeedPost {
  const picture = {
    name: NAME,
    type: 'image/webp',
    width: 1440,
    height: 1800,
    color: '#b7a18c',
    sizes: [320, 640, 1080].map((width) => ({ width, height: width * 1.25 })),
  } as const
  const text = { productType: null, username: null, caption: null, altText: null, children: [] }
  return {
    id: '1',
    mediaType: 'IMAGE',
    permalink: 'https://www.instagram.com/p/1/',
    timestamp: '2026-11-20T09:36:43+0000',
    ...text,
    picture,
    file: 'f',
    tries: 0,
    ...change,
  }
}
const shown = (change: Partial<FeedPost>) => shownPosts([post(change)], PLACE)[0]

t.test('a picture has its sizes, its colour, and never an empty text', async (t) => {
  const address = (width: number) => `https://agent.example/accounts/shop/pictures/${NAME}-${width}.webp`
  t.match(shown({}), {
    media_url: address(640),
    picture: {
      width: 1440,
      height: 1800,
      color: '#b7a18c',
      sizes: [{ width: 320, height: 400, url: address(320) }, {}, { url: address(1080) }],
    },
  })
  const words = 'A long line about cups '.repeat(9).trim()
  const texts: [Partial<FeedPost>, string | RegExp][] = [
    [{ altText: 'Three cups', caption: 'Other' }, 'Three cups'],
    [{ caption: 'Our new cups. #ceramics #cups\nMore.' }, 'Our new cups.'],
    [{ caption: 'We #love cups' }, 'We #love cups'],
    [{ caption: '#only #hashtags' }, 'Post on Instagram, 20 November 2026'],
    [{ caption: '\n\n  Second line' }, 'Second line'],
    [{ caption: null }, 'Post on Instagram, 20 November 2026'],
    [{ caption: words }, /^A long line.{80,112}\w…$/],
    [{ caption: '😀'.repeat(200) }, /^(😀){124}…$/u],
  ]
  for (const [change, expected] of texts) t.match(shown(change)?.picture?.alt, expected, String(expected))
})

t.test('a video has no film, a small picture serves as it is, and a post without one stays', async (t) => {
  const video = shown({ mediaType: 'VIDEO' })
  t.match([video?.thumbnail_url, video?.media_url], [/-640\.webp$/, undefined])
  const small = { name: NAME, type: 'image/jpeg', width: 150, height: 150, color: null, sizes: [{ width: 150, height: 150 }] } as const
  t.match(shown({ picture: small })?.media_url, /-150\.jpg$/)
  const bare = shown({ picture: null, file: null })
  t.notOk('media_url' in (bare ?? {}) || 'picture' in (bare ?? {}))
  t.equal(shown({ picture: null }), undefined, 'its picture is still missing')
})

const HOUR = 3_600_000
const NOW = new Date('2026-11-20T10:00:00Z')
const hours = (at: Date): number => Math.round(((at.getTime() - NOW.getTime()) / HOUR) * 100) / 100

t.test('the next fetch follows the readers and the rate limit', async (t) => {
  const middle = { intervalMs: HOUR / 2, random: () => 0.5 }
  const table: [Partial<FetchHistory> & { readHoursAgo?: number }, number][] = [
    [{}, 0.5],
    [{ readHoursAgo: 23 }, 0.5],
    [{ readHoursAgo: 25 }, 5.4],
    [{ usagePercent: 49 }, 0.5],
    [{ usagePercent: 50 }, 1],
    [{ usagePercent: 50, readHoursAgo: 25 }, 5.4],
    [{ usagePercent: 80 }, 5.4],
    [{ isIncomplete: true }, 0.03],
    [{ isIncomplete: true, usagePercent: 50 }, 1],
  ]
  for (const [{ readHoursAgo = 0, ...change }, expected] of table) {
    const history = { now: NOW, readAt: new Date(NOW.getTime() - readHoursAgo * HOUR), usagePercent: 0, isIncomplete: false, ...change }
    t.equal(hours(nextFetchAt(history, middle)), expected, JSON.stringify({ ...change, readHoursAgo }))
  }
  const history = { now: NOW, readAt: NOW, usagePercent: 0, isIncomplete: false }
  const day = { intervalMs: 24 * HOUR, random: () => 1 }
  t.equal(hours(nextFetchAt(history, day)), 26.4, 'the owner’s longer interval holds')
  t.equal(hours(nextFetchAt(history, { ...middle, random: () => 0 })), 0.45)
  for (const [failures, retryAfter, expected] of [
    [0, null, 0.03],
    [3, null, 0.2],
    [50, null, 4.5],
    [0, 3600, 1],
    [50, 60, 4.5],
    [0, 1e9, 24],
  ] as const)
    t.equal(hours(nextTryAt(NOW, failures, retryAfter, middle)), expected, `${failures} failures`)
})

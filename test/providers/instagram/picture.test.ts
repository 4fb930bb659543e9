import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { Picture } from '../../../src/core/media.ts'
import { Secret } from '../../../src/core/secret.ts'
import { createInstagram } from '../../../src/providers/instagram/instagram.ts'
import { startInstagram } from '../../support/instagram.ts'
import { FAULTS, type FaultName } from '../../support/instagram-faults.ts'
import type { Knobs } from '../../support/instagram-knobs.ts'
import { pictureOf } from '../../support/instagram-pictures.ts'
import { startStopwatch } from '../../support/stopwatch.ts'
import { CANARY, refused } from '../refused.ts'

const USER = '17841400000000001'
const JPEG = Buffer.from('ffd8ffe000104a46494600010100000100010000ffd9', 'hex')
const WEBP = Buffer.from('RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0', 'latin1')
const HTML = Buffer.from('<!doctype html><script>alert(1)</script>')
const SVG = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')

async function setUp(t: Test, knobs: Partial<Knobs> = {}, timeoutMs = 10_000) {
  const instagram = await startInstagram({ knobs })
  t.teardown(() => instagram.close())
  instagram.issue({ token: CANARY, userId: USER })
  const provider = createInstagram({ graphUrl: instagram.url, timeoutMs })
  return { instagram, picture: () => provider.picture(new Secret(CANARY)) }
}

/** A profile with this address, and the answer there; `asked` = the requests except those for the profile. */
function naming(address: unknown, answer = (): Response => new Response(JPEG)) {
  const asked: { url: string; init: RequestInit }[] = []
  const fetch = async (url: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    if (new URL(String(url)).pathname === '/me') return Response.json({ profile_picture_url: address })
    asked.push({ url: String(url), init })
    return answer()
  }
  const provider = createInstagram({ graphUrl: 'https://graph.instagram.com', fetch })
  return { asked, picture: () => provider.picture(new Secret(CANARY)) }
}

/** A foreign server that counts its requests. */
async function elsewhere(t: Test): Promise<{ url: string; visits: () => number }> {
  let visits = 0
  const server = createServer((_request, response) => {
    visits++
    response.end(JPEG)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/picture.jpg`, visits: () => visits }
}

t.test('an account’s picture is fetched from the address in its profile, flat or in data', async (t) => {
  for (const profileShape of ['flat', 'data'] as const) {
    const { instagram, picture } = await setUp(t, { profileShape })
    const { type, bytes } = (await picture()) as Picture
    t.equal(type, 'image/png')
    t.ok(pictureOf(USER).equals(bytes))
    t.strictSame(
      instagram.calls.map(({ path, token }) => [path, token]),
      [
        ['/me', CANARY],
        ['/picture', ''],
      ],
      'and the token does not go along',
    )
  }
})

t.test('the picture’s host gets neither the token nor a name of the agent', async (t) => {
  const { asked, picture } = naming('https://scontent-cdg4-1.cdninstagram.com/v/t51.2885-19/1_n.jpg?oh=00_AfB&oe=69A1')
  t.ok(await picture())
  t.equal(asked.length, 1)
  t.equal(asked[0]?.url, 'https://scontent-cdg4-1.cdninstagram.com/v/t51.2885-19/1_n.jpg?oh=00_AfB&oe=69A1')
  t.match(asked[0]?.init, { method: 'GET', redirect: 'error', body: null })
  t.strictSame(asked[0]?.init.headers, { accept: 'image/*' })
})

t.test('for an account without a picture no host is called', async (t) => {
  const { instagram, picture } = await setUp(t, { pictureUrl: 'absent' })
  t.equal(await picture(), null)
  t.strictSame(instagram.counts, { '/me': 1 })
  for (const nothing of ['', null]) {
    const { asked, picture } = naming(nothing)
    t.equal(await picture(), null)
    t.strictSame(asked, [])
  }
})

t.test('only Instagram’s own hosts are called, compared by label, over https', async (t) => {
  for (const host of [
    'scontent.cdninstagram.com',
    'scontent-mia3-2.xx.fbcdn.net',
    'instagram.fmuc3-1.fna.fbcdn.net',
    'graph.instagram.com',
  ]) {
    const { asked, picture } = naming(`https://${host}/p.jpg`)
    t.match(await picture(), { type: 'image/jpeg' }, host)
    t.equal(asked.length, 1)
  }
  const foreign: unknown[] = [
    'http://scontent.cdninstagram.com/p.jpg',
    'https://scontent.cdninstagram.com:8443/p.jpg',
    'https://evilcdninstagram.com/p.jpg',
    'https://evil-fbcdn.net/p.jpg',
    'https://cdninstagram.com/p.jpg',
    'https://scontent.cdninstagram.com.evil.example/p.jpg',
    'https://scontent.cdninstagram.com./p.jpg',
    'https://evil.example/.cdninstagram.com',
    'https://evil.example\\.cdninstagram.com/p.jpg',
    'https://evil.example#.cdninstagram.com',
    'https://evil.example?.fbcdn.net',
    'https://me:pw@scontent.cdninstagram.com/p.jpg',
    'https://scontent.cdninstagram.com@evil.example/p.jpg',
    'https://169.254.169.254/latest/meta-data',
    'http://graph.instagram.com/p.jpg',
    'https://graph.instagram.com:444/p.jpg',
    '//scontent.cdninstagram.com/p.jpg',
    'file:///etc/passwd',
    'data:image/png;base64,iVBORw0KGgo=',
    'blob:https://scontent.cdninstagram.com/1',
    7,
    ['https://scontent.cdninstagram.com/p.jpg'],
  ]
  for (const address of foreign) {
    const { asked, picture } = naming(address)
    t.match(await refused(t, picture()), { kind: 'transient', message: /address is not one of Instagram’s own/ }, String(address))
    t.strictSame(asked, [], `${address} is not asked`)
  }
  const other = await elsewhere(t)
  const { picture } = await setUp(t, { pictureUrl: other.url })
  await refused(t, picture())
  t.equal(other.visits(), 0, 'another port is another host')
})

t.test('a redirect is not followed', async (t) => {
  const other = await elsewhere(t)
  for (const status of [301, 302, 303, 307, 308]) {
    const { instagram, picture } = await setUp(t)
    instagram.fail('/picture', { kind: 'answer', status, headers: { location: other.url }, body: '' })
    await refused(t, picture())
    instagram.heal()
    instagram.fail('/me', { kind: 'answer', status, headers: { location: other.url }, body: '' })
    await refused(t, picture())
  }
  t.equal(other.visits(), 0)
})

t.test('a picture is cut off at 256 KB, and a missing answer times out', async (t) => {
  const { instagram, picture } = await setUp(t, {}, 4_000)
  instagram.fail('/picture', 'flood')
  t.match(await refused(t, picture()), { message: /picture server answered with more than 256 KB/ })
  for (const [size, fits] of [
    [256 * 1024, true],
    [256 * 1024 + 1, false],
  ] as const) {
    const body = Buffer.alloc(size)
    JPEG.copy(body)
    const { picture } = naming('https://scontent.cdninstagram.com/p.jpg', () => new Response(body))
    if (fits) t.equal((await picture())?.bytes.length, size)
    else await refused(t, picture())
  }
  for (const path of ['/me', '/picture']) {
    instagram.heal()
    instagram.fail(path, 'hang')
    const takenMs = startStopwatch()
    t.match(await refused(t, picture()), { message: /did not answer within 2 seconds/ }, path)
    t.ok(takenMs() < 3_800, `${path}: two calls in the time of one`)
  }
})

t.test('only JPEG, PNG or WebP by its bytes is passed on, whatever the header says', async (t) => {
  const png = pictureOf(USER)
  const kinds: [Buffer, string | null][] = [
    [JPEG, 'image/jpeg'],
    [png, 'image/png'],
    [WEBP, 'image/webp'],
    [HTML, null],
    [SVG, null],
    [Buffer.from('GIF89a\x01\0\x01\0'), null],
    [Buffer.from('{"error":{"message":"no"}}'), null],
    [Buffer.from('RIFFWEBP'), null],
    [Buffer.concat([Buffer.from(' '), JPEG]), null],
    [png.subarray(0, 7), null],
    [Buffer.alloc(0), null],
  ]
  for (const [bytes, type] of kinds) {
    for (const said of ['image/jpeg', 'image/svg+xml', 'text/html']) {
      const answer = () => new Response(bytes, { headers: { 'content-type': said } })
      const { picture } = naming('https://scontent.cdninstagram.com/p.jpg', answer)
      const what = `${JSON.stringify(bytes.subarray(0, 12).toString('latin1'))} as ${said}`
      if (type === null) t.match(await refused(t, picture()), { kind: 'transient', message: /neither JPEG, PNG nor WebP/ }, what)
      else t.equal((await picture())?.type, type, what)
    }
  }
})

t.test('each error is a ProviderError without the token or an address', async (t) => {
  const { instagram, picture } = await setUp(t, {}, 2_000)
  const names = (Object.keys(FAULTS) as FaultName[]).filter((name) => name !== 'hang' && name !== 'flood')
  for (const name of names) {
    for (const path of ['/me', '/picture']) {
      instagram.heal()
      instagram.fail(path, name)
      const failed = await picture().then(
        () => false,
        () => true,
      )
      if (failed) await refused(t, picture())
      // A profile without a picture, or a truncated body with the full length.
      else t.ok(['object at /me', 'wrongTypes at /me', 'truncated at /picture'].includes(`${name} at ${path}`), `${name} at ${path}`)
    }
  }
  instagram.heal()
  instagram.fail('/picture', { kind: 'answer', status: 403, body: 'URL signature expired' })
  t.match(await refused(t, picture()), { message: /its server answered with HTTP 403/ })
  instagram.heal()
  instagram.fail('/me', 'appLimit')
  t.match(await refused(t, picture()), { kind: 'throttled', concernsAll: true }, 'a limit of all calls sets concernsAll')
})

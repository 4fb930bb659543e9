import t from 'tap'
import type { Picture } from '../../src/core/media.ts'
import { original, UnusablePicture } from '../../src/feeds/original.ts'
import { pictureOf } from '../support/instagram-pictures.ts'

const CANARY = 'GPS 48.13 11.57 canary'
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

function segment(marker: number, data: Buffer | string): Buffer {
  const bytes = typeof data === 'string' ? latin(data) : data
  const head = Buffer.from([0xff, marker, 0, 0])
  head.writeUInt16BE(bytes.length + 2, 2)
  return Buffer.concat([head, bytes])
}
const frame = (marker: number, width: number, height: number): Buffer => {
  const data = Buffer.from([8, 0, 0, 0, 0, 1, 1, 0x11, 0])
  data.writeUInt16BE(height, 1)
  data.writeUInt16BE(width, 3)
  return segment(marker, data)
}
const scan = Buffer.concat([segment(0xda, '\x01\x01\0\0\x3f\0'), latin('ab\xff\0cd\xff\xd0ef')])
const jpeg = (...parts: Buffer[]): Buffer => Buffer.concat([latin('\xff\xd8'), ...parts, latin('\xff\xd9')])
const plainJpeg = jpeg(
  segment(0xe0, 'JFIF\0'),
  segment(0xee, 'Adobe\0'),
  segment(0xdb, 'tables'),
  frame(0xc2, 300, 200),
  scan,
  segment(0xc4, 'huffman'),
  scan,
)
const fullJpeg = jpeg(
  ...[segment(0xe0, 'JFIF\0'), segment(0xe1, `Exif\0\0${CANARY}`), segment(0xe2, `ICC_PROFILE\0${CANARY}`), segment(0xee, 'Adobe\0')],
  ...[segment(0xfe, CANARY), segment(0xdb, 'tables'), frame(0xc2, 300, 200), scan, segment(0xed, CANARY), segment(0xc4, 'huffman'), scan],
)

function chunk(kind: string, data: Buffer): Buffer {
  const head = latin(`${kind}\0\0\0\0`)
  head.writeUInt32LE(data.length, 4)
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)])
}
function webp(...chunks: Buffer[]): Buffer {
  const head = latin('RIFF\0\0\0\0WEBP')
  head.writeUInt32LE(4 + chunks.reduce((sum, { length }) => sum + length, 0), 4)
  return Buffer.concat([head, ...chunks])
}
const vp8 = chunk('VP8 ', latin('\0\0\0\x9d\x01\x2a\x2c\x01\xc8\0data'))
const vp8l = chunk('VP8L', Buffer.from([0x2f, ...new Uint8Array(new Uint32Array([(300 - 1) | ((200 - 1) << 14)]).buffer), 1]))
const vp8x = (flags: number): Buffer => chunk('VP8X', Buffer.from([flags, 0, 0, 0, 0x2b, 1, 0, 0xc7, 0, 0]))

const png = pictureOf('someone')
const withText = Buffer.concat([
  png.subarray(0, 33),
  pngChunk('tEXt', CANARY),
  pngChunk('eXIf', CANARY),
  pngChunk('acTL', '12345678'),
  png.subarray(33),
])
function pngChunk(kind: string, data: string): Buffer {
  const head = latin(`\0\0\0\0${kind}${data}sums`)
  head.writeUInt32BE(data.length, 0)
  return head
}

const GOOD: [name: string, type: Picture['type'], given: Buffer, kept: Buffer, size: [number, number]][] = [
  ['JPEG', 'image/jpeg', fullJpeg, plainJpeg, [300, 200]],
  ['JPEG with trailing bytes', 'image/jpeg', Buffer.concat([plainJpeg, latin(CANARY)]), plainJpeg, [300, 200]],
  ['PNG', 'image/png', png, png, [150, 150]],
  ['PNG with texts, Exif and motion', 'image/png', Buffer.concat([withText, latin(CANARY)]), png, [150, 150]],
  ['WebP', 'image/webp', webp(vp8), webp(vp8), [300, 200]],
  ['lossless WebP', 'image/webp', Buffer.concat([webp(vp8l), latin(CANARY)]), webp(vp8l), [300, 200]],
  [
    'WebP with metadata',
    'image/webp',
    webp(vp8x(0x3c), chunk('ICCP', latin(CANARY)), vp8, chunk('EXIF', latin(CANARY)), chunk('XMP ', latin(CANARY))),
    webp(vp8x(0x10), vp8),
    [300, 200],
  ],
]
for (const [name, type, given, kept, [width, height]] of GOOD)
  t.test(`${name}: its size is read and its metadata is left out`, async (t) => {
    const { sizes, ...rest } = original({ type, bytes: given })
    t.strictSame(rest, { type, width, height, color: null })
    t.strictSame(
      sizes.map(({ width, height }) => [width, height]),
      [[width, height]],
    )
    t.same(Buffer.from(sizes[0]?.bytes ?? []).toString('latin1'), kept.toString('latin1'))
  })

t.test('what is cut, damaged, moving, empty or huge is refused', async (t) => {
  const bad: [Picture['type'], Buffer][] = [
    ['image/jpeg', jpeg(frame(0xc0, 5000, 5000), scan)],
    ['image/jpeg', jpeg(frame(0xc0, 0, 10), scan)],
    ['image/jpeg', jpeg(scan)],
    ['image/jpeg', latin('\xff\xd8<svg onload=alert(1)>')],
    ['image/png', latin('\x89PNG\r\n\x1a\n')],
    ['image/webp', webp(chunk('ANIM', latin('123456')), vp8)],
    ['image/webp', webp(chunk('EXIF', latin(CANARY)))],
  ]
  for (const [type, bytes] of bad) t.throws(() => original({ type, bytes }), { message: /^The picture / })
  for (const [name, type, given] of GOOD)
    for (let at = 2; at < given.length - 30; at += 7)
      try {
        const { width, height } = original({ type, bytes: given.subarray(0, at) })
        t.ok(type === 'image/webp' && width * height > 0, `${name} cut at ${at}`)
      } catch (error) {
        if (!(error instanceof UnusablePicture)) throw error
      }
})

t.test('ten thousand mutated pictures: each is a picture of a possible size, or refused', async (t) => {
  let seed = 1
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return seed % below
  }
  let refused = 0
  for (let n = 0; n < 10_000; n++) {
    const [, type, given] = GOOD[n % GOOD.length] as (typeof GOOD)[number]
    const bytes = Buffer.from(given)
    for (let times = 1 + random(4); times > 0; times--) bytes[random(bytes.length)] = random(256)
    try {
      const { width, height, sizes } = original({ type, bytes })
      if (!(width * height > 0 && width * height <= 20_000_000 && (sizes[0]?.bytes.length ?? 1e9) <= bytes.length)) t.fail(`${type} ${n}`)
    } catch (error) {
      if (!(error instanceof UnusablePicture)) throw error
      refused++
    }
  }
  t.ok(refused > 1000 && refused < 9000, `${refused} were refused`)
})

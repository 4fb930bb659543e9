import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32, deflateSync } from 'node:zlib'
import sharp, { type Sharp } from 'sharp'
import t from 'tap'
import type { Picture } from '../../src/core/media.ts'
import { UnusablePicture } from '../../src/feeds/original.ts'
import { createResizer } from '../../src/feeds/resize.ts'
import { pictureOf } from '../support/instagram-pictures.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

const CANARY = 'GPS-48.13-11.57-canary'
const PNG: Picture = { type: 'image/png', bytes: pictureOf('someone') }
type Options = Partial<Parameters<typeof createResizer>[0]>

function open(options: Options = {}) {
  const lines: string[] = []
  const note = (_: object, line?: string): void => void lines.push(line ?? '')
  return { lines, ...createResizer({ log: { info: note, warn: note }, restMs: 50, ...options }) }
}
/** A red picture whose left half is blue. */
const drawn = (width: number, height: number): Sharp =>
  sharp({ create: { width, height, channels: 3, background: '#f00' } }).composite([
    { input: { create: { width: width >> 1, height, channels: 3, background: '#00f' } }, left: 0, top: 0 },
  ])

t.test('a picture is kept in three sizes, upright, never enlarged, without metadata', async (t) => {
  const { resize, lines } = open()
  const exif = { IFD0: { Copyright: CANARY }, IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '48/1 13/1 57/1' } }
  const jpeg = await drawn(1440, 1800).withExif(exif).withMetadata({ orientation: 6 }).jpeg().toBuffer()
  t.ok(jpeg.includes('Exif'))
  const { sizes, ...turned } = await resize({ type: 'image/jpeg', bytes: jpeg })
  t.match(turned, { type: 'image/webp', width: 1800, height: 1440, color: /^#[0-9a-f]{6}$/ })
  t.strictSame(
    sizes.map(({ width, height }) => [width, height]),
    [
      [320, 256],
      [640, 512],
      [1080, 864],
    ],
  )
  for (const { bytes } of sizes) t.notMatch(Buffer.from(bytes).toString('latin1'), /EXIF|ICCP|XMP |canary/)
  const [top] = await sharp(sizes[0]?.bytes).extract({ left: 160, top: 8, width: 1, height: 1 }).raw().toBuffer()
  t.ok((top ?? 255) < 60, 'the left half, in blue, is on top now')
  for (const [width, widths] of [
    [150, [150]],
    [320, [320]],
    [700, [320, 640, 700]],
  ] as const) {
    const small = await resize({ type: 'image/webp', bytes: await drawn(width, 99).webp().toBuffer() })
    t.strictSame(
      small.sizes.map((size) => size.width),
      widths,
    )
  }
  t.equal(
    (
      await resize({
        type: 'image/png',
        bytes: await sharp({ create: { width: 9, height: 9, channels: 3, background: '#b7a18c' } })
          .png()
          .toBuffer(),
      })
    ).color?.slice(0, 2),
    '#b',
  )
  t.strictSame(lines, [])
})

function png(width: number, height: number, ...extra: Buffer[]): Buffer {
  const part = (kind: string, data: Buffer): Buffer => {
    const named = Buffer.concat([Buffer.from(kind, 'latin1'), data])
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
    length.writeUInt32BE(data.length)
    sum.writeUInt32BE(crc32(named))
    return Buffer.concat([length, named, sum])
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width)
  head.writeUInt32BE(height, 4)
  head.set([8, 0, 0, 0, 0], 8)
  const bomb = deflateSync(Buffer.alloc(64 * 1024 * 1024))
  const texts = extra.length === 0 ? [] : ['zTXt', 'iCCP'].map((kind) => part(kind, Buffer.concat([Buffer.from('name\0\0'), bomb])))
  return Buffer.concat([
    PNG.bytes.subarray(0, 8),
    part('IHDR', head),
    ...texts,
    part('IDAT', deflateSync(Buffer.alloc(Math.min((width + 1) * height, 1e7)))),
    part('IEND', Buffer.alloc(0)),
  ])
}

t.test('what is no JPEG, PNG or WebP of one picture is refused, and the child goes on', async (t) => {
  const { resize, lines } = open()
  const hidden = (text: string | Buffer): Buffer => Buffer.concat([Buffer.from(text), Buffer.alloc(64)])
  const tiff = await drawn(40, 40).tiff().toBuffer()
  const gif = await drawn(40, 40).gif().toBuffer()
  const jpeg = await drawn(640, 640).jpeg().toBuffer()
  const bad: [name: string, bytes: Buffer][] = [
    ['SVG', hidden('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/passwd"/></svg>')],
    ['MVG', hidden('push graphic-context\nimage over 0,0 0,0 "/etc/passwd"')],
    ['TIFF', tiff],
    ['HEIF', hidden('\0\0\0\x18ftypheic\0\0\0\0mif1heic')],
    ['GIF', gif],
    ['cut', jpeg.subarray(0, jpeg.length >> 1)],
    ['bomb', png(5000, 5000)],
    ['wide bomb', png(100_000, 100_000)],
    ['nothing', Buffer.alloc(0)],
  ]
  for (const [name, bytes] of bad)
    for (const type of ['image/jpeg', 'image/png', 'image/webp'] as const)
      t.ok((await resize({ type, bytes }).catch((error) => error)) instanceof UnusablePicture, `${name} as ${type}`)
  // The parent's look at the first bytes is not what holds these back: the child decodes nothing else by itself.
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve('../../src/feeds/resize-child.ts'))], { env: {} })
  for (const [, bytes] of bad) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    child.stdin.write(Buffer.concat([length, bytes]))
  }
  let said = ''
  for await (const part of child.stdout) {
    said += part
    if (said.split('unusable').length > bad.length) child.stdin.end()
  }
  t.equal(said.replaceAll(/[^{]{4}(?={)/gs, ''), '{"unusable":true}'.repeat(bad.length))
  const polyglot = await resize({ type: 'image/jpeg', bytes: Buffer.concat([jpeg, gif, Buffer.from(CANARY)]) })
  t.notMatch(Buffer.concat(polyglot.sizes.map(({ bytes }) => bytes)).toString('latin1'), /GIF8|canary/)
  t.equal(
    (await resize({ type: 'image/png', bytes: png(30, 30, Buffer.alloc(1)) }).catch((error) => error)) instanceof Error,
    false,
    'texts and profiles are not read',
  )
  t.equal((await resize(PNG)).type, 'image/webp')
  t.strictSame(lines, [])
})

const at = process.argv.indexOf('--pictures')
const COUNT = at === -1 ? 200 : Number(process.argv[at + 1])

t.test(`${COUNT} mutated pictures: each is reduced or refused, and no child ends`, async (t) => {
  const { resize, lines } = open()
  const seeds: Picture[] = [
    { type: 'image/jpeg', bytes: await drawn(200, 150).jpeg().toBuffer() },
    { type: 'image/jpeg', bytes: await drawn(200, 150).jpeg({ progressive: true }).toBuffer() },
    { type: 'image/png', bytes: await drawn(200, 150).png({ palette: true }).toBuffer() },
    { type: 'image/webp', bytes: await drawn(200, 150).webp().toBuffer() },
    { type: 'image/webp', bytes: await drawn(200, 150).webp({ lossless: true }).toBuffer() },
  ]
  let seed = 1
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return (seed >> 8) % below
  }
  const counts = { reduced: 0, refused: 0, fault: 0 }
  for (let n = 0; n < COUNT; n++) {
    const { type, bytes } = seeds[n % seeds.length] as Picture
    const mutated = Buffer.from(bytes)
    for (let times = 1 + random(4); times > 0; times--) mutated[random(mutated.length)] = random(256)
    const outcome = await resize({ type, bytes: mutated }).then(
      () => 'reduced' as const,
      (error: Error) =>
        !(error instanceof UnusablePicture) ? Promise.reject(error) : /could not/.test(error.message) ? 'fault' : 'refused',
    )
    counts[outcome]++
  }
  t.comment(JSON.stringify(counts))
  t.equal(counts.fault, 0)
  t.ok(counts.reduced > COUNT / 20 && counts.refused > COUNT / 20, JSON.stringify(counts))
  t.strictSame(lines, [])
})

const SAY = (code: string): string => `process.stdin.once('data', () => { ${code} })`
const header = (text: string): string =>
  `const h = Buffer.from(${JSON.stringify(text)}); const l = Buffer.alloc(4); l.writeUInt32LE(h.length); process.stdout.write(Buffer.concat([l, h, Buffer.alloc(50)]))`
const FAULTY: [name: string, script: string][] = [
  ['hangs', 'process.stdin.resume()'],
  ['ends', 'process.exit(1)'],
  ['is killed', SAY("process.kill(process.pid, 'SIGKILL')")],
  ['answers HTML', SAY("process.stdout.write('<!doctype html>')")],
  ['answers 50 MB', SAY("process.stdout.write(Buffer.alloc(50e6, '\\0'))")],
  ['answers another size', SAY(header('{"width":9,"height":9,"color":"#000000","sizes":[{"width":9,"height":9,"length":50}]}'))],
  ['answers no WebP', SAY(header('{"width":150,"height":150,"color":"#000000","sizes":[{"width":150,"height":150,"length":50}]}'))],
  [
    'answers a script for a colour',
    SAY(header('{"width":150,"height":150,"color":"url(x)","sizes":[{"width":150,"height":150,"length":50}]}')),
  ],
  ['reads a file', "(await import('node:fs')).readFileSync('/etc/passwd')"],
  ['starts a program', "(await import('node:child_process')).spawnSync('true')"],
]
for (const [name, code] of FAULTY)
  t.test(`a child that ${name}: three pictures fail, then originals are served`, async (t) => {
    const script = join(tempFolder(t), 'child.mjs')
    writeFileSync(script, code)
    const { resize, lines } = open({ script, pictureMs: name === 'hangs' ? 50 : 600_000 })
    for (let times = 0; times < 3; times++) await t.rejects(resize(PNG), { message: /^The picture could not be reduced: / })
    t.match(await resize(PNG), { type: 'image/png', sizes: [{ width: 150 }] })
    t.match(lines, [/failed three times/])
    await waitFor('the children to end', () => children(script) === 0)
  })

t.test('the child ends after its rest, and with its parent', async (t) => {
  const { resize } = open()
  await Promise.all([resize(PNG), resize(PNG)])
  await waitFor('the child to end', () => children('resize-child.ts') === 0)
  t.equal((await resize(PNG)).type, 'image/webp', 'another one starts')
  const parent = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `
    const { createResizer } = await import(${JSON.stringify(import.meta.resolve('../../src/feeds/resize.ts'))})
    await createResizer({ log: console }).resize({ type: 'image/png', bytes: Buffer.from(${JSON.stringify(Buffer.from(PNG.bytes).toString('base64'))}, 'base64') })
    console.log('done'); setInterval(() => {}, 1000)`,
  ])
  t.teardown(() => parent.kill('SIGKILL'))
  await new Promise((resolve) => parent.stdout.once('data', resolve))
  t.equal(children('resize-child.ts', parent.pid), 1)
  const [pid] = pids('resize-child.ts', parent.pid)
  parent.kill('SIGKILL')
  await waitFor('the child to end', () => !pids('resize-child.ts').includes(pid ?? 0))
})

t.test('without sharp originals are kept', async (t) => {
  const { resize, lines } = open({ from: `file://${tempFolder(t)}/x.js` })
  t.match(await resize(PNG), { type: 'image/png', color: null, sizes: [{ width: 150 }] })
  t.match(lines, [/original pictures in one size/])
  const script = join(tempFolder(t), 'child.mjs')
  writeFileSync(script, 'process.exit(3)')
  const other = open({ script })
  t.match(await other.resize(PNG), { type: 'image/png' })
  t.match(other.lines, [/cannot be loaded/])
})

function pids(script: string, parent = process.pid): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        const ppid = Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
        return (
          pid > 0 &&
          (ppid === parent || (parent === process.pid && ppid === 1)) &&
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(script)
        )
      } catch {
        return false
      }
    })
}
const children = (script: string, parent?: number): number => pids(script, parent).length

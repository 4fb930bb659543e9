import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
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

const tops = ['left', 'right', 'right', 'left', 'top', 'top', 'bottom', 'bottom'] as const
const SPOTS = { left: [8, 240], right: [308, 240], top: [160, 8], bottom: [160, 390] } as const

t.test('a picture is kept in three sizes, upright, never enlarged, without metadata', async (t) => {
  const { resize, lines } = open()
  const exif = { IFD0: { Copyright: CANARY }, IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '48/1 13/1 57/1' } }
  const xmp = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><!--${CANARY}--></x:xmpmeta>`
  for (const [at, where] of tops.entries()) {
    const [width, height] = at < 4 ? [400, 500] : [500, 400]
    const jpeg = await drawn(width, height)
      .withIccProfile('p3')
      .withExif(exif)
      .withXmp(xmp)
      .withMetadata({ orientation: at + 1 })
      .jpeg()
      .toBuffer()
    for (const [what, times] of [
      ['Exif', 1],
      ['ICC_PROFILE', 1],
      [CANARY, 2],
    ] as const)
      t.equal(jpeg.toString('latin1').split(what).length, times + 1)
    const { sizes, ...turned } = await resize({ type: 'image/jpeg', bytes: jpeg })
    t.match(turned, { type: 'image/webp', width: 400, height: 500 })
    t.strictSame(
      sizes.map(({ width, height }) => [width, height]),
      [
        [320, 400],
        [400, 500],
      ],
    )
    for (const { bytes } of sizes) t.notMatch(Buffer.from(bytes).toString('latin1'), /EXIF|ICCP|XMP |canary/)
    const [left, top] = SPOTS[where]
    const [red = 255] = await sharp(sizes[0]?.bytes).extract({ left, top, width: 1, height: 1 }).raw().toBuffer()
    t.ok(red < 60, `orientation ${at + 1}: the blue half is ${where}`)
  }
  for (const [width, widths] of [
    [150, [150]],
    [320, [320]],
    [700, [320, 640, 700]],
    [1440, [320, 640, 1080]],
  ] as const) {
    const small = await resize({ type: 'image/webp', bytes: await drawn(width, 99).webp().toBuffer() })
    t.strictSame(
      small.sizes.map((size) => size.width),
      widths,
    )
  }
  t.strictSame(lines, [])
})

function chunk(kind: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(kind, 'latin1'), data])
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  sum.writeUInt32BE(crc32(named))
  return Buffer.concat([length, named, sum])
}
const uint32 = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer).swap32()

/** A still red picture that a browser shows as a blinking one. https://www.w3.org/TR/png-3/#apng-frame-based-animation */
async function apng(): Promise<Buffer> {
  const [still, other] = await Promise.all([plain('#f00').png().toBuffer(), plain('#00f').png().toBuffer()])
  const frame = (number: number): Buffer => chunk('fcTL', Buffer.concat([uint32(number, 96, 64, 0, 0), Buffer.from([0, 1, 0, 10, 0, 0])]))
  const head = still.indexOf('IHDR') + 4 + 13 + 4
  const data = (png: Buffer): Buffer => png.subarray(png.indexOf('IDAT') + 4, png.indexOf('IEND') - 8)
  const end = still.indexOf('IEND') - 4
  const second = chunk('fdAT', Buffer.concat([uint32(2), data(other)]))
  return Buffer.concat([
    still.subarray(0, head),
    chunk('acTL', uint32(2, 0)),
    frame(0),
    still.subarray(head, end),
    frame(1),
    second,
    still.subarray(end),
  ])
}
const plain = (background: string, channels: 3 | 4 = 3): Sharp => sharp({ create: { width: 96, height: 64, channels, background } })

t.test('a picture of each kind becomes one still WebP in sRGB, and its colour is known', async (t) => {
  const { resize, lines } = open()
  const clay = '#b7a18c'
  const kinds: [name: string, type: Picture['type'], picture: Sharp | Buffer, color: string][] = [
    ['PNG', 'image/png', plain(clay).png(), clay],
    ['PNG with a palette', 'image/png', drawn(96, 64).png({ palette: true }), '#800080'],
    ['PNG of 16 bits', 'image/png', plain(clay).toColourspace('rgb16').png(), clay],
    ['grey PNG of 16 bits', 'image/png', plain('#777').toColourspace('grey16').png(), '#777777'],
    ['PNG half transparent', 'image/png', plain('rgba(255,0,0,0.5)', 4).png(), '#ff8080'],
    ['APNG', 'image/png', await apng(), '#ff0000'],
    ['JPEG', 'image/jpeg', plain(clay).jpeg(), clay],
    ['progressive JPEG', 'image/jpeg', drawn(96, 64).jpeg({ progressive: true }), '#800080'],
    ['grey JPEG', 'image/jpeg', plain('#777').greyscale().jpeg(), '#777777'],
    ['CMYK JPEG', 'image/jpeg', plain(clay).toColourspace('cmyk').jpeg(), clay],
    ['JPEG with a profile', 'image/jpeg', plain('#0f0').withIccProfile('p3').jpeg(), '#00ff00'],
    ['WebP', 'image/webp', plain(clay).webp(), clay],
    ['WebP without loss', 'image/webp', plain(clay).webp({ lossless: true }), clay],
    ['WebP half transparent', 'image/webp', plain('rgba(255,0,0,0.5)', 4).webp(), '#ff8080'],
  ]
  const parts = (color: string | null): number[] => [1, 3, 5].map((at) => Number.parseInt((color ?? '').slice(at, at + 2), 16))
  for (const [name, type, picture, wanted] of kinds) {
    const { color, sizes } = await resize({ type, bytes: Buffer.isBuffer(picture) ? picture : await picture.toBuffer() })
    const [one] = sizes
    const { pages, hasProfile, space } = await sharp(one?.bytes).metadata()
    t.match({ sizes: sizes.length, pages, hasProfile, space }, { sizes: 1, pages: undefined, hasProfile: false, space: 'srgb' }, name)
    const onWhite = await sharp(one?.bytes).flatten({ background: '#fff' }).png().toBuffer()
    const drawnColor = (await sharp(onWhite).stats()).channels.map(({ mean }) => mean)
    for (const found of [parts(color), drawnColor])
      t.ok(
        parts(wanted).every((part, at) => Math.abs(part - (found[at] ?? 999)) <= 8),
        `${name}: ${color}, ${drawnColor}, ${wanted}`,
      )
  }
  t.strictSame(lines, [])
})

function png(width: number, height: number, ...extra: Buffer[]): Buffer {
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width)
  head.writeUInt32BE(height, 4)
  head.set([8, 0, 0, 0, 0], 8)
  const bomb = deflateSync(Buffer.alloc(64 * 1024 * 1024))
  const texts = extra.length === 0 ? [] : ['zTXt', 'iCCP'].map((kind) => chunk(kind, Buffer.concat([Buffer.from('name\0\0'), bomb])))
  return Buffer.concat([
    PNG.bytes.subarray(0, 8),
    chunk('IHDR', head),
    ...texts,
    chunk('IDAT', deflateSync(Buffer.alloc(Math.min((width + 1) * height, 1e7)))),
    chunk('IEND', Buffer.alloc(0)),
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
  const frames = await Promise.all(['#f00', '#00f'].map((background) => plain(background).png().toBuffer()))
  const animated = await sharp(frames, { join: { animated: true } })
    .webp()
    .toBuffer()
  for (const [name, bytes] of [...bad, ['animated WebP', animated] as const])
    for (const type of ['image/jpeg', 'image/png', 'image/webp'] as const)
      t.ok((await resize({ type, bytes }).catch((error) => error)) instanceof UnusablePicture, `${name} as ${type}`)
  // The parent's look at the first bytes is not what holds these back: the child decodes nothing else by itself.
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve('../../src/feeds/resize-child.ts'))], { env: {} })
  for (const bytes of [animated, ...bad.map(([, bytes]) => bytes)]) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    child.stdin.write(Buffer.concat([length, bytes]))
  }
  let said = ''
  for await (const part of child.stdout) {
    said += part
    if (said.split('unusable').length > bad.length) child.stdin.end()
  }
  t.equal(said.split('{"unusable":true}').length, bad.length + 1)
  t.match(said, /"width":96,"height":64,"color":"#f[def]0[0-2]0[0-2]"/, 'the first frame')
  t.notMatch(said, 'ANIM')
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

/** A child that does this with each `picture`. */
const SAY = (code: string): string => `
function frame(header, ...bytes) {
  const text = Buffer.from(header)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  process.stdout.write(Buffer.concat([length, text, ...bytes]))
}
let got = Buffer.alloc(0)
process.stdin.on('data', async (part) => {
  got = Buffer.concat([got, part])
  if (got.length < 4 || got.length < 4 + got.readUInt32LE(0)) return
  const picture = got.subarray(4)
  got = Buffer.alloc(0)
  ${code}
})`
const answering = (header: string): string => SAY(`frame(${JSON.stringify(header)}, Buffer.alloc(50))`)
const FAULTY: [name: string, script: string][] = [
  ['hangs', 'process.stdin.resume()'],
  ['ends', 'process.exit(1)'],
  ['is killed', SAY("process.kill(process.pid, 'SIGKILL')")],
  ['answers HTML', SAY("process.stdout.write('<!doctype html>')")],
  ['answers 50 MB', SAY("process.stdout.write(Buffer.alloc(50e6, '\\0'))")],
  ['answers another size', answering('{"width":9,"height":9,"color":"#000000","sizes":[{"width":9,"height":9,"length":50}]}')],
  ['answers no WebP', answering('{"width":150,"height":150,"color":"#000000","sizes":[{"width":150,"height":150,"length":50}]}')],
  [
    'answers a script for a colour',
    answering('{"width":150,"height":150,"color":"url(x)","sizes":[{"width":150,"height":150,"length":50}]}'),
  ],
]
for (const [name, code] of FAULTY)
  t.test(`a child that ${name}: three pictures fail, then originals are kept for an hour`, async (t) => {
    const script = join(tempFolder(t), 'child.mjs')
    writeFileSync(script, code)
    let ms = 0
    const { resize, lines } = open({ script, pictureMs: name === 'hangs' ? 50 : 600_000, clockMs: () => ms })
    const fails = (picture: Picture) => t.rejects(resize(picture), { message: /^The picture could not be reduced: / })
    for (const user of ['someone', 'else', 'third']) await fails({ type: 'image/png', bytes: pictureOf(user) })
    t.match(await resize(PNG), { type: 'image/png', sizes: [{ width: 150 }] })
    ms = 3_599_999
    t.match(await resize(PNG), { type: 'image/png' })
    t.match(lines, [/three different pictures failed/])
    ms = 3_600_000
    await fails(PNG)
    await waitFor('the children to end', () => children(script) === 0)
  })

const GOOD = await sharp(PNG.bytes).webp().toBuffer()
/** A child that answers `PNG` as it should, and by the colour whether it could do this before. */
const trying = (code: string): string => `
const [fs, net, { spawnSync }, { Worker }] = await Promise.all(['fs', 'net', 'child_process', 'worker_threads'].map((it) => import('node:' + it)))
${SAY(`
  let color = '#ffffff'
  try { ${code} } catch { color = '#000000' }
  const size = { width: 150, height: 150 }
  frame(JSON.stringify({ ...size, color, sizes: [{ ...size, length: ${GOOD.length} }] }), Buffer.from('${GOOD.toString('base64')}', 'base64'))
`)}`

t.test('pictures that end the child are skipped; the others are reduced', async (t) => {
  const script = join(tempFolder(t), 'child.mjs')
  writeFileSync(script, trying(`if (picture.length !== ${PNG.bytes.length}) process.exit(1)`))
  const { resize, lines } = open({ script })
  // One picture is tried three times. Others may fail too, as long as not all do.
  for (const row of ['evil evil evil', 'bad worse', 'fourth fifth']) {
    for (const user of row.split(' '))
      await t.rejects(resize({ type: 'image/png', bytes: pictureOf(user) }), { message: /could not be reduced/ })
    t.match(await resize(PNG), { type: 'image/webp' })
  }
  t.strictSame(lines, [])
})

t.test('the child may do nothing but to answer', async (t) => {
  const folder = tempFolder(t)
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const acts: [name: string, code: string][] = [
    ['read a file', `fs.readFileSync(${JSON.stringify(import.meta.filename)})`],
    ['read the variables of the agent', "fs.readFileSync('/proc/' + process.ppid + '/environ')"],
    ['list a folder', "fs.readdirSync('/')"],
    ['write a file', `fs.writeFileSync(${JSON.stringify(join(folder, 'written'))}, '')`],
    ['start a program', "const { error } = spawnSync('/bin/sh', ['-c', ':']); if (error) throw error"],
    ['start a thread', "new Worker('', { eval: true })"],
    ['know a variable', 'if (Object.keys(process.env).length === 0) throw 0'],
    ['take 3.2 GB', 'Buffer.alloc(3.2e9)'],
  ]
  // Node 24 has no such limit.
  if (Number.parseInt(process.versions.node, 10) > 24)
    acts.push(['open a socket', `await new Promise((yes, no) => net.connect(${port}, '127.0.0.1', yes).once('error', no))`])
  for (const [name, code] of acts) {
    const script = join(folder, 'child.mjs')
    writeFileSync(script, trying(code))
    const { resize, lines } = open({ script })
    t.equal((await resize(PNG)).color, '#000000', `it cannot ${name}`)
    t.strictSame(lines, [])
    // Without the limits the same code can: what is refused above is no mistake in it.
    const free = spawn(process.execPath, [script], { env: { HOME: '/' }, stdio: ['pipe', 'pipe', 'inherit'] })
    free.stdin.end(Buffer.alloc(4))
    t.match(Buffer.concat(await free.stdout.toArray()).toString('latin1'), '"color":"#ffffff"', `it could ${name}`)
  }
  t.equal(connections, acts.length > 8 ? 1 : 0)
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

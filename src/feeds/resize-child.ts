// A process of its own, without environment or files, and from Node 25 on without network: decoders of pictures are native
// code, and their faults end here. This is containment of crashes, not a sandbox. Exit code 3: no library.

process.env['VIPS_BLOCK_UNTRUSTED'] = '1'
const { default: sharp } = await import('sharp').catch(() => process.exit(3))
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({ operation: ['Jpeg', 'Png', 'Webp'].map((format) => `VipsForeignLoad${format}Buffer`) })
sharp.cache(false)
sharp.concurrency(1)

const WIDTHS = [320, 640, 1080]
const LIMITS = { limitInputPixels: 20_000_000, failOn: 'error', pages: 1, sequentialRead: true } as const

async function resize(bytes: Buffer): Promise<[header: object, ...pictures: Buffer[]]> {
  const { autoOrient } = await sharp(bytes, LIMITS).metadata()
  const { width, height } = autoOrient
  const widest = Math.min(width, WIDTHS.at(-1) ?? width)
  const sizes: { data: Buffer; info: { width: number; height: number } }[] = []
  // One after the other: the peak of memory is that of one picture.
  for (const size of [...WIDTHS.filter((it) => it < widest), widest])
    sizes.push(await sharp(bytes, LIMITS).autoOrient().resize(size).webp({ quality: 75 }).toBuffer({ resolveWithObject: true }))
  const { data } = await sharp(sizes[0]?.data, LIMITS)
    .flatten({ background: '#fff' })
    .resize(1, 1, { fit: 'fill' })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  const color = `#${Buffer.from([0, 1, 2].map((at) => data[at] ?? data[0] ?? 0)).toString('hex')}`
  const header = {
    width,
    height,
    color,
    sizes: sizes.map(({ info, data: { length } }) => ({ width: info.width, height: info.height, length })),
  }
  return [header, ...sizes.map(({ data }) => data)]
}

async function answer(bytes: Buffer): Promise<void> {
  const [header, ...pictures] = await resize(bytes).catch((): [object] => [{ unusable: true }])
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  process.stdout.write(Buffer.concat([length, text, ...pictures]))
}

let parts: Buffer[] = []
let got = 0
let wanted = 4
let isLength = true
for await (const part of process.stdin) {
  parts.push(part)
  got += part.length
  while (got >= wanted) {
    const all = Buffer.concat(parts)
    const frame = all.subarray(0, wanted)
    parts = [all.subarray(wanted)]
    got -= wanted
    wanted = isLength ? frame.readUInt32LE(0) : 4
    isLength = !isLength
    if (isLength) await answer(frame)
  }
}
// The agent has ended, or needs no pictures now.
process.exit()

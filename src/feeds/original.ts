import type { Picture } from '../core/media.ts'

// A downloaded picture as it is, without its metadata: what is kept where no library reduces it. A picture that is not
// what its first bytes say is refused.

/** The bytes are no picture that a feed may show. */
export class UnusablePicture extends Error {}

export interface Resized {
  readonly type: Picture['type']
  /** Of the original. */
  readonly width: number
  readonly height: number
  readonly color: string | null
  /** The smallest first. */
  readonly sizes: readonly { readonly width: number; readonly height: number; readonly bytes: Uint8Array }[]
}

const MAX_PIXELS = 20_000_000

interface Bare {
  readonly width: number
  readonly height: number
  readonly parts: readonly Uint8Array[]
}

/** The picture in its own size, without metadata and trailing bytes. Throws an `UnusablePicture`. */
export function original({ type, bytes }: Picture): Resized {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let bare: Bare
  try {
    bare = type === 'image/jpeg' ? jpeg(data) : type === 'image/png' ? png(data) : webp(data)
  } catch (error) {
    if (error instanceof RangeError) throw new UnusablePicture('The picture ends too early.')
    throw error
  }
  const { width, height } = bare
  if (width === 0 || height === 0 || width * height > MAX_PIXELS) throw new UnusablePicture('The picture has an impossible size.')
  return { type, width, height, color: null, sizes: [{ width, height, bytes: Buffer.concat(bare.parts) }] }
}

/** https://www.w3.org/Graphics/JPEG/itu-t81.pdf, B.1 */
function jpeg(data: Buffer): Bare {
  const parts: Uint8Array[] = [data.subarray(0, 2)]
  let size = { width: 0, height: 0 }
  for (let at = 2; ; ) {
    if (data.readUInt8(at) !== 0xff) throw new UnusablePicture('The picture is a damaged JPEG.')
    const marker = data.readUInt8(at + 1)
    if (marker === 0xd9) return { ...size, parts: [...parts, data.subarray(at, at + 2)] }
    const end = at + 2 + data.readUInt16BE(at + 2)
    if (end > data.length) throw new RangeError()
    // SOF0 to SOF15, but for the tables DHT, JPG and DAC.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      size = { height: data.readUInt16BE(at + 5), width: data.readUInt16BE(at + 7) }
    // Of the application's segments only JFIF and Adobe's are needed to draw it; the others hold Exif, places, names.
    const isMetadata = marker === 0xfe || (marker > 0xe0 && marker <= 0xef && marker !== 0xee)
    const next = marker === 0xda ? afterScan(data, end) : end
    if (!isMetadata) parts.push(data.subarray(at, next))
    at = next
  }
}

/** Where the compressed data of a scan ends: at a marker that is neither a stuffed byte nor a restart. */
function afterScan(data: Buffer, from: number): number {
  for (let at = data.indexOf(0xff, from); at !== -1; at = data.indexOf(0xff, at + 1)) {
    const next = data.readUInt8(at + 1)
    if (next !== 0 && next !== 0xff && !(next >= 0xd0 && next <= 0xd7)) return at
  }
  throw new RangeError()
}

/** https://www.w3.org/TR/png-3/#5DataRep */
function png(data: Buffer): Bare {
  const parts: Uint8Array[] = [data.subarray(0, 8)]
  for (let at = 8; ; ) {
    const end = at + 12 + data.readUInt32BE(at)
    if (end > data.length) throw new RangeError()
    const kind = data.toString('latin1', at + 4, at + 8)
    if (['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND'].includes(kind)) parts.push(data.subarray(at, end))
    if (kind === 'IEND') return { width: data.readUInt32BE(16), height: data.readUInt32BE(20), parts }
    at = end
  }
}

/** https://developers.google.com/speed/webp/docs/riff_container */
function webp(data: Buffer): Bare {
  const chunks: Buffer[] = []
  let size = { width: 0, height: 0 }
  const length = Math.min(data.length, 8 + data.readUInt32LE(4))
  for (let at = 12; at < length; ) {
    const kind = data.toString('latin1', at, at + 4)
    const bytes = data.readUInt32LE(at + 4)
    const end = at + 8 + bytes + (bytes & 1)
    if (end > data.length) throw new RangeError()
    const chunk = Buffer.from(data.subarray(at, end))
    if (kind === 'ANIM' || kind === 'ANMF') throw new UnusablePicture('The picture moves.')
    if (kind === 'VP8X') {
      // Only the flag of transparency stays: colour profile, Exif and XMP are left out.
      chunk[8] = (chunk[8] ?? 0) & 0x10
      size = { width: 1 + chunk.readUIntLE(12, 3), height: 1 + chunk.readUIntLE(15, 3) }
    } else if (kind === 'VP8L' && size.width === 0) {
      const bits = chunk.readUInt32LE(9)
      size = { width: 1 + (bits & 0x3fff), height: 1 + ((bits >> 14) & 0x3fff) }
    } else if (kind === 'VP8 ' && size.width === 0) {
      size = { width: chunk.readUInt16LE(14) & 0x3fff, height: chunk.readUInt16LE(16) & 0x3fff }
    }
    if (['VP8X', 'VP8 ', 'VP8L', 'ALPH'].includes(kind)) chunks.push(chunk)
    at = end
  }
  const body = Buffer.concat(chunks)
  const head = Buffer.from('RIFF\0\0\0\0WEBP', 'latin1')
  head.writeUInt32LE(4 + body.length, 4)
  return { ...size, parts: [head, body] }
}

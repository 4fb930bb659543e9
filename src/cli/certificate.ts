import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** A certificate and its key in PEM, for https on this computer. */
export interface OwnCertificate {
  readonly cert: string
  readonly key: string
}

const BEFORE_MS = 3_600_000
const AFTER_MS = 24 * 3_600_000

/**
 * Makes a self-signed certificate for localhost, 127.0.0.1 and ::1, in memory. A new serial each time: Firefox lets nobody
 * past the same serial with another key.
 */
export function createCertificate(now: number): OwnCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'))
  const name = sequence(element(0x31, sequence(objectId('550403'), element(0x0c, Buffer.from('localhost')))))
  const names = sequence(
    element(0x82, Buffer.from('localhost')),
    element(0x87, Buffer.from([127, 0, 0, 1])),
    element(0x87, Buffer.concat([Buffer.alloc(15), Buffer.from([1])])),
  )
  const extension = (id: string, value: Buffer): Buffer => sequence(objectId(id), element(0x04, value))
  const signed = sequence(
    element(0xa0, integer(Buffer.from([2]))),
    // A first byte of 1 keeps the number positive and all 128 bits random.
    integer(Buffer.concat([Buffer.from([1]), randomBytes(16)])),
    ecdsaWithSha256,
    name,
    sequence(time(now - BEFORE_MS), time(now + AFTER_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    // subjectAltName; extendedKeyUsage: serverAuth
    element(0xa3, sequence(extension('551d11', names), extension('551d25', sequence(objectId('2b06010505070301'))))),
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', signed, privateKey)])
  const der = sequence(signed, ecdsaWithSha256, element(0x03, signature))
  const lines = der.toString('base64').replace(/.{64}(?!$)/g, '$&\n')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  }
}

// DER, as ITU-T X.690 has it.
function element(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const { length } = body
  const header = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), body])
}

const sequence = (...parts: readonly Buffer[]): Buffer => element(0x30, ...parts)
const integer = (value: Buffer): Buffer => element(0x02, value)
const objectId = (hex: string): Buffer => element(0x06, Buffer.from(hex, 'hex'))
/** `YYMMDDhhmmssZ` */
const time = (at: number): Buffer => element(0x17, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))

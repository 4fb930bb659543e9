import { type Client, type Response, Utils } from 'memjs'
import type { CachedText } from '../reading/row-cache.ts'

// memjs 1.3.2 neither returns nor sends a value's CAS tag (its source says so).
// https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped
const GET = 0x00
const SET = 0x01
const TAG_OFFSET = 16
const OK = 0
const NOT_FOUND = 1
const EXISTS = 2

export async function gets(client: Client, key: string): Promise<CachedText> {
  const { header, val } = await ask(client, GET, { key })
  if (header.status === NOT_FOUND) return { text: null, tag: null }
  if (header.status !== OK) throw refused(header.status)
  return { text: val.toString('utf8'), tag: Buffer.from(header.cas) }
}

/** False where the key has another tag by now or is gone. */
export async function replaceTagged(
  client: Client,
  { key, value, ttlSeconds, tag }: { key: string; value: string; ttlSeconds: number; tag: Buffer },
): Promise<boolean> {
  const extras = Buffer.concat([Buffer.alloc(4), Utils.makeExpiration(ttlSeconds)])
  const { header } = await ask(client, SET, { key, extras, value, tag })
  if (header.status === OK) return true
  if (header.status === EXISTS || header.status === NOT_FOUND) return false
  throw refused(header.status)
}

interface Question {
  readonly key: string
  readonly extras?: Buffer
  readonly value?: string
  readonly tag?: Buffer
}

function ask(client: Client, opcode: number, { key, extras, value = '', tag }: Question): Promise<Response> {
  client.incrSeq()
  const request = Utils.makeRequestBuffer(opcode, key, extras ?? '', value, client.seq)
  tag?.copy(request, TAG_OFFSET)
  return new Promise((resolve, reject) => {
    client.perform(key, request, client.seq, (error: Error | null, response?: Response) => {
      if (error || !response) reject(error ?? new Error('there is no answer'))
      else resolve(response)
    })
  })
}

/** Has the prefix of memjs’ own refusals, after which the connection stays usable. */
function refused(status: number): Error {
  return new Error(`MemJS CAS: refused with status ${status}`)
}

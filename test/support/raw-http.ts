import { request as send } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Asked {
  method?: string
  headers?: Record<string, string>
  body?: string
}

export interface Answered {
  readonly status: number
  readonly headers: Record<string, string | undefined>
  readonly body: string
}

/** Sends a request with exactly these headers; fetch adds some and drops others. */
export function askPort(port: number, path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const request = send({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers as Answered['headers'], body: text })
      })
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}

export interface RawAnswer {
  /** 0 = closed without an answer. */
  status: number
  /** As received: names in lower case, repeated headers twice. */
  headers: [name: string, value: string][]
  body: string
  raw: string
}

/** Sends bytes that HTTP clients do not (repeated headers, pauses, nonsense) and reads until the server closes, or for 10 s. */
export async function sendRaw(port: number, ...parts: (string | Buffer | { waitMs: number })[]): Promise<RawAnswer> {
  const socket = connect({ port, host: '127.0.0.1' })
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  // A server may answer and close before it has read everything; the bytes until then are the answer.
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  for (const part of parts) {
    if (typeof part === 'string' || Buffer.isBuffer(part)) socket.write(part)
    else await sleep(part.waitMs)
  }
  const timeout = setTimeout(() => socket.destroy(), 10_000)
  await closed
  clearTimeout(timeout)
  return parse(Buffer.concat(chunks).toString('latin1'))
}

function parse(raw: string): RawAnswer {
  const [head = '', ...rest] = raw.split('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  const text = rest.join('\r\n\r\n')
  const chunked = headers.some(([name, value]) => name === 'transfer-encoding' && value === 'chunked')
  return { status: Number(statusLine.split(' ')[1] ?? 0), headers, body: chunked ? unchunk(text) : text, raw }
}

function unchunk(text: string): string {
  let rest = text
  let body = ''
  for (;;) {
    const lineEnd = rest.indexOf('\r\n')
    const size = Number.parseInt(rest.slice(0, lineEnd), 16)
    if (!(size > 0)) return body
    body += rest.slice(lineEnd + 2, lineEnd + 2 + size)
    rest = rest.slice(lineEnd + 2 + size + 2)
  }
}

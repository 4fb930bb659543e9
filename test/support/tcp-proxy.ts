import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Teardown } from './temp-folder.ts'

type Mode = { kind: 'pass' } | { kind: 'delay'; ms: number } | { kind: 'black-hole'; resume: boolean } | { kind: 'reset' }

interface Pair {
  client: Socket
  target: Socket
  /** Lost in a black hole: it stays silent. */
  lost: boolean
  held: (() => void)[]
  answerBytesLeft: number
}

export interface TcpProxy {
  readonly port: number
  readonly server: string
  /** Connections open now. */
  readonly connections: number
  /** Connections accepted so far. */
  readonly accepted: number
  /** The same URL through this proxy. */
  through(url: string): string
  pass(): void
  /** Delays every byte, each way. */
  delay(ms: number): void
  /** Accepts and stays silent; its connections stay dead. With resume, pass() delivers the bytes that were held back. */
  blackHole(options?: { resume?: boolean }): void
  /** Ends each connection after so many more bytes of the answer. */
  cutAfter(bytes: number): void
  /** Answers every connection, open or new, with RST. */
  reset(): void
  close(): Promise<void>
}

/** Answers with RST. Node's own reset of an ending socket leaves a handle that keeps the process from exiting. */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** A proxy between client and server that simulates network faults. */
export async function startTcpProxy(t: Teardown, { host = '127.0.0.1', port }: { host?: string; port: number }): Promise<TcpProxy> {
  let mode: Mode = { kind: 'pass' }
  let cut = Number.POSITIVE_INFINITY
  let accepted = 0
  const pairs = new Set<Pair>()

  const deliver = (pair: Pair, act: () => void) => {
    if (pair.lost) return
    if (mode.kind === 'delay') setTimeout(act, mode.ms)
    else if (mode.kind === 'black-hole') pair.held.push(act)
    else act()
  }
  const forward = (pair: Pair, from: Socket, to: Socket) => {
    from.on('data', (bytes: Buffer) => deliver(pair, () => write(pair, to, bytes)))
    from.on('end', () => deliver(pair, () => to.end()))
    from.on('error', () => reset(to))
    from.on('close', () => {
      if (from === pair.client || !pair.lost) deliver(pair, () => to.destroySoon())
      if (from !== pair.client) return
      pairs.delete(pair)
      if (pair.lost) pair.target.destroy()
    })
  }
  const write = (pair: Pair, to: Socket, bytes: Buffer) => {
    if (to.destroyed || to.writableEnded) return
    if (to === pair.target) {
      to.write(bytes)
      return
    }
    to.write(bytes.subarray(0, pair.answerBytesLeft))
    pair.answerBytesLeft -= bytes.length
    if (pair.answerBytesLeft > 0) return
    to.end()
    pair.target.destroy()
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    accepted += 1
    if (mode.kind === 'reset') {
      client.on('error', () => {})
      reset(client)
      return
    }
    const target = connect({ host, port, allowHalfOpen: true })
    const pair = { client, target, lost: mode.kind === 'black-hole' && !mode.resume, held: [], answerBytesLeft: cut }
    pairs.add(pair)
    forward(pair, client, target)
    forward(pair, target, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as AddressInfo

  const switchTo = (next: Mode, cutAfter = Number.POSITIVE_INFINITY) => {
    mode = next
    cut = cutAfter
    for (const pair of pairs) {
      pair.answerBytesLeft = cut
      if (next.kind === 'black-hole' && !next.resume) pair.lost = true
      if (next.kind === 'reset') {
        reset(pair.client)
        reset(pair.target)
      }
      if (next.kind !== 'black-hole') for (const act of pair.held.splice(0)) deliver(pair, act)
    }
  }
  const close = async () => {
    for (const { client, target } of pairs) {
      client.destroy()
      target.destroy()
    }
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  t.teardown(close)
  return {
    port: address.port,
    server: `127.0.0.1:${address.port}`,
    get connections() {
      return pairs.size
    },
    get accepted() {
      return accepted
    },
    through(url) {
      const other = new URL(url)
      other.hostname = '127.0.0.1'
      other.port = String(address.port)
      return other.href
    },
    pass: () => switchTo({ kind: 'pass' }),
    delay: (ms) => switchTo({ kind: 'delay', ms }),
    blackHole: ({ resume = false } = {}) => switchTo({ kind: 'black-hole', resume }),
    cutAfter: (bytes) => switchTo({ kind: 'pass' }, bytes),
    reset: () => switchTo({ kind: 'reset' }),
    close,
  }
}

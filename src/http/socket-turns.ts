import type { RequestListener, Server, ServerOptions } from 'node:http'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'

// Not by an import, which would look at all that node:http has, and with it load Node's whole fetch.
const { createServer }: typeof import('node:http') = createRequire(import.meta.url)('node:http')

/** Of all connections together; one request that waits takes 4 KB. */
const MAX_WAITING = 3_000
/** A client that has not taken a byte of its answer for so long does not get the rest. */
const STUCK_MS = 60_000

/**
 * A web server that answers one request of a connection at a time. From one packet of 64 KB Node reads two thousand
 * requests, and would have all of them answered at once. Here each waits until the answer before it has left, and the
 * connection is not read meanwhile: behind a client that does not read, neither requests nor answers pile up.
 */
export function createTurnServer(options: ServerOptions, answer: RequestListener): Server {
  const waiting = new WeakMap<Socket, { requests: number }>()
  let total = 0

  function hold(socket: Socket): { requests: number } {
    const held = { requests: 0 }
    waiting.set(socket, held)
    // Node reads on whenever an answer has left.
    socket.on('resume', () => {
      if (held.requests > 0) socket.pause()
    })
    // Node makes an error, with its stack, of each request that the end of its connection cuts off: thousands at once.
    const { stackTraceLimit } = Error
    socket.prependOnceListener('close', () => {
      Error.stackTraceLimit = 0
    })
    socket.once('close', () => {
      Error.stackTraceLimit = stackTraceLimit
      total -= held.requests
      held.requests = 0
    })
    return held
  }

  return createServer(options, (request, response) => {
    // Node gives a response its socket once the answers before it have left; most have no other before them.
    if (response.socket !== null) return answer(request, response)
    const { socket } = request
    if (socket.destroyed) return
    const held = waiting.get(socket) ?? hold(socket)
    if (total >= MAX_WAITING) return void socket.destroy()
    if (held.requests === 0) {
      socket.pause()
      socket.setTimeout(STUCK_MS)
    }
    held.requests++
    total++
    response.once('socket', () => {
      // In a turn of its own, so that other connections are read in between.
      setImmediate(() => {
        if (socket.destroyed) return
        held.requests--
        total--
        if (held.requests === 0) {
          socket.setTimeout(0)
          socket.resume()
        }
        answer(request, response)
      })
    })
  })
}

import type { RequestListener, Server, ServerOptions } from 'node:http'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'

// An import would evaluate all exports of node:http, which loads Node's whole fetch.
const { createServer }: typeof import('node:http') = createRequire(import.meta.url)('node:http')

/** Over all connections; a waiting request takes 4 KB. */
const MAX_WAITING = 3_000
/** A client that reads no byte of its answer for so long is disconnected. */
const STUCK_MS = 60_000

/**
 * A web server that answers one request per connection at a time. Node reads up to two thousand pipelined requests from a
 * packet of 64 KB and answers them all at once. Here each request waits until the previous answer has left, and the socket
 * is paused until then, so a client that does not read cannot pile up requests or answers.
 */
export function createTurnServer(options: ServerOptions, answer: RequestListener): Server {
  const waiting = new WeakMap<Socket, { requests: number }>()
  let total = 0

  function track(socket: Socket): { requests: number } {
    const queue = { requests: 0 }
    waiting.set(socket, queue)
    // Node resumes the socket after each answer.
    socket.on('resume', () => {
      if (queue.requests > 0) socket.pause()
    })
    // Node makes an error with a stack for each request that the closing cuts off: thousands at once.
    const { stackTraceLimit } = Error
    socket.prependOnceListener('close', () => {
      Error.stackTraceLimit = 0
    })
    socket.once('close', () => {
      Error.stackTraceLimit = stackTraceLimit
      total -= queue.requests
      queue.requests = 0
    })
    return queue
  }

  return createServer(options, (request, response) => {
    // Node assigns the socket once earlier answers have left; mostly there are none.
    if (response.socket !== null) return answer(request, response)
    const { socket } = request
    if (socket.destroyed) return
    const queue = waiting.get(socket) ?? track(socket)
    if (total >= MAX_WAITING) return void socket.destroy()
    if (queue.requests === 0) {
      socket.pause()
      socket.setTimeout(STUCK_MS)
    }
    queue.requests++
    total++
    response.once('socket', () => {
      // A separate turn of the event loop lets other connections be read in between.
      setImmediate(() => {
        if (socket.destroyed) return
        queue.requests--
        total--
        if (queue.requests === 0) {
          socket.setTimeout(0)
          socket.resume()
        }
        answer(request, response)
      })
    })
  })
}

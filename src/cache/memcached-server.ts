import { Client, Server } from 'memjs'
import type { Log } from '../core/log.ts'

export interface MemcachedAddress {
  readonly host: string
  readonly port: number
}

export interface MemcachedServerState {
  readonly server: string
  readonly up: boolean
  readonly since: Date
}

export interface MemcachedServer {
  /** Null where the server is down, refuses or does not answer in time. Never throws. */
  ask<T>(question: (client: Client) => Promise<T>): Promise<T | null>
  state(): MemcachedServerState
  close(): void
}

interface Options extends MemcachedAddress {
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly deadlineMs: number
  readonly log: Log
}

const FAILURES_TO_OPEN = 2
const CONNECT_DEADLINE_MS = 300
const MIN_PAUSE_MS = 500
const MAX_PAUSE_MS = 5000
const RESPONSE_MAGIC = 0x81
const MAX_ANSWER_BYTES = 2 * 1024 * 1024

// The time-outs of memjs 1.3.2 never fire under load, because each write re-arms its idle timer; and a time-out that
// fires loses the socket. An hour keeps them out of the way of our own deadline.
const MEMJS_OPTIONS = { timeout: 3600, conntimeout: 3600, retries: 0, logger: { log() {} } }

/** memjs buffers any bytes and waits for the rest for ever. This server gives up on bytes that are no answer. */
class StrictServer extends Server {
  override readonly username: string | undefined
  override readonly password: string | undefined

  constructor({ host, port, username, password }: Options) {
    super(host, port, username, password, { ...MEMJS_OPTIONS })
    // memjs reads a missing user name and password from the environment.
    this.username = username
    this.password = password
  }

  override responseHandler(data: Buffer): void {
    try {
      super.responseHandler(data)
      const [first] = this.responseBuffer
      if (first !== undefined && first !== RESPONSE_MAGIC) throw new Error('the answer is not in Memcached’s binary protocol')
      if (this.responseBuffer.length > MAX_ANSWER_BYTES) throw new Error('the answer is longer than any value')
    } catch (error) {
      this.error(error instanceof Error ? error : new Error('the answer cannot be read'))
    }
  }
}

/**
 * One Memcached server behind a deadline and a circuit breaker. memjs never gets back in step after an error, so its
 * client is replaced. The next client must answer in the background before it is used.
 */
export function createMemcachedServer(options: Options): MemcachedServer {
  const { host, port, deadlineMs, log } = options
  const name = `${host}:${port}`
  let failures = 0
  let hasAnswered = false
  let since = new Date()
  let troubleSince: number | null = null
  let closed = false
  let connecting = false
  let retry: ReturnType<typeof setTimeout> | undefined
  let server: StrictServer
  let client: Client
  connect()

  function connect(): void {
    connecting = true
    server = new StrictServer(options)
    client = new Client([server], { ...MEMJS_OPTIONS })
    within(CONNECT_DEADLINE_MS, client.get('token-agent')).then(
      () => {
        connecting = false
        // One short of open: the next failure opens the breaker again at once.
        count(Math.min(failures, FAILURES_TO_OPEN - 1))
      },
      (error: unknown) => {
        connecting = false
        discard()
        count(FAILURES_TO_OPEN, error)
        if (!closed) retry = setTimeout(connect, pauseMs()).unref()
      },
    )
  }

  // Rare for a server that is gone for good, but within a second after a fault of half a minute.
  function pauseMs(): number {
    const troubleMs = performance.now() - (troubleSince ?? performance.now())
    return Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, troubleMs / 60))
  }

  // memjs' close() only half-closes, and a hung server never answers that. Its error() destroys the socket and ends all
  // waiting requests.
  function discard(): void {
    server.error(new Error('the connection was given up'))
  }

  function count(next: number, error?: unknown): void {
    const wasUp = failures < FAILURES_TO_OPEN
    const isUp = next < FAILURES_TO_OPEN
    failures = next
    troubleSince = next === 0 ? null : (troubleSince ?? performance.now())
    if (isUp && !hasAnswered) since = new Date()
    hasAnswered ||= error === undefined
    if (wasUp === isUp || closed) return
    since = new Date()
    if (isUp) log.info({ server: name }, 'Memcached answers again')
    else log.warn({ server: name, reason: reason(error) }, 'Memcached does not answer: going on without it, and trying again')
  }

  return {
    async ask(question) {
      if (closed || failures >= FAILURES_TO_OPEN) return null
      const current = client
      try {
        const answer = await within(deadlineMs, question(current))
        if (current === client) count(0)
        return answer
      } catch (error) {
        // A refusal (out of memory, too large) is an answer: the connection is still in step.
        if (error instanceof Error && error.message.startsWith('MemJS ')) return null
        // The failure of a replaced client has already been counted.
        if (current !== client || closed) return null
        count(failures + 1, error)
        if (!connecting) {
          discard()
          connect()
        }
        return null
      }
    },
    state: () => ({ server: name, up: hasAnswered && failures < FAILURES_TO_OPEN, since }),
    close() {
      closed = true
      clearTimeout(retry)
      discard()
    },
  }
}

function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    // One more turn of the loop: if this process was blocked, the answer may already be in the socket.
    const timer = setTimeout(() => setImmediate(reject, new Error(`no answer within ${ms} ms`)), ms)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

// memjs sometimes rejects with a bare string.
function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

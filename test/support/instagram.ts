import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Fault, FaultName } from './instagram-faults.ts'
import { FAULTS, graphError, perform } from './instagram-faults.ts'
import type { Answer, App, IssuedToken, IssueRequest, User } from './instagram-graph.ts'
import { createGraph, Refusal } from './instagram-graph.ts'
import type { Knobs } from './instagram-knobs.ts'
import { DEFAULT_KNOBS } from './instagram-knobs.ts'
import { createMedia } from './instagram-media.ts'
import { createOAuth } from './instagram-oauth.ts'
import { createPictures } from './instagram-pictures.ts'

// A strict stand-in for graph.instagram.com, api.instagram.com and www.instagram.com at once (their paths do not clash),
// or with the knob `service` for graph.threads.com and threads.com.
// It is a server, not a mock: it issues, expires, rotates and refuses as PROVIDERS.md says, and a client's mistakes fail
// here as they do there.

export interface Clock {
  now(): number
  advance(ms: number): void
  set(at: number | Date): void
}

export interface Call {
  readonly method: string
  readonly path: string
  readonly token: string
  readonly userId: string | null
  readonly fault: Fault | null
  readonly startedAt: number
  endedAt: number | null
  /** The status that was sent; null = none. */
  status: number | null
}

export interface Overlaps {
  /** The maximum of concurrent refreshes of one user: 1 is right. */
  maximum: number
  /** Refreshes that began while another one of the same user ran: 0 is right. */
  count: number
}

export interface Instagram {
  readonly url: string
  readonly clock: Clock
  readonly knobs: Knobs
  readonly issued: ReadonlyMap<string, IssuedToken>
  readonly users: ReadonlyMap<string, User>
  readonly apps: App[]
  /** The newest `keepCalls`, oldest first. */
  readonly calls: Call[]
  /** The number of calls of each path, never reset. */
  readonly counts: Record<string, number>
  readonly overlaps: Overlaps
  issue(request?: IssueRequest): string
  revoke(token: string): void
  /** The next `times` calls of `path` (`*` = any) fail; several faults run one after the other. */
  fail(path: string, fault: FaultName | Fault, times?: number): void
  heal(path?: string): void
  close(): Promise<void>
}

export interface InstagramOptions {
  knobs?: Partial<Knobs>
  clock?: Clock
  port?: number
  keepCalls?: number
}

/** A clock that continues from the time it was last set to; real time at first. */
export function createClock(): Clock {
  let offset = 0
  return {
    now: () => Date.now() + offset,
    advance(ms) {
      offset += ms
    },
    set(at) {
      offset = Number(at) - Date.now()
    },
  }
}

/** The stand-in as Threads. */
export const startThreads = ({ knobs, ...options }: InstagramOptions = {}): Promise<Instagram> =>
  startInstagram({ ...options, knobs: { ...knobs, service: 'threads' } })

const MAX_BODY_BYTES = 64 * 1024

export async function startInstagram(options: InstagramOptions = {}): Promise<Instagram> {
  const { clock = createClock(), keepCalls = 100_000 } = options
  const knobs: Knobs = { ...DEFAULT_KNOBS, ...options.knobs }
  let url = ''
  const pictures = createPictures(knobs, () => url)
  const graph = createGraph(clock.now, knobs, pictures.fieldOf)
  const oauth = createOAuth(graph, clock.now, knobs)
  const media = createMedia(graph, clock.now, knobs, () => url)
  const { mePath, mediaPath, errorType } = graph.service
  const calls: Call[] = []
  const counts: Record<string, number> = {}
  const overlaps: Overlaps = { maximum: 0, count: 0 }
  const refreshing = new Map<string, number>()
  const faults = new Map<string, { fault: Fault; left: number }[]>()

  function takeFault(path: string): Fault | null {
    for (const key of [path, '*']) {
      const queue = faults.get(key) ?? []
      const [first] = queue
      if (first === undefined) continue
      first.left -= 1
      if (first.left <= 0) queue.shift()
      return first.fault
    }
    return null
  }

  function begin(call: Call): void {
    calls.push(call)
    if (calls.length > keepCalls * 2) calls.splice(0, keepCalls)
    counts[call.path] = (counts[call.path] ?? 0) + 1
    if (call.path !== '/refresh_access_token' || call.userId === null) return
    const running = (refreshing.get(call.userId) ?? 0) + 1
    refreshing.set(call.userId, running)
    overlaps.maximum = Math.max(overlaps.maximum, running)
    if (running > 1) overlaps.count += 1
  }

  function finish(call: Call, response: ServerResponse): void {
    call.endedAt = clock.now()
    call.status = response.headersSent ? response.statusCode : null
    if (call.path !== '/refresh_access_token' || call.userId === null) return
    const running = (refreshing.get(call.userId) ?? 1) - 1
    if (running > 0) refreshing.set(call.userId, running)
    else refreshing.delete(call.userId)
  }

  async function route(method: string, path: string, params: URLSearchParams, request: IncomingMessage): Promise<Answer> {
    try {
      switch (`${method} ${path}`) {
        case 'GET /refresh_access_token':
          return graph.refresh(params)
        case 'GET /access_token':
          return graph.exchange(params)
        case `GET ${mePath}`:
          return graph.me(params)
        case `GET ${mediaPath}`:
          return media.list(params)
        case 'GET /picture':
          return pictures.serve(params, request.headers)
        case 'DELETE /me/permissions':
          if (knobs.service === 'threads') throw graph.unsupported()
          return graph.revoke(params)
        case 'GET /oauth/authorize':
          return oauth.authorize(params)
        case 'POST /oauth/authorize': {
          const pressed = new URLSearchParams((await bodyOf(request)).toString())
          const decision = pressed.get('decision') ?? ''
          pressed.delete('decision')
          return oauth.authorize(pressed, decision)
        }
        case 'POST /oauth/access_token':
          return await oauth.exchangeCode(request.headers['content-type'] ?? '', await bodyOf(request))
        default:
          if (method === 'GET' && path.startsWith('/cdn/')) return media.picture(path, params, request.headers)
          throw new Refusal(100, `Unsupported request - method type: ${method.toLowerCase()}`, { type: errorType })
      }
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal
      const { code, subcode, message, type } = refusal
      return graphError({ kind: 'graph', code, message, type, ...(subcode === undefined ? {} : { subcode }) })
    }
  }

  const server = createServer({ maxHeaderSize: 64 * 1024 }, (request, response) => {
    const { pathname: path, searchParams } = new URL(request.url ?? '/', url)
    const token = searchParams.get('access_token') ?? ''
    const method = request.method ?? 'GET'
    const fault = takeFault(path)
    const userId = graph.tokens.get(token)?.userId ?? null
    const call: Call = { method, path, token, userId, fault, startedAt: clock.now(), endedAt: null, status: null }
    begin(call)
    response.on('close', () => finish(call, response))
    // The call takes effect even if the caller gives up.
    perform(response, fault, token, () => route(method, path, searchParams, request)).catch((error: Error) => {
      process.emitWarning(`Instagram's stand-in failed: ${error.message}`)
      response.destroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  return {
    url,
    clock,
    knobs,
    issued: graph.tokens,
    users: graph.users,
    apps: graph.apps,
    calls,
    counts,
    overlaps,
    issue: graph.issue,
    revoke(token) {
      const held = graph.tokens.get(token)
      if (held === undefined) throw new Error('This token was never issued here.')
      graph.end(held, 'revoked')
    },
    fail(path, fault, times = Number.POSITIVE_INFINITY) {
      const queue = faults.get(path) ?? []
      queue.push({ fault: typeof fault === 'string' ? FAULTS[fault] : fault, left: times })
      faults.set(path, queue)
    },
    heal(path) {
      if (path === undefined) faults.clear()
      else faults.delete(path)
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw new Refusal(100, 'The request is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

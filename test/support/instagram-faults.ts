import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './instagram-graph.ts'
import { json } from './instagram-graph.ts'
import { reset } from './tcp-proxy.ts'

/** A fault of a call. Plain data, so that another process can send it. `{token}` in a text = the caller's token. */
export type Fault =
  /** A Graph error; the call has no effect. */
  | {
      kind: 'graph'
      code: number
      subcode?: number
      message?: string
      type?: string
      status?: number
      isTransient?: boolean
      headers?: Record<string, string>
    }
  /** An arbitrary answer; the call has no effect. */
  | { kind: 'answer'; status?: number; headers?: Record<string, string>; body: string }
  /** Waits, then takes effect and answers, or fails in another way. */
  | { kind: 'slow'; ms: number; then?: Fault }
  /** Takes effect, waits, then answers. */
  | { kind: 'slowAnswer'; ms: number }
  | { kind: 'hang' }
  | { kind: 'reset' }
  /** Takes effect, then the connection dies: the rotated token is lost. */
  | { kind: 'lost' }
  /** Takes effect; half of the JSON arrives in a complete HTTP message. */
  | { kind: 'truncated' }
  /** Takes effect; the connection dies in the middle of the announced body. */
  | { kind: 'cut' }
  /** 200 with endless bytes, or with the given number. */
  | { kind: 'flood'; bytes?: number }

const html = (status: number): Fault => ({
  kind: 'answer',
  status,
  headers: { 'content-type': 'text/html' },
  body: '<!doctype html><title>Error</title><p>Sorry, something went wrong.',
})
const body = (text: string): Fault => ({ kind: 'answer', body: text })
const usage = {
  'x-app-usage': '{"call_count":100,"total_cputime":25,"total_time":25}',
  'x-business-use-case-usage':
    '{"17841400000000001":[{"type":"instagram","call_count":100,"total_cputime":25,"total_time":25,"estimated_time_to_regain_access":19}]}',
}

/** Every fault of PROVIDERS.md by name; `fail` accepts a name or another `Fault`. */
export const FAULTS = {
  expired: { kind: 'graph', code: 190, subcode: 463 },
  passwordChanged: { kind: 'graph', code: 190, subcode: 460 },
  invalidToken: { kind: 'graph', code: 190, subcode: 467 },
  appRemoved: { kind: 'graph', code: 190, subcode: 458 },
  checkpoint: { kind: 'graph', code: 190, subcode: 459 },
  unconfirmed: { kind: 'graph', code: 190, subcode: 464 },
  tokenDead: { kind: 'graph', code: 190 },
  sessionDead: { kind: 'graph', code: 102 },
  sessionKey: { kind: 'graph', code: 452, message: 'Session key invalid or no longer valid' },
  appLimit: { kind: 'graph', code: 4, headers: { 'x-app-usage': usage['x-app-usage'] } },
  userLimit: { kind: 'graph', code: 17 },
  pageLimit: { kind: 'graph', code: 32 },
  applicationLimit: { kind: 'graph', code: 341 },
  callLimit: { kind: 'graph', code: 613 },
  businessLimit: { kind: 'graph', code: 80002, headers: usage },
  unknownTrouble: { kind: 'graph', code: 1, message: 'An unknown error has occurred.' },
  serviceTrouble: { kind: 'graph', code: 2, isTransient: true },
  noPermission: { kind: 'graph', code: 10 },
  permissionMissing: { kind: 'graph', code: 200 },
  capabilityMissing: { kind: 'graph', code: 3 },
  unsupported: { kind: 'graph', code: 100, type: 'IGApiException', message: 'Unsupported request - method type: get' },
  wrongApp: { kind: 'graph', code: 101, message: 'Error validating application. Cannot get application info due to a system error.' },
  wrongSecret: { kind: 'graph', code: 1, message: 'Error validating client secret.' },
  unheardOf: { kind: 'graph', code: 7777 },
  errorWith200: { kind: 'graph', code: 190, subcode: 463, status: 200 },
  tooMany: { ...html(429), headers: { 'retry-after': '120' } } as Fault,
  html502: html(502),
  html200: html(200),
  empty500: { kind: 'answer', status: 500, body: '' },
  empty200: body(''),
  object: body('{}'),
  list: body('[]'),
  null: body('null'),
  wrongTypes: body('{"access_token":["a"],"token_type":7,"expires_in":{"seconds":1},"user_id":[1],"username":false}'),
  notUtf8: body('\ufffd\u0000{'),
  redirect: { kind: 'answer', status: 302, headers: { location: '/me?access_token={token}' }, body: '' },
  hang: { kind: 'hang' },
  reset: { kind: 'reset' },
  lost: { kind: 'lost' },
  truncated: { kind: 'truncated' },
  cut: { kind: 'cut' },
  tenMegabytes: { kind: 'flood', bytes: 10_000_000 },
  flood: { kind: 'flood' },
} as const satisfies Record<string, Fault>

export type FaultName = keyof typeof FAULTS

/** Carries out one call: sends its answer or a fault. `run` makes it take effect. */
export async function perform(response: ServerResponse, fault: Fault | null, token: string, run: () => Promise<Answer>): Promise<void> {
  const fill = (text: string) => text.replaceAll('{token}', token)
  switch (fault?.kind) {
    case undefined:
      return send(response, await run())
    case 'graph':
      return send(response, graphError(fault, fill))
    case 'answer': {
      const headers = Object.fromEntries(Object.entries(fault.headers ?? {}).map(([name, value]) => [name, fill(value)]))
      return send(response, { status: fault.status ?? 200, headers, body: fill(fault.body) })
    }
    case 'slow':
      await sleep(fault.ms, undefined, { ref: false })
      return perform(response, fault.then ?? null, token, run)
    case 'slowAnswer': {
      const answer = await run()
      await sleep(fault.ms, undefined, { ref: false })
      return send(response, answer)
    }
    case 'hang':
      return
    case 'reset':
      if (response.socket !== null) reset(response.socket)
      return
    case 'lost':
      await run()
      response.socket?.destroy()
      return
    case 'truncated': {
      const answer = await run()
      return send(response, { ...answer, body: half(answer) })
    }
    case 'cut': {
      const answer = await run()
      response.writeHead(answer.status, { ...answer.headers, 'content-length': Buffer.byteLength(answer.body) })
      response.write(half(answer), () => response.socket?.destroy())
      return
    }
    case 'flood':
      return flood(response, fault.bytes ?? Number.POSITIVE_INFINITY)
  }
}

const half = ({ body }: Answer): Buffer => Buffer.from(body).subarray(0, Math.floor(body.length / 2))

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  // The real service lets any page read its answers; instafeed.js calls it from the browser.
  response.writeHead(status, { 'access-control-allow-origin': '*', ...headers })
  response.end(body)
}

export function graphError(fault: Extract<Fault, { kind: 'graph' }>, fill = (text: string) => text): Answer {
  const error = {
    message: fill(fault.message ?? `Error number ${fault.code}`),
    type: fault.type ?? 'OAuthException',
    code: fault.code,
    ...(fault.subcode === undefined ? {} : { error_subcode: fault.subcode }),
    ...(fault.isTransient === undefined ? {} : { is_transient: fault.isTransient }),
    fbtrace_id: 'AbCdEfGhIjKlMnOpQrStUvW',
  }
  const answer = json({ error }, fault.status ?? 400)
  return { ...answer, headers: { ...answer.headers, ...fault.headers } }
}

async function flood(response: ServerResponse, bytes: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json' })
  const chunk = Buffer.alloc(64 * 1024, ' ')
  for (let sent = 0; sent < bytes && !response.destroyed; sent += chunk.length) {
    if (!response.write(chunk)) await once(response, 'drain', { signal: AbortSignal.timeout(100) }).catch(() => {})
  }
  response.end()
}

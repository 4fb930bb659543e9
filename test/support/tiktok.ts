import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type Clock, createClock } from './instagram.ts'
import { FAULTS, type Fault, type FaultName, perform } from './instagram-faults.ts'
import { type Answer, json } from './instagram-graph.ts'
import { APP, createRules, DEFAULT_KNOBS, type IssueRequest, type Knobs, type Token } from './tiktok-oauth.ts'

// A strict stand-in for open.tiktokapis.com and www.tiktok.com at once. It is a server, not a mock: it issues, expires, rotates
// and refuses as PROVIDERS.md says, and a client's mistakes fail here as they do there.

export type Operation = 'authorize' | 'exchange' | 'refresh' | 'revoke' | 'user' | 'creator' | 'unknown'

export interface TikTok {
  readonly url: string
  readonly clock: Clock
  readonly knobs: Knobs
  readonly tokens: ReadonlyMap<string, Token>
  readonly redirectUris: string[]
  /** The operations of the calls, oldest first. */
  readonly calls: Operation[]
  /** Refreshes that began while another one of the same user ran, uses of dead refresh tokens, secrets in an address: 0 is right. */
  readonly wrong: { overlaps: number; usesOfDead: number; secretsInUrl: number }
  issue(about?: IssueRequest): { access: string; refresh: string }
  isAlive(token: string): boolean
  /** The user takes the permission back. */
  revoke(userId?: string): void
  /** The next `times` calls fail; several faults run one after the other. */
  fail(operation: Operation, fault: FaultName | Fault, times?: number): void
  heal(): void
  close(): Promise<void>
}

/** TikTok's own error in the body of an OAuth call. */
export const refusal = (error: string, description = 'words of TikTok', status = 400): Fault => ({
  kind: 'answer',
  status,
  body: JSON.stringify({ error, error_description: description, log_id: 'log' }),
})

/** TikTok's own error in the body of another call. */
export const apiRefusal = (code: string, status = 200): Fault => ({
  kind: 'answer',
  status,
  body: JSON.stringify({ data: {}, error: { code, message: 'words of TikTok', log_id: 'log' } }),
})

export async function startTikTok({
  knobs: own = {},
  clock = createClock(),
}: {
  knobs?: Partial<Knobs>
  clock?: Clock
} = {}): Promise<TikTok> {
  const knobs: Knobs = { ...DEFAULT_KNOBS, ...own }
  const rules = createRules(knobs, clock.now)
  const calls: Operation[] = []
  const wrong = { overlaps: 0, usesOfDead: 0, secretsInUrl: 0 }
  const refreshing = new Map<string, number>()
  const faults = new Map<Operation, { fault: Fault; left: number }[]>()

  function operationOf(method: string, path: string, form: URLSearchParams): Operation {
    if (path === '/v2/auth/authorize/') return 'authorize'
    if (method === 'POST' && path === '/v2/oauth/token/') return form.get('grant_type') === 'refresh_token' ? 'refresh' : 'exchange'
    if (method === 'POST' && path === '/v2/oauth/revoke/') return 'revoke'
    if (method === 'GET' && path === '/v2/user/info/') return 'user'
    return method === 'POST' && path === '/v2/post/publish/creator_info/query/' ? 'creator' : 'unknown'
  }

  function run(operation: Operation, { pathname, searchParams }: URL, form: URLSearchParams, request: IncomingMessage): Answer {
    const { authorization = '', 'content-type': type = '' } = request.headers
    switch (operation) {
      case 'authorize': {
        if (request.method !== 'POST') return rules.authorize(searchParams)
        const decision = form.get('decision') ?? ''
        form.delete('decision')
        return rules.authorize(form, decision)
      }
      case 'exchange':
      case 'refresh':
      case 'revoke':
        return rules.form(pathname, type, form)
      case 'user':
        return searchParams.get('fields')
          ? rules.user(authorization)
          : json({ data: {}, error: { code: 'invalid_params', message: 'fields' } }, 400)
      case 'creator':
        return rules.creator(authorization)
      default:
        return json({ error: { code: 'path_not_found', message: 'no such path' } }, 404)
    }
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://tiktok.example')
    const form = new URLSearchParams(await text(request))
    const operation = operationOf(request.method ?? 'GET', url.pathname, form)
    calls.push(operation)
    const shown = decodeURIComponent(url.href)
    if (shown.includes(APP.secret) || [...rules.tokens.keys()].some((token) => shown.includes(token))) wrong.secretsInUrl++
    const user = operation === 'refresh' ? rules.userOfRefresh(form) : null
    const queue = faults.get(operation) ?? []
    const [first] = queue
    if (first !== undefined && --first.left <= 0) queue.shift()
    if (user !== null) {
      const running = refreshing.get(user) ?? 0
      if (running > 0) wrong.overlaps++
      refreshing.set(user, running + 1)
      response.on('close', () => refreshing.set(user, (refreshing.get(user) ?? 1) - 1))
    }
    const work = async (): Promise<Answer> => {
      const answer = run(operation, url, form, request)
      wrong.usesOfDead = rules.uses.ofDead
      return answer
    }
    perform(response, first?.fault ?? null, '', work).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    clock,
    knobs,
    tokens: rules.tokens,
    redirectUris: rules.redirectUris,
    calls,
    wrong,
    issue: rules.issue,
    isAlive: rules.isAlive,
    revoke: (user = knobs.signedInAs) => rules.endAll(({ userId }) => userId === user),
    fail(operation, fault, times = Number.POSITIVE_INFINITY) {
      faults.set(operation, [...(faults.get(operation) ?? []), { fault: typeof fault === 'string' ? FAULTS[fault] : fault, left: times }])
    },
    heal: () => faults.clear(),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The agent's variables for this stand-in, which learns the agent's redirect URI. */
export function tiktokSettings({ url, redirectUris }: TikTok, appUrl = 'https://agent.example'): Record<string, string> {
  redirectUris.push(`${appUrl}/connect/tiktok/callback`)
  return {
    TIKTOK_CLIENT_KEY: APP.key,
    TIKTOK_CLIENT_SECRET: APP.secret,
    TIKTOK_API_URL: url,
    TIKTOK_WEB_URL: url,
    APP_URL: appUrl,
  }
}

import { randomBytes } from 'node:crypto'
import { type GraphServiceNames, SERVICES } from './graph-services.ts'
import type { Knobs } from './instagram-knobs.ts'

// The state and the rules of graph.instagram.com and graph.threads.com: PROVIDERS.md, sections A and B.

export type Family = 'instagram' | 'threads' | 'basic_display' | 'facebook'

export interface User {
  readonly userId: string
  readonly appScopedId: string
  username: string
  accountType: string
}

export interface App {
  clientId: string
  clientSecret: string
  redirectUris: string[]
  /** Invited but not accepted: their tokens are refused. */
  pendingTesters: string[]
}

export interface IssuedToken {
  readonly token: string
  readonly userId: string
  readonly family: Family
  readonly life: 'short' | 'long'
  readonly appId: string
  readonly permissions: readonly string[]
  /** When the user granted what it stands for; a refresh does not change it. */
  readonly grantedAt: number
  readonly firstIssuedAt: number
  /** Later after each refresh that returns the same string. */
  issuedAt: number
  expiresAt: number
  /** When it stopped working before its expiry. */
  endedAt: number | null
  endedBy: 'replaced' | 'revoked' | null
  replacedBy: string | null
}

export interface IssueRequest {
  userId?: string
  username?: string
  accountType?: string
  /** Default: 7 days, so that it may be refreshed. */
  ageSeconds?: number
  lifetimeSeconds?: number
  family?: Family
  life?: 'short' | 'long'
  permissions?: string[]
  token?: string
}

export interface Answer {
  readonly status: number
  readonly body: string | Buffer
  readonly headers?: Record<string, string>
}

/** A refusal in the shape of the Graph API. */
export class Refusal extends Error {
  readonly code: number
  readonly subcode: number | undefined
  readonly type: string
  constructor(code: number, message: string, { subcode, type = 'OAuthException' }: { subcode?: number; type?: string } = {}) {
    super(message)
    this.code = code
    this.subcode = subcode
    this.type = type
  }
}

/** The parameters, each at most once and none unknown. */
export function strict(entries: Iterable<[string, unknown]>, required: string[], optional: string[] = []): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, value] of entries) {
    if (!required.includes(name) && !optional.includes(name)) throw new Refusal(100, `Unknown parameter: ${name}`)
    if (name in found) throw new Refusal(100, `Parameter given twice: ${name}`)
    if (typeof value !== 'string') throw new Refusal(100, `Param ${name} must be a string`)
    found[name] = value
  }
  for (const name of required) {
    if (found[name]) continue
    if (name === 'access_token') throw new Refusal(104, 'An access token is required to request this resource.')
    throw new Refusal(100, `The parameter ${name} is required.`)
  }
  return found
}

// Missing in TypeScript's library, present in Node. An id beyond 2^53 must reach the wire with all its digits.
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

export function json(value: unknown, status = 200): Answer {
  return { status, body: JSON.stringify(value), headers: { 'content-type': 'application/json; charset=UTF-8' } }
}

const NINETY_DAYS_MS = 90 * 86_400_000

export type Graph = ReturnType<typeof createGraph>

export function createGraph(now: () => number, knobs: Knobs, pictureOf: (user: User) => object) {
  const users = new Map<string, User>()
  const tokens = new Map<string, IssuedToken>()
  const service: GraphServiceNames = SERVICES[knobs.service]
  const { clientId, clientSecret, redirectUri } = service.app
  const apps: App[] = [{ clientId, clientSecret, redirectUris: [redirectUri], pendingTesters: [] }]
  const unsupported = (): Refusal => new Refusal(100, 'Unsupported request - method type: get', { type: service.errorType })
  const noField = (field: string): Refusal => new Refusal(100, `Tried accessing nonexisting field (${field})`, { type: service.errorType })

  function user(userId?: string): User {
    // Odd and beyond 2^53, so that one trip through a floating-point number changes it.
    let id = userId ?? ''
    for (let n = BigInt(users.size); id === '' || (userId === undefined && users.has(id)); n += 1n)
      id = String(17_841_400_000_000_001n + 2n * n)
    let known = users.get(id)
    if (known === undefined) {
      known = { userId: id, appScopedId: String(BigInt(id) + 7_000_000_000n), username: `user.${id}`, accountType: 'BUSINESS' }
      users.set(id, known)
    }
    return known
  }

  function issue(request: IssueRequest & { appId?: string; grantedAt?: number } = {}): string {
    const owner = user(request.userId)
    owner.username = request.username ?? owner.username
    owner.accountType = request.accountType ?? owner.accountType
    const { family = knobs.service, life = 'long' } = request
    const prefix = { instagram: 'IGAA', threads: 'THAA', basic_display: 'IGQV', facebook: 'EAAB' }[family]
    const token = request.token ?? knobs.tokenText ?? prefix + randomBytes(120).toString('base64url')
    const issuedAt = now() - (request.ageSeconds ?? 7 * 86_400) * 1000
    const lifetime = request.lifetimeSeconds ?? (life === 'long' ? knobs.lifetimeSeconds : knobs.shortLifetimeSeconds)
    tokens.set(token, {
      token,
      userId: owner.userId,
      family,
      life,
      appId: request.appId ?? apps[0]?.clientId ?? '',
      permissions: request.permissions ?? service.scopes.slice(0, 1),
      grantedAt: request.grantedAt ?? issuedAt,
      firstIssuedAt: issuedAt,
      issuedAt,
      expiresAt: issuedAt + lifetime * 1000,
      endedAt: null,
      endedBy: null,
      replacedBy: null,
    })
    return token
  }

  function end(held: IssuedToken, by: 'replaced' | 'revoked', graceSeconds = 0): void {
    held.endedAt ??= now() + graceSeconds * 1000
    held.endedBy ??= by
  }

  function check(token: string): IssuedToken {
    const held = tokens.get(token)
    if (held === undefined) throw new Refusal(190, 'Invalid OAuth access token - Cannot parse access token')
    if (held.family !== knobs.service) throw unsupported()
    const invalid = (subcode: number, message: string) => new Refusal(190, `Error validating access token: ${message}`, { subcode })
    if (held.endedBy === 'revoked') throw invalid(458, 'The user has not authorized application.')
    if (held.endedBy === 'replaced' && (held.endedAt ?? 0) <= now()) throw invalid(467, 'The session is invalid because it was replaced.')
    if (held.expiresAt <= now()) throw invalid(463, `Session has expired on ${new Date(held.expiresAt).toUTCString()}.`)
    const app = apps.find(({ clientId }) => clientId === held.appId)
    if (app?.pendingTesters.includes(held.userId)) throw unsupported()
    const kind = user(held.userId).accountType.toUpperCase()
    if (knobs.service === 'instagram' && knobs.personalAccounts === 'refused' && kind === 'PERSONAL') throw unsupported()
    const isOver = held.grantedAt + NINETY_DAYS_MS <= now()
    if (knobs.service === 'threads' && knobs.privateProfiles === 'ends' && kind === 'PRIVATE' && isOver)
      throw invalid(458, 'The user has not authorized application.')
    if (!held.permissions.includes(service.scopes[0] ?? '')) {
      throw new Refusal(10, 'Application does not have permission for this action')
    }
    return held
  }

  function tokenAnswer(fields: Record<string, unknown>): Answer {
    return json(knobs.tokenShape === 'data' ? { data: [fields] } : fields)
  }

  function longLived(token: string, permissions: string | null = null): Answer {
    const { issuedAt = 0, expiresAt = 0 } = tokens.get(token) ?? {}
    const seconds = Math.floor((expiresAt - issuedAt) / 1000)
    const expiresIn = knobs.expiresIn === 'right' ? String(seconds) : knobs.expiresIn
    return tokenAnswer({
      access_token: token,
      token_type: 'bearer',
      ...(expiresIn === 'absent' ? {} : { expires_in: rawJSON(expiresIn) }),
      ...(permissions === null ? {} : { permissions }),
    })
  }

  function refresh(params: URLSearchParams): Answer {
    const { grant_type, access_token = '' } = strict(params, ['grant_type', 'access_token'])
    if (grant_type !== service.grantTypes.refresh) throw new Refusal(100, `Invalid grant_type: use ${service.grantTypes.refresh}`)
    const held = check(access_token)
    if (held.life === 'short') throw unsupported()
    if (now() - held.issuedAt < knobs.minimumAgeSeconds * 1000) {
      throw knobs.tooYoungCode === 100 ? unsupported() : new Refusal(knobs.tooYoungCode, 'The access token is too young to be refreshed')
    }
    if (knobs.refreshedString === 'same' && knobs.refreshUser === null) {
      held.issuedAt = now()
      held.expiresAt = now() + knobs.lifetimeSeconds * 1000
      return longLived(held.token, knobs.refreshPermissions)
    }
    const { appId, permissions, grantedAt } = held
    const token = issue({ userId: knobs.refreshUser ?? held.userId, ageSeconds: 0, appId, permissions: [...permissions], grantedAt })
    held.replacedBy = token
    if (knobs.oldString === 'invalid' && token !== held.token) end(held, 'replaced', knobs.graceSeconds)
    return longLived(token, knobs.refreshPermissions)
  }

  function exchange(params: URLSearchParams): Answer {
    const { grant_type, client_secret, access_token = '' } = strict(params, ['grant_type', 'client_secret', 'access_token'])
    if (grant_type !== service.grantTypes.exchange) throw new Refusal(100, `Invalid grant_type: use ${service.grantTypes.exchange}`)
    const held = check(access_token)
    const app = apps.find(({ clientId }) => clientId === held.appId)
    if (app?.clientSecret !== client_secret) throw new Refusal(1, 'Error validating client secret.')
    if (held.life === 'long') throw new Refusal(452, 'Session key invalid or no longer valid')
    const { userId, appId, permissions, grantedAt } = held
    return longLived(issue({ userId, ageSeconds: 0, appId, permissions: [...permissions], grantedAt }))
  }

  const userId = (id: string) => (knobs.userIdAs === 'number' ? rawJSON(id) : id)

  function me(params: URLSearchParams): Answer {
    const { access_token = '', fields = 'id' } = strict(params, ['access_token'], ['fields'])
    const held = check(access_token)
    const owner = user(knobs.profileUser ?? held.userId)
    const all: Record<string, unknown> = {
      id: knobs.service === 'threads' ? userId(owner.userId) : owner.appScopedId,
      user_id: userId(owner.userId),
      username: owner.username,
      name: owner.username,
      account_type: owner.accountType,
      ...pictureOf(owner),
      followers_count: 3,
      media_count: knobs.mediaCount,
    }
    const wanted = ['id', ...fields.split(',')]
    const unknown = wanted.find((field) => !service.userFields.includes(field))
    if (unknown !== undefined) throw noField(unknown)
    const profile = Object.fromEntries(Object.entries(all).filter(([field]) => wanted.includes(field)))
    return json(knobs.profileShape === 'data' ? { data: [profile] } : profile)
  }

  function revoke(params: URLSearchParams): Answer {
    const { access_token = '' } = strict(params, ['access_token'])
    const { userId, appId } = check(access_token)
    for (const held of tokens.values()) if (held.userId === userId && held.appId === appId) end(held, 'revoked')
    return json({ success: true })
  }

  return { service, unsupported, noField, users, tokens, apps, user, userId, issue, end, check, tokenAnswer, refresh, exchange, me, revoke }
}

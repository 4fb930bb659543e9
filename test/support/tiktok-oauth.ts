import { createHash, randomBytes } from 'node:crypto'
import type { Answer } from './instagram-graph.ts'
import { json } from './instagram-graph.ts'

// The state and the rules of TikTok's Login Kit v2: PROVIDERS.md, section D.

/** What is unverified there, or differs between apps. */
export interface Knobs {
  kind: 'web' | 'desktop'
  pkce: 'required' | 'optional' | 'ignored'
  challenge: 'hex' | 'base64url' | 'either'
  /** Where a challenge of another form is refused. */
  challengeRefusedAt: 'authorize' | 'token'
  consent: 'approve' | 'deny' | 'page'
  denialState: 'with' | 'without'
  /** Scopes that the person switches off. */
  switchedOff: string[]
  scopesParameter: 'sent' | 'absent'
  codeLifetimeSeconds: number
  accessSeconds: number
  refreshSeconds: number
  /** Whether a refresh restarts the life of the refresh token. */
  refreshLife: 'restarts' | 'counts down'
  /** `strict`: spent by its use. `grace`: works 300 s longer, and gives the same next one. `lenient`: works on. `same`: is its own next one. */
  rotation: 'strict' | 'grace' | 'lenient' | 'same'
  reuse: 'invalid_grant' | 'family revoked'
  previousAccess: 'valid' | 'void'
  refreshToken: 'sent' | 'absent'
  expiresIn: 'number' | 'string' | 'absent' | 'zero' | 'huge'
  accessToken: 'sent' | 'absent'
  openId: 'sent' | 'absent' | 'other'
  /** The status of refusals; null = 400. */
  errorStatus: number
  signedInAs: string
  displayName: string
}

export const DEFAULT_KNOBS: Knobs = {
  kind: 'web',
  pkce: 'required',
  challenge: 'hex',
  challengeRefusedAt: 'token',
  consent: 'approve',
  denialState: 'with',
  switchedOff: [],
  scopesParameter: 'sent',
  codeLifetimeSeconds: 600,
  accessSeconds: 7200,
  refreshSeconds: 180 * 86_400,
  refreshLife: 'restarts',
  rotation: 'strict',
  reuse: 'invalid_grant',
  previousAccess: 'valid',
  refreshToken: 'sent',
  expiresIn: 'number',
  accessToken: 'sent',
  openId: 'sent',
  errorStatus: 400,
  signedInAs: '-000user.of-the_shop-0000000000000001',
  displayName: 'Ana’s Café 🎂',
}

export interface Token {
  readonly token: string
  readonly kind: 'access' | 'refresh'
  readonly userId: string
  readonly scopes: readonly string[]
  /** All that comes from one approval. */
  readonly family: string
  readonly expiresAt: number
  endedAt: number | null
  replacedBy: string | null
}

export interface IssueRequest {
  userId?: string
  scopes?: string[]
  accessSeconds?: number
}

interface Code {
  readonly redirectUri: string
  readonly challenge: string | null
  readonly scopes: readonly string[]
  readonly userId: string
  readonly expiresAt: number
  used: boolean
}

export const APP = { key: 'awabcdefgh0123456789', secret: 'a-secret-of-the-tiktok-app' }
const KNOWN_SCOPES = ['user.info.basic', 'user.info.profile', 'user.info.stats', 'video.list', 'video.upload', 'video.publish']
const GRACE_MS = 300_000
const LEVELS = ['PUBLIC_TO_EVERYONE', 'MUTUAL_FOLLOW_FRIENDS', 'SELF_ONLY']

const page = (status: number, body: string): Answer => ({ status, headers: { 'content-type': 'text/html; charset=utf-8' }, body })
const random = (prefix: string): string => `${prefix}.${randomBytes(36).toString('base64url')}!4567.va`

/** A refusal in the shape of the OAuth calls. */
class Refusal extends Error {
  readonly code: string
  constructor(code: string, description: string) {
    super(description)
    this.code = code
  }
}

export function createRules(knobs: Knobs, now: () => number) {
  const tokens = new Map<string, Token>()
  const codes = new Map<string, Code>()
  const redirectUris: string[] = ['https://agent.example/connect/tiktok/callback']
  const uses = { ofDead: 0 }

  const isAlive = ({ expiresAt, endedAt }: Token): boolean => now() < expiresAt && (endedAt === null || now() < endedAt)
  function add(kind: Token['kind'], { userId, scopes, family }: Pick<Token, 'userId' | 'scopes' | 'family'>, seconds: number): Token {
    const token = random(kind === 'access' ? 'act' : 'rft')
    const one = { token, kind, userId, scopes, family, expiresAt: now() + seconds * 1000, endedAt: null }
    tokens.set(one.token, { ...one, replacedBy: null })
    return tokens.get(one.token) as Token
  }
  function issue({ userId = knobs.signedInAs, scopes = ['user.info.basic'], accessSeconds = knobs.accessSeconds }: IssueRequest = {}) {
    const about = { userId, scopes, family: random('family') }
    return { access: add('access', about, accessSeconds).token, refresh: add('refresh', about, knobs.refreshSeconds).token }
  }

  function answer(access: Token, refresh: Token): Answer {
    const lives = { number: knobs.accessSeconds, string: String(knobs.accessSeconds), zero: 0, huge: 1e20, absent: undefined }
    return json({
      access_token: knobs.accessToken === 'sent' ? access.token : undefined,
      expires_in: lives[knobs.expiresIn],
      open_id: knobs.openId === 'absent' ? undefined : knobs.openId === 'other' ? 'another-user' : access.userId,
      refresh_token: knobs.refreshToken === 'sent' ? refresh.token : undefined,
      refresh_expires_in: Math.round((refresh.expiresAt - now()) / 1000),
      scope: access.scopes.join(','),
      token_type: 'Bearer',
    })
  }

  function strict(params: URLSearchParams, required: readonly string[], optional: readonly string[] = []): Record<string, string> {
    const names = [...params.keys()]
    const isWrong = new Set(names).size !== names.length || names.some((name) => !required.includes(name) && !optional.includes(name))
    if (isWrong || required.some((name) => !params.get(name))) throw new Refusal('invalid_request', 'The request parameters are malformed.')
    return Object.fromEntries(params)
  }

  function authorize(params: URLSearchParams, decision?: string): Answer {
    let asked: Record<string, string>
    try {
      asked = strict(params, ['client_key', 'scope', 'redirect_uri', 'state', 'response_type'], ['code_challenge', 'code_challenge_method'])
    } catch (refusal) {
      return page(400, (refusal as Error).message)
    }
    const { client_key: key, redirect_uri: redirectUri = '', state = '', scope = '', code_challenge: challenge = null } = asked
    const target = new URL(redirectUri)
    const isLoopback = ['localhost', '127.0.0.1'].includes(target.hostname)
    const isRight = knobs.kind === 'web' ? target.protocol === 'https:' && !isLoopback : isLoopback
    if (key !== APP.key) return page(400, 'client_key')
    // A desktop app registers any port.
    const onAnyPort = redirectUri.replace(/^(http:\/\/127\.0\.0\.1):\d+\//, '$1:*/')
    if (!isRight || !(redirectUris.includes(redirectUri) || redirectUris.includes(onAnyPort))) return page(400, 'redirect_uri')
    const scopes = scope.split(',')
    if (asked['response_type'] !== 'code' || !scopes.every((one) => KNOWN_SCOPES.includes(one))) return page(400, 'scope')
    const back = (values: Record<string, string>): Answer => {
      for (const [name, value] of Object.entries(values)) target.searchParams.set(name, value)
      return { status: 302, headers: { location: target.href }, body: '' }
    }
    if (knobs.pkce !== 'ignored' && (challenge !== null || knobs.pkce === 'required')) {
      const isForm = { hex: /^[0-9a-f]{64}$/, base64url: /^[\w-]{43}$/, either: /^(?:[0-9a-f]{64}|[\w-]{43})$/ }[knobs.challenge]
      if (challenge === null || asked['code_challenge_method'] !== 'S256') return page(400, 'code_challenge')
      if (!isForm.test(challenge) && knobs.challengeRefusedAt === 'authorize')
        return back({ error: 'invalid_request', error_description: 'Code challenge is invalid.', state })
    }
    const choice = decision ?? knobs.consent
    if (choice === 'page') {
      const fields = [...params].map(([name, value]) => `<input type="hidden" name="${name}" value="${value.replaceAll('"', '&quot;')}">`)
      const buttons = ['approve', 'deny'].map((value) => `<button name="decision" value="${value}">${value}</button>`)
      return page(
        200,
        `<!doctype html><title>TikTok</title><form method="post" action="/v2/auth/authorize/">${fields.join('')}${buttons.join('')}</form>`,
      )
    }
    if (choice === 'deny') {
      const denial = { error: 'access_denied', error_description: 'The user denied the request', error_type: 'access_denied' }
      return back(knobs.denialState === 'with' ? { ...denial, state } : denial)
    }
    // Codes have characters that stand percent-encoded in an address.
    const code = `${randomBytes(24).toString('base64url')}*0!1234.va`
    const granted = scopes.filter((one) => !knobs.switchedOff.includes(one))
    const expiresAt = now() + knobs.codeLifetimeSeconds * 1000
    codes.set(code, { redirectUri, challenge, scopes: granted, userId: knobs.signedInAs, expiresAt, used: false })
    return back({ code, state, ...(knobs.scopesParameter === 'sent' ? { scopes: granted.join(',') } : {}) })
  }

  function exchange(params: URLSearchParams): Answer {
    const asked = strict(params, ['client_key', 'client_secret', 'grant_type', 'code', 'redirect_uri'], ['code_verifier'])
    const code = codes.get(asked['code'] ?? '')
    if (code === undefined || code.used || now() >= code.expiresAt) throw new Refusal('invalid_grant', 'Authorization code is expired.')
    if (asked['redirect_uri'] !== code.redirectUri)
      throw new Refusal('invalid_request', 'Redirect_uri is not matched with the uri when requesting code.')
    if (knobs.pkce !== 'ignored' && code.challenge !== null) {
      const hash = createHash('sha256').update(asked['code_verifier'] ?? '')
      const forms = { hex: hash.copy().digest('hex'), base64url: hash.digest('base64url') }
      const fits = knobs.challenge === 'either' ? Object.values(forms).includes(code.challenge) : forms[knobs.challenge] === code.challenge
      if (!fits) throw new Refusal('invalid_request', 'Code verifier or code challenge is invalid.')
    }
    code.used = true
    const about = { userId: code.userId, scopes: code.scopes, family: random('family') }
    return answer(add('access', about, knobs.accessSeconds), add('refresh', about, knobs.refreshSeconds))
  }

  function refresh(params: URLSearchParams): Answer {
    const asked = strict(params, ['client_key', 'client_secret', 'grant_type', 'refresh_token'])
    const held = tokens.get(asked['refresh_token'] ?? '')
    if (held?.kind !== 'refresh' || !isAlive(held)) {
      uses.ofDead++
      if (knobs.reuse === 'family revoked' && held !== undefined) endAll((one) => one.family === held.family)
      throw new Refusal('invalid_grant', 'Refresh token is invalid or expired.')
    }
    const secondsLeft = knobs.refreshLife === 'restarts' ? knobs.refreshSeconds : (held.expiresAt - now()) / 1000
    const next = knobs.rotation === 'same' ? held : (tokens.get(held.replacedBy ?? '') ?? add('refresh', held, secondsLeft))
    if (next !== held) {
      held.replacedBy = next.token
      if (knobs.rotation === 'strict') held.endedAt = now()
      if (knobs.rotation === 'grace') held.endedAt ??= now() + GRACE_MS
    }
    if (knobs.previousAccess === 'void') {
      for (const one of tokens.values()) if (one.kind === 'access' && one.userId === held.userId) one.endedAt ??= now()
    }
    return answer(add('access', held, knobs.accessSeconds), next)
  }

  function endAll(isOne: (one: Token) => boolean): void {
    for (const one of tokens.values()) if (isOne(one)) one.endedAt ??= now()
  }

  function bearer(authorization: string, scope: string): Token {
    const held = tokens.get(/^Bearer (\S+)$/.exec(authorization)?.[1] ?? '')
    if (held?.kind !== 'access' || !isAlive(held)) throw new Refusal('access_token_invalid', 'The access token is invalid')
    if (!held.scopes.includes(scope)) throw new Refusal('scope_not_authorized', 'The user did not authorize the scope')
    return held
  }

  const wellOrNot = (work: () => object): Answer => {
    try {
      return json({ data: work(), error: { code: 'ok', message: '', log_id: 'log' } })
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal
      return json({ data: {}, error: { code: refusal.code, message: refusal.message, log_id: 'log' } }, 401)
    }
  }

  return {
    tokens,
    redirectUris,
    uses,
    issue,
    endAll,
    isAlive: (token: string): boolean => {
      const held = tokens.get(token)
      return held !== undefined && isAlive(held)
    },
    authorize,
    userOfRefresh: (params: URLSearchParams): string | null => tokens.get(params.get('refresh_token') ?? '')?.userId ?? null,
    /** The calls with a form: only urlencoded ones. */
    form(path: string, type: string, params: URLSearchParams): Answer {
      try {
        if (!type.startsWith('application/x-www-form-urlencoded'))
          throw new Refusal('invalid_request', 'The request parameters are malformed.')
        if (params.get('client_key') !== APP.key || params.get('client_secret') !== APP.secret)
          throw new Refusal('invalid_client', 'Client key or secret is incorrect.')
        if (path === '/v2/oauth/revoke/') {
          const held = tokens.get(strict(params, ['client_key', 'client_secret', 'token'])['token'] ?? '')
          if (held === undefined) throw new Refusal('invalid_request', 'The token is unknown.')
          endAll(({ userId }) => userId === held.userId)
          return { status: 200, body: '' }
        }
        if (params.get('grant_type') === 'refresh_token') return refresh(params)
        if (params.get('grant_type') === 'authorization_code') return exchange(params)
        throw new Refusal('unsupported_grant_type', 'Grant type is not supported.')
      } catch (refusal) {
        if (!(refusal instanceof Refusal)) throw refusal
        return json({ error: refusal.code, error_description: refusal.message, log_id: 'log' }, knobs.errorStatus)
      }
    },
    user: (authorization: string): Answer =>
      wellOrNot(() => {
        const { userId } = bearer(authorization, 'user.info.basic')
        return { user: { open_id: userId, union_id: `union-${userId}`, avatar_url: '', display_name: knobs.displayName } }
      }),
    creator: (authorization: string): Answer =>
      wellOrNot(() => {
        bearer(authorization, 'video.publish')
        return {
          creator_username: 'ana',
          creator_nickname: knobs.displayName,
          privacy_level_options: LEVELS,
          max_video_post_duration_sec: 600,
        }
      }),
  }
}

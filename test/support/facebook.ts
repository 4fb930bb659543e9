import { createHmac, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FAULTS, type Fault, type FaultName, graphError, perform } from './instagram-faults.ts'
import { type Answer, json, Refusal, strict } from './instagram-graph.ts'

// A strict stand-in for graph.facebook.com and www.facebook.com, as PROVIDERS.md, section C, describes them.

export interface FacebookKnobs {
  consent: 'approve' | 'deny' | 'page'
  denialState: 'with' | 'without'
  codeLifetimeSeconds: number
  longLifetimeSeconds: number
  /** What an exchange of a long-lived token gives. */
  reexchange: 'extends' | 'keeps the date' | 'same string' | 'ends earlier' | 'busy' | 'refused'
  expiresIn: 'present' | 'absent'
  /** Every user manages this many Pages; those of a portfolio come on top, and are hidden without business_management. */
  pages: number
  portfolioPages: number
  pageSize: number
  /** Which Pages have a linked professional account. */
  linked: 'all' | 'none' | 'first'
  /** `none`: the user has no task on the Pages, so their tokens are missing. */
  tasks: 'all' | 'none'
  debugAppIdAs: 'string' | 'number'
  /** Any JSON in place of the data of debug_token; null = the truth. */
  debugData: string | null
  /** Seconds from the approval until data access ends; null = the answer names no date. */
  dataAccessSeconds: number | null
  proof: 'required' | 'optional'
  /** Scopes that the user switches off in the dialog. */
  declined: readonly string[]
  /** `system`: the configuration gives system-user tokens, which never end. */
  configuration: 'user' | 'system'
  signedInAs: string
}

interface Token {
  readonly token: string
  readonly kind: 'short' | 'long' | 'page'
  readonly userId: string
  readonly pageId: string | null
  readonly scopes: readonly string[]
  readonly issuedAt: number
  /** Null = never. */
  readonly expiresAt: number | null
  readonly grantedAt: number
  endedBy: number | null
}

const SCOPES = ['instagram_basic', 'instagram_content_publish', 'pages_show_list', 'pages_read_engagement', 'business_management']
export const FACEBOOK_APP = { id: '660602627938095', secret: 'a-secret-of-the-facebook-app', configId: '5550123456789' }

export async function startFacebook({ knobs: wanted = {} }: { knobs?: Partial<FacebookKnobs> } = {}) {
  const knobs: FacebookKnobs = {
    consent: 'approve',
    denialState: 'with',
    codeLifetimeSeconds: 600,
    longLifetimeSeconds: 60 * 86_400,
    reexchange: 'extends',
    expiresIn: 'present',
    pages: 1,
    portfolioPages: 0,
    pageSize: 25,
    linked: 'all',
    tasks: 'all',
    debugAppIdAs: 'string',
    debugData: null,
    dataAccessSeconds: 90 * 86_400,
    proof: 'required',
    declined: [],
    configuration: 'user',
    signedInAs: '10220000000000017',
    ...wanted,
  }
  let offset = 0
  const now = (): number => Date.now() + offset
  const redirectUris: string[] = []
  const tokens = new Map<string, Token>()
  const codes = new Map<string, Pick<Token, 'userId' | 'scopes'> & { redirectUri: string; expiresAt: number; used: boolean }>()
  const calls: { readonly path: string; readonly params: Record<string, string>; readonly startedAt: number }[] = []
  const faults: { path: string; fault: Fault; left: number }[] = []
  const overlaps = { count: 0 }
  const running = new Map<string, number>()
  let url = ''

  function issue(request: Partial<Token> = {}): string {
    const token = `EAA${randomBytes(60).toString('base64url').replace(/[-_]/g, 'x')}`
    const at = now()
    const life = request.kind === 'short' ? 3600 : knobs.configuration === 'system' ? null : knobs.longLifetimeSeconds
    tokens.set(token, {
      kind: 'long',
      userId: knobs.signedInAs,
      pageId: null,
      scopes: SCOPES.filter((scope) => scope !== 'instagram_content_publish'),
      issuedAt: at,
      grantedAt: at,
      expiresAt: life === null || request.kind === 'page' ? null : at + life * 1000,
      endedBy: null,
      ...request,
      token,
    })
    return token
  }

  const idOf = (userId: string, at: number, from: number): string => `${from}${userId.slice(-6)}${String(at).padStart(3, '0')}`
  function pagesOf({ userId, scopes }: Token) {
    const count = knobs.pages + (scopes.includes('business_management') ? knobs.portfolioPages : 0)
    return Array.from({ length: count }, (_, at) => ({
      id: idOf(userId, at, 1040),
      name: `Bäckerei “Nr. ${at + 1}” <b>& Söhne</b>`,
      instagram: knobs.linked === 'all' || (knobs.linked === 'first' && at === 0) ? instagramOf(userId, at) : null,
    }))
  }
  const instagramOf = (userId: string, at: number) => ({ id: idOf(userId, at, 17841), username: `shop.${at + 1}` })

  /** The token that makes the call. */
  function caller(params: Record<string, string>): Token {
    const held = tokens.get(params['access_token'] ?? '')
    if (held === undefined) throw new Refusal(190, 'Invalid OAuth access token.')
    const proof = createHmac('sha256', FACEBOOK_APP.secret).update(held.token).digest('hex')
    if (params['appsecret_proof'] === undefined && knobs.proof === 'required')
      throw new Refusal(100, 'API calls from the server require an appsecret_proof argument', { type: 'GraphMethodException' })
    if (params['appsecret_proof'] !== undefined && params['appsecret_proof'] !== proof)
      throw new Refusal(100, 'Invalid appsecret_proof provided in the API argument', { type: 'GraphMethodException' })
    const subcode = deadSubcode(held)
    if (subcode !== null) throw new Refusal(190, 'Error validating access token', { subcode })
    const { dataAccessSeconds } = knobs
    if (dataAccessSeconds !== null && held.grantedAt + dataAccessSeconds * 1000 <= now())
      throw new Refusal(200, 'The user’s data access has expired')
    return held
  }

  function deadSubcode(held: Token): number | null {
    if (held.endedBy !== null) return held.endedBy
    return held.expiresAt !== null && held.expiresAt <= now() ? 463 : null
  }

  function app(params: Record<string, string>): void {
    if (params['client_id'] !== FACEBOOK_APP.id) throw new Refusal(101, 'Error validating application. Invalid application ID.')
    if (params['client_secret'] !== FACEBOOK_APP.secret) throw new Refusal(1, 'Error validating client secret.')
  }

  function authorize(params: URLSearchParams, decision?: string): Answer {
    const page = (text: string, status = 400): Answer => ({ status, headers: { 'content-type': 'text/html; charset=utf-8' }, body: text })
    let asked: Record<string, string>
    try {
      asked = strict(params, ['client_id', 'redirect_uri', 'response_type'], ['state', 'scope', 'config_id'])
    } catch (refusal) {
      return page((refusal as Error).message)
    }
    const { client_id, redirect_uri: redirectUri = '', scope, config_id, state } = asked
    if (client_id !== FACEBOOK_APP.id) return page('Invalid App ID')
    if (!redirectUris.includes(redirectUri)) return page('URL Blocked: the redirect URI is not listed')
    if ((scope === undefined) === (config_id === undefined)) return page('Either scope or config_id')
    if (config_id !== undefined && config_id !== FACEBOOK_APP.configId) return page('Invalid configuration')
    const scopes = scope?.split(',') ?? SCOPES
    if (!scopes.every((one) => SCOPES.includes(one))) return page('Invalid Scopes')
    const choice = decision ?? knobs.consent
    if (choice === 'page') {
      const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
      const fields = [...params].map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`).join('')
      const buttons = '<button name="decision" value="approve">Continue</button><button name="decision" value="deny">Cancel</button>'
      return page(`<!doctype html><title>Log in</title><form method="post">${fields}${buttons}</form>`, 200)
    }
    const target = new URL(redirectUri)
    if (choice === 'deny') {
      const denial = { error: 'access_denied', error_code: '200', error_description: 'Permissions error.', error_reason: 'user_denied' }
      for (const [name, value] of Object.entries(denial)) target.searchParams.set(name, value)
      if (state !== undefined && knobs.denialState === 'with') target.searchParams.set('state', state)
    } else {
      const code = `AQ${randomBytes(90).toString('base64url')}`
      const granted = scopes.filter((one) => !knobs.declined.includes(one))
      codes.set(code, {
        userId: knobs.signedInAs,
        scopes: granted,
        redirectUri,
        expiresAt: now() + knobs.codeLifetimeSeconds * 1000,
        used: false,
      })
      target.searchParams.set('code', code)
      if (state !== undefined) target.searchParams.set('state', state)
      target.hash = '_=_'
    }
    return { status: 302, headers: { location: target.href }, body: '' }
  }

  function exchange(params: Record<string, string>): Answer {
    app(params)
    const answer = (token: string): Answer => {
      const expiresAt = tokens.get(token)?.expiresAt ?? null
      const seconds = expiresAt === null ? null : Math.floor((expiresAt - now()) / 1000)
      const named = knobs.expiresIn === 'present' && seconds !== null
      return json({ access_token: token, token_type: 'bearer', ...(named ? { expires_in: seconds } : {}) })
    }
    if (params['grant_type'] === undefined) {
      const code = codes.get(params['code'] ?? '')
      if (code === undefined) throw new Refusal(100, 'Invalid verification code format.')
      if (code.redirectUri !== params['redirect_uri'])
        throw new Refusal(100, 'Error validating verification code: redirect_uri is not identical', { subcode: 36008 })
      if (code.used) throw new Refusal(100, 'This authorization code has been used.', { subcode: 36009 })
      if (code.expiresAt <= now()) throw new Refusal(100, 'This authorization code has expired.')
      code.used = true
      return answer(issue({ kind: 'short', userId: code.userId, scopes: code.scopes }))
    }
    if (params['grant_type'] !== 'fb_exchange_token') throw new Refusal(100, 'Unsupported grant_type')
    const held = tokens.get(params['fb_exchange_token'] ?? '')
    const subcode = held === undefined ? 467 : deadSubcode(held)
    if (held === undefined || subcode !== null) throw new Refusal(190, 'Error validating access token', { subcode: subcode ?? 467 })
    const { userId, scopes, grantedAt, kind, expiresAt } = held
    if (kind === 'short') return answer(issue({ userId, scopes, grantedAt }))
    if (knobs.reexchange === 'busy') throw new Refusal(2, 'Service temporarily unavailable')
    if (knobs.reexchange === 'refused') throw new Refusal(100, 'Unsupported request')
    if (knobs.reexchange === 'same string') return answer(held.token)
    if (knobs.reexchange === 'ends earlier') return answer(issue({ userId, scopes, grantedAt, expiresAt: now() + 3_600_000 }))
    return answer(issue({ userId, scopes, grantedAt, ...(knobs.reexchange === 'keeps the date' ? { expiresAt } : {}) }))
  }

  function debug(params: Record<string, string>): Answer {
    const [id, secret] = (params['access_token'] ?? '').split('|')
    if (id !== FACEBOOK_APP.id || secret !== FACEBOOK_APP.secret) throw new Refusal(190, 'Invalid OAuth access token signature.')
    if (knobs.debugData !== null) return json({ data: JSON.parse(knobs.debugData) })
    const held = tokens.get(params['input_token'] ?? '')
    const seconds = (at: number | null): number => (at === null ? 0 : Math.floor(at / 1000))
    const subcode = held === undefined ? 467 : deadSubcode(held)
    const { dataAccessSeconds } = knobs
    const data = {
      app_id: knobs.debugAppIdAs === 'number' ? Number(FACEBOOK_APP.id) : FACEBOOK_APP.id,
      type: held?.kind === 'page' ? 'PAGE' : 'USER',
      is_valid: subcode === null,
      expires_at: seconds(held?.expiresAt ?? null),
      issued_at: seconds(held?.issuedAt ?? 0),
      scopes: held?.scopes ?? [],
      user_id: held?.userId,
      ...(dataAccessSeconds === null || held === undefined
        ? {}
        : { data_access_expires_at: seconds(held.grantedAt + dataAccessSeconds * 1000) }),
      ...(subcode === null ? {} : { error: { code: 190, message: 'Error validating access token', subcode } }),
    }
    return json({ data })
  }

  function accounts(params: Record<string, string>): Answer {
    const held = caller(params)
    if (held.kind === 'page') throw new Refusal(100, 'Tried accessing nonexisting field (accounts)')
    if (!held.scopes.includes('pages_show_list')) throw new Refusal(200, 'Requires pages_show_list permission')
    const all = pagesOf(held)
    const from = params['after'] === undefined ? 0 : Number(Buffer.from(params['after'], 'base64url').toString())
    const size = Math.min(knobs.pageSize, Number(params['limit'] ?? 25))
    const data = all.slice(from, from + size).map(({ id, name, instagram }) => ({
      id,
      name,
      ...(knobs.tasks === 'all' ? { access_token: pageToken(held, id) } : {}),
      ...(instagram === null ? {} : { instagram_business_account: instagram }),
    }))
    const after = Buffer.from(String(from + size)).toString('base64url')
    const more = from + size < all.length
    return json({
      data,
      paging: { cursors: { before: 'x', after }, ...(more ? { next: `${url}/v26.0/me/accounts?access_token=${held.token}` } : {}) },
    })
  }

  /** One for each Page and user: the same token again. */
  function pageToken({ userId, scopes, grantedAt }: Token, pageId: string): string {
    const known = [...tokens.values()].find((one) => one.kind === 'page' && one.pageId === pageId && one.endedBy === null)
    return known?.token ?? issue({ kind: 'page', userId, pageId, scopes, grantedAt })
  }

  function me(params: Record<string, string>): Answer {
    const held = caller(params)
    const page = pagesOf(held).find(({ id }) => id === held.pageId)
    if (page === undefined) return json({ id: held.userId, name: 'A Person' })
    const { id, name, instagram } = page
    const linked = instagram === null ? {} : { instagram_business_account: { ...instagram, profile_picture_url: `${url}/picture` } }
    return json({ id, name, ...linked })
  }

  function end(userId: string, subcode: number): void {
    for (const held of tokens.values()) if (held.userId === userId) held.endedBy ??= subcode
  }

  function route(method: string, path: string, params: Record<string, string>): Answer {
    try {
      switch (`${method} ${path}`) {
        case 'GET /oauth/access_token':
          return exchange(params)
        case 'GET /debug_token':
          return debug(params)
        case 'GET /me/accounts':
          return accounts(params)
        case 'GET /me':
          return me(params)
        case 'DELETE /me/permissions':
          end(caller(params).userId, 458)
          return json({ success: true })
        default:
          throw new Refusal(100, `Unsupported ${method.toLowerCase()} request`)
      }
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal
      const { code, subcode, message, type } = refusal
      return graphError({ kind: 'graph', code, message, type, ...(subcode === undefined ? {} : { subcode }) })
    }
  }

  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', url)
    // An ended version answers as the oldest living one does.
    const path = pathname.replace(/^\/v\d+\.\d+(?=\/)/, '')
    if (path === pathname) return void response.writeHead(404).end()
    if (path === '/dialog/oauth') {
      let text = ''
      for await (const chunk of request) text += chunk
      const pressed = new URLSearchParams(text)
      const decision = pressed.get('decision') ?? undefined
      pressed.delete('decision')
      const { status, headers, body } = authorize(request.method === 'POST' ? pressed : searchParams, decision)
      return void response.writeHead(status, headers).end(body)
    }
    response.setHeader('date', new Date(now()).toUTCString())
    const params = Object.fromEntries(searchParams)
    calls.push({ path, params, startedAt: now() })
    const at = faults.findIndex((one) => one.path === path && one.left > 0)
    const found = faults[at]
    if (found !== undefined) found.left--
    const user = path === '/me/accounts' ? (params['access_token'] ?? '') : ''
    if (user !== '' && (running.get(user) ?? 0) > 0) overlaps.count++
    running.set(user, (running.get(user) ?? 0) + 1)
    response.on('close', () => running.set(user, (running.get(user) ?? 1) - 1))
    await perform(response, found?.fault ?? null, params['access_token'] ?? '', async () => route(request.method ?? 'GET', path, params))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  return {
    url,
    knobs,
    tokens: tokens as ReadonlyMap<string, Token>,
    calls,
    overlaps,
    redirectUris,
    instagramOf,
    issue,
    /** Ends all tokens of a user, as a changed password (460) or a removed app (458) does. */
    end,
    advance: (ms: number) => {
      offset += ms
    },
    now,
    fail(path: string, fault: FaultName | Fault, times = Number.POSITIVE_INFINITY) {
      faults.push({ path, fault: typeof fault === 'string' ? FAULTS[fault] : fault, left: times })
    },
    heal: () => faults.splice(0),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type FacebookStandIn = Awaited<ReturnType<typeof startFacebook>>

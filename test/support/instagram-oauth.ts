import { randomBytes } from 'node:crypto'
import { META_APP_ID } from './graph-services.ts'
import type { Answer, Graph } from './instagram-graph.ts'
import { json, Refusal, strict } from './instagram-graph.ts'
import type { Knobs } from './instagram-knobs.ts'

// The authorize page and the exchange of a code: PROVIDERS.md, sections A and B.

const OPTIONAL = ['state', 'force_reauth', 'enable_fb_login']

interface Code {
  readonly clientId: string
  readonly redirectUri: string
  readonly userId: string
  readonly permissions: string[]
  readonly expiresAt: number
  used: boolean
}

const page = (status: number, text: string): Answer => ({
  status,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: `<!doctype html><html lang="en"><title>Log in</title><body>${text}`,
})
const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

/** The older shape of api.instagram.com. */
const legacy = (error_message: string) => json({ error_type: 'OAuthException', code: 400, error_message }, 400)

export function createOAuth(graph: Graph, now: () => number, knobs: Knobs) {
  const codes = new Map<string, Code>()
  const { scopes } = graph.service

  /** `decision` is the button pressed on the page that the knob `consent: page` shows. */
  function authorize(params: URLSearchParams, decision?: string): Answer {
    let asked: Record<string, string>
    try {
      asked = strict(params, ['client_id', 'redirect_uri', 'response_type', 'scope'], OPTIONAL)
    } catch (refusal) {
      return page(400, escaped((refusal as Error).message))
    }
    const { client_id: clientId = '', redirect_uri: redirectUri = '', state } = asked
    const app = graph.apps.find((one) => one.clientId === clientId)
    if (clientId === META_APP_ID && knobs.service === 'threads')
      return page(400, '{"error_message":"Sorry, something went wrong","error_code":4476002}')
    if (app === undefined) return page(400, 'Invalid platform app')
    if (!app.redirectUris.includes(redirectUri)) return page(400, 'Invalid redirect_uri')
    if (asked['response_type'] !== 'code') return page(400, 'Invalid response_type')
    const permissions = (asked['scope'] ?? '').split(',')
    if (!permissions.every((scope) => scopes.includes(scope)) || !permissions.includes(scopes[0] ?? '')) {
      return page(400, 'Invalid scope')
    }
    const choice = decision ?? knobs.consent
    if (choice === 'page') {
      const fields = [...params].map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`).join('')
      const button = (value: string, text: string) => `<button name="decision" value="${value}">${text}</button>`
      return page(
        200,
        `<form method="post" action="/oauth/authorize">${fields}${button('approve', 'Allow')}${button('deny', 'Cancel')}</form>`,
      )
    }
    const target = new URL(redirectUri)
    if (choice === 'deny') {
      target.searchParams.set('error', 'access_denied')
      target.searchParams.set('error_reason', 'user_denied')
      target.searchParams.set('error_description', 'The user denied your request')
      if (state !== undefined && knobs.denialState === 'with') target.searchParams.set('state', state)
    } else {
      const code = `AQ${randomBytes(90).toString('base64url')}`
      const expiresAt = now() + knobs.codeLifetimeSeconds * 1000
      const { userId } = graph.user(knobs.signedInAs ?? undefined)
      codes.set(code, { clientId, redirectUri, userId, permissions, expiresAt, used: false })
      target.searchParams.set('code', code)
      if (state !== undefined) target.searchParams.set('state', state)
      target.hash = '_'
    }
    return { status: 302, headers: { location: target.href }, body: '' }
  }

  async function exchangeCode(contentType: string, body: Buffer<ArrayBuffer>): Promise<Answer> {
    const kind = contentType.split(';')[0]?.trim().toLowerCase()
    const urlencoded = kind === 'application/x-www-form-urlencoded'
    if (kind !== 'multipart/form-data' && !(urlencoded && knobs.urlencoded === 'accepted')) {
      return legacy('You must provide a client_id')
    }
    let given: Record<string, string>
    try {
      const form = await new Response(body, { headers: { 'content-type': contentType } }).formData()
      given = strict(form.entries(), ['client_id', 'client_secret', 'grant_type', 'redirect_uri', 'code'])
    } catch (refusal) {
      return legacy(refusal instanceof Refusal ? refusal.message : 'The form could not be read')
    }
    const app = graph.apps.find((one) => one.clientId === given['client_id'])
    if (app === undefined) return legacy('Invalid platform app')
    if (app.clientSecret !== given['client_secret']) {
      if (knobs.secretErrorShape === 'graph') throw new Refusal(1, 'Error validating client secret.')
      return legacy('Invalid platform app')
    }
    if (given['grant_type'] !== 'authorization_code') return legacy('Invalid grant_type')
    const code = codes.get(given['code'] ?? '')
    if (code === undefined || code.used || code.expiresAt <= now() || code.clientId !== app.clientId) {
      return legacy('Matching code was not found or was already used')
    }
    if (code.redirectUri !== given['redirect_uri']) {
      return legacy('Error validating verification code. Please make sure your redirect_uri is identical to the one you used')
    }
    code.used = true
    const { userId, permissions } = code
    const access_token = graph.issue({ userId, life: 'short', ageSeconds: 0, appId: app.clientId, permissions })
    return graph.tokenAnswer({
      access_token,
      user_id: graph.userId(userId),
      ...(knobs.service === 'threads' ? {} : { permissions: knobs.permissionsAs === 'list' ? permissions : permissions.join(',') }),
    })
  }

  return { authorize, exchangeCode }
}

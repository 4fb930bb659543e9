import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Connect, SignedCall } from '../../core/provider.ts'
import type { Secret } from '../../core/secret.ts'
import { type Answer, type Call, call, TIMEOUT_MS } from '../http.ts'
import { fieldsOf, grantOf, parse, profileOf, tokenOf } from './answer.ts'
import { asConnectError, connectRefusal, PERSONAL } from './connect-refusal.ts'
import { errorIn, whole } from './refusal.ts'

// https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/business-login

export interface InstagramConnectOptions {
  readonly app: { readonly id: string; readonly secret: Secret }
  readonly scopes: readonly string[]
  readonly graphUrl: string
  readonly apiUrl: string
  readonly webUrl: string
  readonly fetch?: typeof globalThis.fetch
  readonly timeoutMs?: number
}

/** Instagram's code where the token to exchange is already long-lived. */
const SESSION_KEY_INVALID = 452

export function createInstagramConnect(options: InstagramConnectOptions): Required<Connect> {
  const { app, scopes, graphUrl, apiUrl, webUrl, fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS } = options

  async function ask(url: URL, how: Partial<Call> = {}): Promise<{ answer: Answer; body: unknown }> {
    const answer = await call(url, { service: 'Instagram', timeoutMs, fetch, ...how })
    return { answer, body: parse(answer.text) }
  }

  function accepted({ answer, body }: { answer: Answer; body: unknown }): Record<string, unknown> {
    const refused = connectRefusal(answer, body)
    if (refused !== null) throw refused
    return fieldsOf(body)
  }

  function address(base: string, path: string, params: Record<string, string>): URL {
    const url = new URL(path, base)
    url.search = new URLSearchParams(params).toString()
    return url
  }

  const exchange = (token: Secret): ReturnType<typeof ask> =>
    ask(
      address(graphUrl, '/access_token', {
        grant_type: 'ig_exchange_token',
        client_secret: app.secret.reveal(),
        access_token: token.reveal(),
      }),
    )

  return {
    // Instagram documents no PKCE, so the verifier is unused.
    authorizeUrl: ({ state, redirectUri }) =>
      address(webUrl, '/oauth/authorize', {
        client_id: app.id,
        redirect_uri: redirectUri,
        response_type: 'code',
        scope: scopes.join(','),
        state,
      }),

    exchangeCode: (code, { redirectUri }) =>
      explained(async () => {
        // Multipart, as in the official sample; a urlencoded form is reported to be refused.
        const form = new FormData()
        form.set('client_id', app.id)
        form.set('client_secret', app.secret.reveal())
        form.set('grant_type', 'authorization_code')
        form.set('redirect_uri', redirectUri)
        form.set('code', code)
        const short = accepted(await ask(new URL('/oauth/access_token', apiUrl), { method: 'POST', body: form }))
        return { ...grantOf(accepted(await exchange(tokenOf(short)))), scopes: scopesOf(short['permissions']) }
      }),

    identify: (accessToken) =>
      explained(async () => {
        const fields = { fields: 'user_id,username,account_type', access_token: accessToken.reveal() }
        const profile = accepted(await ask(address(graphUrl, '/me', fields)))
        if (String(profile['account_type']).toUpperCase() === 'PERSONAL') throw PERSONAL
        return profileOf(profile)
      }),

    exchangeForLongLived: (accessToken) =>
      explained(async () => {
        const exchanged = await exchange(accessToken)
        return whole(errorIn(exchanged.body)?.['code']) === SESSION_KEY_INVALID ? null : grantOf(accepted(exchanged))
      }),

    // The Graph API's way to revoke a user's permissions; not documented for Instagram Login.
    revoke: (accessToken) =>
      explained(async () => {
        accepted(await ask(address(graphUrl, '/me/permissions', { access_token: accessToken.reveal() }), { method: 'DELETE' }))
      }),

    readSignedRequest: (signedRequest) => readSignedRequest(signedRequest, app.secret),
  }
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw asConnectError(error)
  }
}

/** Instagram sends a list or a text with commas. */
function scopesOf(permissions: unknown): string | null {
  const list = Array.isArray(permissions) ? permissions : typeof permissions === 'string' ? permissions.split(',') : []
  const names = list.filter((one) => typeof one === 'string' && /^[a-z_]{1,80}$/.test(one))
  return names.length === 0 ? null : names.join(' ')
}

// https://developers.facebook.com/docs/facebook-login/guides/advanced/existing-system#parsingsr: signature "." payload,
// both base64url; the signature is the HMAC-SHA256 of the payload's text with the app secret.
function readSignedRequest(signedRequest: string, secret: Secret): SignedCall | null {
  const [signature, payload, ...rest] = signedRequest.split('.')
  if (signature === undefined || payload === undefined || rest.length > 0) return null
  const given = Buffer.from(signature, 'base64url')
  const expected = createHmac('sha256', secret.reveal()).update(payload).digest()
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null
  const fields = parse(Buffer.from(payload, 'base64url').toString('utf8'))
  if (typeof fields !== 'object' || fields === null) return null
  const { algorithm, user_id: userId, issued_at: issuedAt } = fields as Record<string, unknown>
  if (String(algorithm).toUpperCase() !== 'HMAC-SHA256') return null
  if (typeof userId !== 'string' || !/^\d{1,32}$/.test(userId)) return null
  return { userId, issuedAtMs: instantOf(issuedAt), signed: payload }
}

/** In milliseconds the year 1973, in seconds the year 5138. */
const MIN_MILLISECONDS = 100_000_000_000

/** Seconds, as documented; a larger number counts as milliseconds. */
function instantOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) return null
  return number < MIN_MILLISECONDS ? number * 1000 : number
}

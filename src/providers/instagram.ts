import { ProviderError } from '../domain/errors.ts'
import type { Provider } from '../domain/provider.ts'
import { Secret } from '../domain/secret.ts'
import { tokenProblem } from '../domain/token.ts'
import { call, TIMEOUT_MS } from './http.ts'
import { refusal } from './instagram-refusal.ts'

// https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/business-login
// https://developers.facebook.com/docs/instagram-platform/reference/refresh_access_token

export interface InstagramOptions {
  /** https://graph.instagram.com, or a stand-in for it. */
  readonly graphUrl: string
  readonly fetch?: typeof globalThis.fetch
  readonly timeoutMs?: number
}

/** Instagram gives 60 days. Whatever exceeds this is no lifetime but a mistake, or an instant. */
const MAX_LIFETIME_SECONDS = 400 * 24 * 3600

export function createInstagram({ graphUrl, fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS }: InstagramOptions): Provider {
  async function get(path: string, params: Record<string, string>): Promise<Record<string, unknown>> {
    const url = new URL(graphUrl.replace(/\/+$/, '') + path)
    url.search = new URLSearchParams(params).toString()
    const answer = await call(url, { service: 'Instagram', timeoutMs, fetch })
    const body = parse(answer.text)
    const refused = refusal(answer, body)
    if (refused !== null) throw refused
    return fieldsOf(body)
  }

  return {
    name: 'instagram',
    minimumAgeSeconds: 24 * 3600,
    timeoutMs,

    // Instagram has no refresh token: a long-lived access token renews itself while it is still valid.
    async refresh({ accessToken }) {
      const fields = await get('/refresh_access_token', { grant_type: 'ig_refresh_token', access_token: accessToken.reveal() })
      const { access_token: token, expires_in: seconds } = fields
      if (typeof token !== 'string') throw unusable('token is missing')
      const problem = tokenProblem(token)
      if (problem !== null) throw unusable(`token ${problem.replace(/;.*/s, '')}`)
      // A number, as documented. A string of digits is refused too: a changed type may well be a changed unit, and the
      // token in hand is good for weeks.
      if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds <= 0 || seconds > MAX_LIFETIME_SECONDS) {
        throw unusable('token’s lifetime is missing or impossible')
      }
      return { accessToken: new Secret(token), refreshToken: null, expiresInSeconds: seconds, refreshExpiresInSeconds: null }
    },

    // `user_id` is the account's own id; `id` belongs to the pair of account and app, and would make the same account
    // look like a stranger once its token comes from another app.
    async profile(accessToken) {
      const { user_id: userId, username } = await get('/me', { fields: 'user_id,username', access_token: accessToken.reveal() })
      if (typeof userId !== 'string' || !/^[1-9]\d{0,31}$/.test(userId)) throw incomprehensible('without the account’s id')
      return { userId, username: typeof username === 'string' && /^[\w.]{1,64}$/.test(username) ? username : null }
    },
  }
}

/** Undefined where it is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text, withWholeIds)
  } catch {
    return undefined
  }
}

/** A numeric `user_id` exceeds 2^53: as a number, …405 would become …404. Its digits are taken from the text instead. */
function withWholeIds(key: string, value: unknown, context?: { source?: string }): unknown {
  return key === 'user_id' && typeof value === 'number' ? (context?.source ?? value) : value
}

/** Documented inside `{"data":[…]}`, seen flat: both are taken. */
function fieldsOf(body: unknown): Record<string, unknown> {
  if (!isRecord(body)) throw incomprehensible(body === undefined ? 'that is not JSON' : 'of an unknown shape')
  const inner = Array.isArray(body['data']) ? body['data'][0] : body
  if (!isRecord(inner)) throw incomprehensible('of an unknown shape')
  return inner
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function incomprehensible(how: string): ProviderError {
  return new ProviderError('transient', `Instagram gave an answer ${how}; the token is kept, and the agent tries again by itself.`)
}

function unusable(why: string): ProviderError {
  return new ProviderError(
    'transient',
    `Instagram answered without a usable token (its ${why}); the token in hand is kept, and the agent tries again by itself.`,
  )
}

import { ProviderError } from '../../core/errors.ts'
import type { Grant, Profile } from '../../core/provider.ts'
import { Secret } from '../../core/secret.ts'
import { tokenProblem } from '../../core/token.ts'
import type { GraphService } from './service.ts'

// Checks each field of the Graph API's answers.

/** Meta documents 60 days. A longer life is cut to this. */
export const MAX_LIFE_SECONDS = 61 * 24 * 3600
/** A larger number is an error or an instant, not a lifetime. */
const IMPOSSIBLE_LIFE_SECONDS = 400 * 24 * 3600

/** Reads the answers of one service. Each function throws a `transient` ProviderError for what cannot be used. */
export function createAnswers({ title, fields: names }: Pick<GraphService, 'title' | 'fields'>) {
  const incomprehensible = (how: string): ProviderError =>
    new ProviderError('transient', `${title} gave an answer ${how}; the token is kept, and the agent tries again by itself.`)
  const unusable = (why: string): ProviderError =>
    new ProviderError(
      'transient',
      `${title} answered without a usable token (its ${why}); the token in hand is kept, and the agent tries again by itself.`,
    )

  function tokenOf({ access_token: token }: Record<string, unknown>): Secret {
    if (typeof token !== 'string') throw unusable('token is missing')
    const problem = tokenProblem(token)
    if (problem !== null) throw unusable(`token ${problem.replace(/;.*/s, '')}`)
    return new Secret(token)
  }

  return {
    tokenOf,

    grantOf(fields: Record<string, unknown>): Grant {
      const accessToken = tokenOf(fields)
      const { expires_in: seconds } = fields
      // A number, as documented. A string of digits is refused: a new type may mean a new unit, and the present token is
      // good for weeks.
      if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds <= 0 || seconds > IMPOSSIBLE_LIFE_SECONDS) {
        throw unusable('token’s lifetime is missing or impossible')
      }
      return {
        accessToken,
        refreshToken: null,
        expiresInSeconds: Math.min(seconds, MAX_LIFE_SECONDS),
        refreshExpiresInSeconds: null,
        scopes: scopesOf(fields['permissions']),
      }
    },

    profileOf(fields: Record<string, unknown>): Profile {
      const userId = fields[names.userId]
      const appUserId = names.appUserId === null ? null : fields[names.appUserId]
      const { username } = fields
      if (!isId(userId)) throw incomprehensible('without the account’s id')
      return {
        userId,
        username: typeof username === 'string' && /^[\w.]{1,64}$/.test(username) ? username : null,
        appUserId: isId(appUserId) ? appUserId : null,
      }
    },

    /** Accepts the fields inside `{"data":[…]}`, as documented, and flat, as observed. */
    fieldsOf(body: unknown): Record<string, unknown> {
      if (!isRecord(body)) throw incomprehensible(body === undefined ? 'that is not JSON' : 'of an unknown shape')
      const inner = Array.isArray(body['data']) ? body['data'][0] : body
      if (!isRecord(inner)) throw incomprehensible('of an unknown shape')
      return inner
    },
  }
}

/** Accepts a list and a text with commas. Null = the answer names no scope. */
export function scopesOf(permissions: unknown): string | null {
  const list = Array.isArray(permissions) ? permissions : typeof permissions === 'string' ? permissions.split(',') : []
  const names = list.filter((one) => typeof one === 'string' && /^[a-z_]{1,80}$/.test(one))
  // In one order, so that equal scopes are equal texts.
  return names.length === 0 ? null : names.sort().join(' ')
}

export function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[1-9]\d{0,31}$/.test(value)
}

/** Undefined where the text is not JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text, withWholeIds)
  } catch {
    return undefined
  }
}

/** A numeric `user_id` exceeds 2^53, so …405 would become …404. The digits come from the text instead. */
function withWholeIds(key: string, value: unknown, context?: { source?: string }): unknown {
  return (key === 'user_id' || key === 'id' || key === 'app_id') && typeof value === 'number' ? (context?.source ?? value) : value
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

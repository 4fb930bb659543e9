import { ProviderError } from '../../core/errors.ts'
import type { Grant, Profile } from '../../core/provider.ts'
import { Secret } from '../../core/secret.ts'
import { tokenProblem } from '../../core/token.ts'

// Checks each field of Instagram's answers.

/** Instagram documents 60 days. A longer life is cut to this. */
export const MAX_LIFE_SECONDS = 61 * 24 * 3600
/** A larger number is an error or an instant, not a lifetime. */
const IMPOSSIBLE_LIFE_SECONDS = 400 * 24 * 3600

export function tokenOf({ access_token: token }: Record<string, unknown>): Secret {
  if (typeof token !== 'string') throw unusable('token is missing')
  const problem = tokenProblem(token)
  if (problem !== null) throw unusable(`token ${problem.replace(/;.*/s, '')}`)
  return new Secret(token)
}

export function grantOf(fields: Record<string, unknown>): Grant {
  const accessToken = tokenOf(fields)
  const { expires_in: seconds } = fields
  // A number, as documented. A string of digits is refused: a new type may mean a new unit, and the present token is good
  // for weeks.
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds <= 0 || seconds > IMPOSSIBLE_LIFE_SECONDS) {
    throw unusable('token’s lifetime is missing or impossible')
  }
  return { accessToken, refreshToken: null, expiresInSeconds: Math.min(seconds, MAX_LIFE_SECONDS), refreshExpiresInSeconds: null }
}

/**
 * `user_id` is the account's id. `id` is app-scoped: it would make the same account look like another one with a token of
 * another app.
 */
export function profileOf({ user_id: userId, id, username }: Record<string, unknown>): Profile {
  if (!isId(userId)) throw incomprehensible('without the account’s id')
  return {
    userId,
    username: typeof username === 'string' && /^[\w.]{1,64}$/.test(username) ? username : null,
    appUserId: isId(id) ? id : null,
  }
}

function isId(value: unknown): value is string {
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
  return (key === 'user_id' || key === 'id') && typeof value === 'number' ? (context?.source ?? value) : value
}

/** Accepts the fields inside `{"data":[…]}`, as documented, and flat, as observed. */
export function fieldsOf(body: unknown): Record<string, unknown> {
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

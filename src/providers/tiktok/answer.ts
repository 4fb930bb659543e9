import type { Grant, Profile } from '../../core/provider.ts'
import { Secret } from '../../core/secret.ts'
import { tokenProblem } from '../../core/token.ts'
import type { Answer } from '../http.ts'

// Reads TikTok's answers. https://developers.tiktok.com/doc/oauth-user-access-token-management

type Fields = Record<string, unknown>

/** TikTok's error in an answer; `code` is empty where the answer is no JSON of TikTok. */
export interface Refusal {
  readonly status: number
  readonly code: string
  /** TikTok's own words: only compared, never passed on. */
  readonly words: string
  readonly headers: Headers
}

/** Any body with an `error` is a refusal, also with status 200: its status is not documented. */
export function readAnswer({ status, headers, text }: Answer): { fields: Fields; refusal: Refusal | null } {
  const fields = parse(text)
  const { error, error_description: description } = fields ?? {}
  const inner = typeof error === 'object' && error !== null ? (error as Fields) : null
  const code = inner === null ? error : inner['code']
  const words = inner === null ? description : inner['message']
  // {"error":{"code":"ok"}} is the answer of a call that went well.
  const isRefused = typeof code === 'string' ? code !== '' && code !== 'ok' : error !== undefined && error !== null
  const isWell = fields !== null && !isRefused && status >= 200 && status <= 299
  const refusal = { status, headers, code: typeof code === 'string' ? code : '', words: typeof words === 'string' ? words : '' }
  return { fields: fields ?? {}, refusal: isWell ? null : refusal }
}

function parse(text: string): Fields | null {
  try {
    const body: unknown = text.trim() === '' ? {} : JSON.parse(text)
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Fields) : null
  } catch {
    return null
  }
}

/** A larger number is an error or an instant, not a lifetime. */
const IMPOSSIBLE_LIFE_SECONDS = 10 * 366 * 86_400

/**
 * Null where the answer has no usable access token. The refresh token in hand is spent by now, so whatever else is wrong with
 * the answer, its tokens count: a life that cannot be read is unknown.
 */
export function grantOf(fields: Fields): Grant | null {
  const accessToken = tokenIn(fields['access_token'])
  if (accessToken === null) return null
  const { open_id: userId } = fields
  const profile = isId(userId) ? { profile: { userId, username: null, appUserId: null } } : {}
  return {
    accessToken,
    refreshToken: tokenIn(fields['refresh_token']),
    expiresInSeconds: secondsIn(fields['expires_in']),
    refreshExpiresInSeconds: secondsIn(fields['refresh_expires_in']),
    scopes: scopesIn(fields['scope']),
    ...profile,
  }
}

function tokenIn(value: unknown): Secret | null {
  return typeof value === 'string' && tokenProblem(value) === null ? new Secret(value) : null
}

function secondsIn(value: unknown): number | null {
  const seconds = Math.floor(typeof value === 'string' && /^\d{1,12}$/.test(value) ? Number(value) : (value as number))
  return Number.isSafeInteger(seconds) && seconds > 0 && seconds <= IMPOSSIBLE_LIFE_SECONDS ? seconds : null
}

/** Null = the text names no scope. In one order, so that equal scopes are equal texts. */
export function scopesIn(text: unknown): string | null {
  const names = typeof text === 'string' ? text.split(/[\s,]+/).filter((name) => /^[a-z]+(?:\.[a-z]+)+$/.test(name)) : []
  return names.length === 0 ? null : [...new Set(names)].sort().join(' ')
}

/** Null where the answer names no user. https://developers.tiktok.com/doc/tiktok-api-v2-get-user-info */
export function profileOf({ data }: Fields): Profile | null {
  const { user } = (data ?? {}) as { user?: Fields | null }
  const { open_id: userId, display_name: name } = user ?? {}
  if (!isId(userId)) return null
  // Free text of the user. `username` would need another scope.
  const shown =
    typeof name === 'string'
      ? name
          .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, '')
          .trim()
          .slice(0, 64)
          .toWellFormed()
      : ''
  return { userId, username: shown === '' ? null : shown, appUserId: null }
}

const isId = (value: unknown): value is string => typeof value === 'string' && /^[\w.-]{1,128}$/.test(value)

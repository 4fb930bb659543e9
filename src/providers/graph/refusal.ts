import type { ProviderErrorKind, RefusalReason } from '../../core/errors.ts'
import { ProviderError } from '../../core/errors.ts'
import type { Answer } from '../http.ts'
import type { GraphService } from './service.ts'

// The meaning of the Graph API's errors. Its own text is never passed on, because it may quote the token.
// https://developers.facebook.com/docs/graph-api/guides/error-handling
// https://developers.facebook.com/docs/graph-api/overview/rate-limiting

type Meaning = readonly [kind: ProviderErrorKind, sentence: string]

const AGAIN = 'the token is kept, and the agent tries again by itself.'

type Refuse = (answer: Answer, body: unknown) => ProviderError | null

/** The error in an answer; null = none. The body decides, because the status says little. */
export function createRefusals({ title, site, permission, words }: Pick<GraphService, 'title' | 'site' | 'permission' | 'words'>): Refuse {
  const { makeNewToken, copyCredentials, permissionEnds } = words
  const DEAD: Meaning = ['reconnect', `${title} no longer accepts the token: ${makeNewToken}`]
  const LIMIT: Meaning = ['throttled', `${title}’s rate limit is reached: ${AGAIN}`]
  const TROUBLE: Meaning = ['transient', `${title} has trouble of its own at the moment: ${AGAIN}`]
  const LOGIN: Meaning = [
    'reconnect',
    `${title} wants the account’s owner to log in at ${site} and answer its questions there. After that, ${makeNewToken}`,
  ]
  const PERMISSION: Meaning = [
    'misconfigured',
    `The token lacks a permission: add ${permission} to the app in its dashboard, then ${makeNewToken}${permissionEnds}`,
  ]
  const CREDENTIALS: Meaning = ['misconfigured', `${title} does not know the app id and secret: ${copyCredentials}`]
  const UNSUPPORTED: Meaning = ['misconfigured', words.unsupported]
  /** Tokens of a switched-off app work again when it is back, so a new token would not help. */
  const APP_OFF: Meaning = [
    'misconfigured',
    'Meta has switched this app off: open it in the Meta App Dashboard, read the notice there and do what it asks. The token needs no change; the agent goes on by itself when the app is back.',
  ]
  const BLOCKED: Meaning = ['throttled', `${title} blocks this account’s calls for a while: ${AGAIN}`]
  const UNKNOWN_AT_FIRST = `${title} refuses with an error that the agent does not know: it asks again in about ten minutes, before it calls you.`

  const MEANINGS: Readonly<Record<string, Meaning>> = {
    '190': DEAD,
    '190/458': [
      'reconnect',
      `The app was removed in the ${title} account’s settings: allow it again there, then ${makeNewToken}${permissionEnds}`,
    ],
    '190/459': LOGIN,
    '190/460': ['reconnect', `The password of the ${title} account was changed, which ends its tokens: ${makeNewToken}`],
    '190/463': ['reconnect', `The token has expired: ${makeNewToken}`],
    '190/464': LOGIN,
    '102': DEAD,
    // https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/error-codes
    '25/2207050': LOGIN,
    // “Session key invalid”; connect.ts handles the case of an exchange.
    '452': DEAD,
    '-1': TROUBLE,
    '-2': TROUBLE,
    '1': TROUBLE,
    '2': TROUBLE,
    // “Temporarily blocked for policies violations: wait and retry.”
    '368': BLOCKED,
    '3': PERMISSION,
    '10': PERMISSION,
    '100': UNSUPPORTED,
    '101': CREDENTIALS,
    [META_APP_ID]: CREDENTIALS,
  }

  function meaning(status: number, code: number | null, subcode: number | null, error: ErrorFields | null): Meaning | null {
    // Code 1 means service trouble, except with this text, where the secret is wrong.
    if (/validating client secret/i.test(String(error?.['message'] ?? ''))) return CREDENTIALS
    if (!isLimit(status, code) && isAppSwitchedOff(error?.['message'])) return APP_OFF
    const known = MEANINGS[`${code}/${subcode}`] ?? MEANINGS[`${code}`]
    if (known !== undefined) return known
    if (code !== null && code >= 200 && code <= 299) return PERMISSION
    if (isLimit(status, code)) return LIMIT
    return status >= 500 || error?.['is_transient'] === true ? TROUBLE : null
  }

  function unknown(code: number | null): Meaning {
    if (code === null) return ['transient', `${title}’s answer could not be understood: ${AGAIN}`]
    return [
      'misconfigured',
      `${title} refuses with an error that the agent does not know: look the code up in Meta’s list of errors; if that does not help, ${makeNewToken}`,
    ]
  }

  return (answer, body) => {
    const error = errorIn(body)
    const failed = answer.status < 200 || answer.status > 299
    if (error === null && !failed) return null

    const code = whole(error?.['code'])
    const subcode = whole(error?.['error_subcode'])
    const known = meaning(answer.status, code, subcode, error)
    const [kind, sentence] = known ?? unknown(code)
    const name = code === null ? `HTTP ${answer.status}` : `${title}’s code ${code}${subcode === null ? '' : `/${subcode}`}`
    const waits = kind === 'throttled' || kind === 'transient'
    return new ProviderError(kind, `${sentence} (${name})`, {
      retryAfterSeconds: waits ? retryAfterSeconds(answer.headers) : null,
      concernsAll: kind === 'throttled' && !LIMITS_OF_ONE.has(code ?? 0),
      reason: REASONS[`${code}/${subcode}`] ?? REASONS[`${code}`] ?? null,
      doubt: known === null && kind === 'misconfigured' ? { answer: 'unknown refusal', atFirst: `${UNKNOWN_AT_FIRST} (${name})` } : null,
    })
  }
}

const REASONS: Readonly<Record<string, RefusalReason>> = { '190/458': 'withdrawn', '100': 'unsupported' }

/** Seen where the Meta app's ID stands in place of the service's own. */
export const META_APP_ID = 4_476_002

// Limits of one user, page or business. The others are limits of the app and concern all accounts.
const BUSINESS_LIMITS = Array.from({ length: 15 }, (_, n) => 80_000 + n)
const LIMITS_OF_ONE: ReadonlySet<number> = new Set([17, 32, 368, ...BUSINESS_LIMITS])
const LIMITS_OF_ALL: ReadonlySet<number> = new Set([4, 341, 613])

export function isLimit(status: number, code: number | null): boolean {
  return status === 429 || (code !== null && (LIMITS_OF_ONE.has(code) || LIMITS_OF_ALL.has(code)))
}

const OFF = '(?:deactivat|disabled|block|suspend|restrict|inactive|not active|non-active|archived|switched off|turned off|shut down)'
const SWITCHED_OFF = [
  new RegExp(String.raw`\bapi access\b.*\b${OFF}`, 'is'),
  new RegExp(String.raw`\bapp(?:lication)?s?\b(?!['’]s)[^.]*\b${OFF}`, 'is'),
  new RegExp(String.raw`\b${OFF}\w*\b[^.]*\bapp(?:lication)?s?\b`, 'is'),
  /\b(?:app|application)\b[^.]*\b(?:been deleted|does not exist|development mode|not (?:currently )?(?:accessible|available))/i,
]

/** Meta uses several wordings, mostly with code 200, which also means a missing permission. A user who blocks the app does not count. */
export function isAppSwitchedOff(message: unknown): boolean {
  const words = typeof message === 'string' ? message : ''
  return !/\buser\b/i.test(words) && SWITCHED_OFF.some((wording) => wording.test(words))
}

export type ErrorFields = Record<string, unknown>

export function errorIn(body: unknown): ErrorFields | null {
  if (typeof body !== 'object' || body === null) return null
  const { error } = body as ErrorFields
  if (typeof error === 'object' && error !== null) return error as ErrorFields
  // api.instagram.com's older shape: {"error_type", "code", "error_message"}. Its code is the HTTP status, not one of
  // Meta's error codes.
  if ('error_type' in body || 'error_message' in body) {
    const { error_type: type, error_message: message } = body as ErrorFields
    return { type, message }
  }
  if (error === undefined || error === null) return null
  // The shape of RFC 6749: {"error": "invalid_grant", "error_description"}
  return { type: error, message: (body as ErrorFields)['error_description'] }
}

export function whole(value: unknown): number | null {
  return Number.isSafeInteger(value) ? (value as number) : null
}

function retryAfterSeconds(headers: Headers): number | null {
  const seconds = Math.max(fromRetryAfter(headers), fromUsage(headers.get('x-business-use-case-usage')))
  return seconds > 0 ? Math.ceil(seconds) : null
}

function fromRetryAfter(headers: Headers): number {
  const value = headers.get('retry-after') ?? ''
  if (/^\d{1,9}$/.test(value)) return Number(value)
  // Counted from the answer's own date, so both clocks may be wrong.
  const seconds = (Date.parse(value) - Date.parse(headers.get('date') ?? '')) / 1000
  return Number.isFinite(seconds) ? seconds : 0
}

/** `{"<business id>":[{"estimated_time_to_regain_access":<minutes>,…}]}`; the longest counts. */
function fromUsage(header: string | null): number {
  let minutes = 0
  try {
    JSON.parse(header ?? 'null', (key, value: unknown) => {
      if (key === 'estimated_time_to_regain_access' && typeof value === 'number' && value > minutes && value < 1e6) minutes = value
      return value
    })
  } catch {
    // The header is only a hint.
  }
  return minutes * 60
}

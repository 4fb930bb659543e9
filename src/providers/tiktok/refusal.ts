import { ConnectError, ProviderError, type ProviderErrorKind } from '../../core/errors.ts'
import type { Refusal } from './answer.ts'
import { BASIC } from './app.ts'

// The meaning of TikTok's errors. Its own words are never passed on.
// https://developers.tiktok.com/doc/oauth-error-handling, https://developers.tiktok.com/doc/tiktok-api-v2-error-handling

type Meaning =
  | 'dead'
  | 'ended'
  | 'credentials'
  | 'scope'
  | 'limit'
  | 'trouble'
  | 'garbled'
  | 'redirect'
  | 'challenge'
  | 'malformed'
  | 'unknown'

const MEANINGS: Readonly<Record<string, Meaning>> = {
  invalid_grant: 'dead',
  // Of an access token; a refresh gets the next one.
  access_token_invalid: 'ended',
  access_token_expired: 'ended',
  invalid_token: 'ended',
  invalid_client: 'credentials',
  unauthorized_client: 'credentials',
  invalid_client_key: 'credentials',
  invalid_scope: 'scope',
  scope_not_authorized: 'scope',
  scope_permission_missed: 'scope',
  rate_limit_exceeded: 'limit',
  server_error: 'trouble',
  temporarily_unavailable: 'trouble',
  internal_error: 'trouble',
}

function meaningOf({ status, code, words }: Refusal): Meaning {
  if (/redirect.?uri/i.test(words)) return 'redirect'
  if (/code.?(?:verifier|challenge)/i.test(words)) return 'challenge'
  const known = MEANINGS[code]
  if (known !== undefined) return known
  if (/client.?(?:key|secret|id)\b/i.test(words)) return 'credentials'
  if (status === 429) return 'limit'
  if (status >= 500) return code === '' ? 'garbled' : 'trouble'
  if (code === '') return 'garbled'
  return /malformed/i.test(words) || code === 'invalid_request' ? 'malformed' : 'unknown'
}

const AGAIN = 'the token is kept, and the agent tries again by itself.'
export const MAKE_NEW_TOKEN = 'connect the account again, or make a new refresh token and give it to the agent.'
const COPY = 'copy both from your app at developers.tiktok.com; a sandbox has a key and a secret of its own.'

export const NO_APP = new ProviderError(
  'misconfigured',
  'TikTok refreshes tokens for its apps alone: put your app’s key and secret into TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET, and restart the agent.',
)
const TROUBLE = ['transient', `TikTok has trouble of its own at the moment: ${AGAIN}`] as const
const DEAD = `TikTok no longer accepts the refresh token: its user took the permission back, it has ended, or it was used before: ${MAKE_NEW_TOKEN}`

const SENTENCES: Readonly<Record<Meaning, readonly [kind: ProviderErrorKind, sentence: string]>> = {
  dead: ['reconnect', DEAD],
  ended: ['reconnect', `TikTok no longer accepts the access token: ${MAKE_NEW_TOKEN}`],
  credentials: ['misconfigured', `TikTok does not know the client key and secret: ${COPY}`],
  scope: ['misconfigured', `The token lacks a permission: add the scope to the app at developers.tiktok.com, then ${MAKE_NEW_TOKEN}`],
  limit: ['throttled', `TikTok’s rate limit is reached: ${AGAIN}`],
  trouble: TROUBLE,
  garbled: ['transient', `TikTok’s answer could not be understood: ${AGAIN}`],
  redirect: TROUBLE,
  challenge: TROUBLE,
  malformed: ['misconfigured', `TikTok cannot read the request: compare the client key and secret; ${COPY}`],
  unknown: [
    'misconfigured',
    `TikTok refuses with an error that the agent does not know: look it up in TikTok’s list of errors; if that does not help, ${MAKE_NEW_TOKEN}`,
  ],
}

/** A refusal of a refresh, or of a call with the access token. */
export function providerError(refusal: Refusal): ProviderError {
  const meaning = meaningOf(refusal)
  const [kind, sentence] = SENTENCES[meaning]
  const { status, code, headers } = refusal
  const isCode = /^[a-z_]{1,40}$/.test(code)
  const name = isCode ? `TikTok’s error ${code}` : `HTTP ${status}`
  const retryAfter = headers.get('retry-after') ?? ''
  return new ProviderError(kind, `${sentence} (${name})`, {
    retryAfterSeconds: kind === 'throttled' && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : null,
    concernsAll: meaning === 'limit',
    // A gateway’s page in place of an answer: TikTok may have done what it was asked for.
    isAnswerLost: meaning === 'garbled',
    doubt:
      meaning === 'unknown' || meaning === 'malformed'
        ? {
            answer: 'unknown refusal',
            atFirst: `TikTok refuses without a reason that the agent knows: it asks again in about ten minutes. (${name})`,
          }
        : null,
  })
}

/** Without an access token the answer cannot be used. */
export const withoutToken = (): ProviderError =>
  new ProviderError('transient', `TikTok answered without a usable access token: ${AGAIN}`, { isAnswerLost: true })

const PRESS = '“Connect TikTok”'
const TIKTOK_SILENT = new ConnectError(
  'TikTok did not answer, or not in a way that the agent understands.',
  `Nothing was changed. Wait a few minutes, then press ${PRESS} again.`,
  { isTransient: true },
)

const CONNECT: Readonly<Record<Meaning, ConnectError>> = {
  dead: new ConnectError(
    'The code that TikTok sent along has been used already, or is too old.',
    `Press ${PRESS} again; nothing was changed.`,
  ),
  ended: new ConnectError('TikTok no longer accepts the token that it has just given out.', `Press ${PRESS} again; nothing was changed.`),
  credentials: new ConnectError(
    'TikTok does not know this agent’s client key and secret.',
    'Copy both from your app at developers.tiktok.com (a sandbox has its own) into TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET, restart the agent and connect again.',
  ),
  scope: new ConnectError(
    'TikTok does not give this app a permission that it asks for.',
    'Add every scope of TIKTOK_SCOPES to the app at developers.tiktok.com, or take it out of TIKTOK_SCOPES; then connect again.',
  ),
  limit: new ConnectError('TikTok’s rate limit is reached.', `Nothing was changed. Wait a few minutes, then press ${PRESS} again.`, {
    isTransient: true,
  }),
  trouble: TIKTOK_SILENT,
  garbled: TIKTOK_SILENT,
  redirect: new ConnectError(
    'TikTok does not accept this agent’s redirect URI.',
    'Register it in your app at developers.tiktok.com, under Login Kit, letter by letter; then connect again.',
    { wantsRedirectUri: true },
  ),
  challenge: new ConnectError(
    'TikTok does not accept the way in which this agent writes its challenge.',
    `Press ${PRESS} again: the agent writes it the other way now, and remembers which one works. Nothing was changed.`,
    { isChallengeRefused: true },
  ),
  malformed: new ConnectError(
    'TikTok cannot read the agent’s request.',
    `Press ${PRESS} again. If it happens again, compare the client key, the client secret and the redirect URI with your app at developers.tiktok.com.`,
  ),
  unknown: new ConnectError(
    'TikTok refused, and gave no reason that the agent knows.',
    `Press ${PRESS} again. If it happens again, compare the client key, the client secret and the redirect URI with your app at developers.tiktok.com.`,
  ),
}

/** A refusal while the owner connects an account and can act at once. */
export const connectError = (refusal: Refusal): ConnectError => CONNECT[meaningOf(refusal)]

/** Turns a ProviderError, which comes from the wire, into a ConnectError. */
export const asConnectError = (error: unknown): unknown => (error instanceof ProviderError ? TIKTOK_SILENT : error)

export const NO_REFRESH_TOKEN = new ConnectError(
  'TikTok gave no refresh token, so the agent could not keep the account alive.',
  `Press ${PRESS} again; nothing was changed. If it happens again, check at developers.tiktok.com that the app has Login Kit.`,
)

export function missingScopes(names: readonly string[]): ConnectError {
  const them = names.length === 1 ? `the permission ${names[0]}` : `the permissions ${names.join(', ')}`
  const others = names.includes(BASIC) ? '' : ', or take it out of TIKTOK_SCOPES and restart the agent'
  return new ConnectError(
    `TikTok did not give ${them}.`,
    `Connect again and leave every permission switched on${others}; nothing was changed.`,
  )
}

export function wrongRedirect(kind: 'web' | 'desktop'): ConnectError {
  return kind === 'web'
    ? new ConnectError(
        'TikTok sends people back from a web app to addresses with https:// alone, and this agent has none.',
        'Put the agent’s public https:// address into APP_URL and restart it; or make a desktop app, and set TIKTOK_APP_KIND to desktop.',
      )
    : new ConnectError(
        'TikTok sends people back from a desktop app to their own computer alone, and this agent has another address.',
        'Make a web app at developers.tiktok.com and unset TIKTOK_APP_KIND; or give the agent a refresh token in TIKTOK_REFRESH_TOKEN.',
      )
}

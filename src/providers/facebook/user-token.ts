import { createHmac } from 'node:crypto'
import { ProviderError } from '../../core/errors.ts'
import type { Grant } from '../../core/provider.ts'
import { Secret } from '../../core/secret.ts'
import { tokenProblem } from '../../core/token.ts'
import { isId, isRecord, parse, scopesOf } from '../graph/answer.ts'
import type { GraphApp } from '../graph/app.ts'
import { createRefusals } from '../graph/refusal.ts'
import { type Answer, type Call, call } from '../http.ts'
import { type LinkedPage, type Page, pageIn } from './page.ts'
import { FACEBOOK } from './words.ts'

// https://developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived
// https://developers.facebook.com/docs/facebook-login/guides/access-tokens/debugging
// https://developers.facebook.com/docs/graph-api/guides/secure-requests

export interface FacebookConfig {
  readonly graphUrl: string
  readonly webUrl: string
  /** Of the Graph API, such as v26.0. */
  readonly version: string
  /** Null = the provider is not set up. */
  readonly app: GraphApp | null
  readonly scopes: readonly string[]
  /** A configuration of Facebook Login for Business, in place of the scopes; null = none. */
  readonly configId: string | null
  /** The Page or Instagram account that a token from the environment is for; null = the only one. */
  readonly objectId: string | null
}

/** A user's token, as Meta describes it. */
export interface UserToken {
  readonly token: Secret
  readonly userId: string
  readonly scopes: string | null
  /** Null = it never ends. */
  readonly expiresInSeconds: number | null
  /** At most half of its life is left, or a day. */
  readonly isHalfOver: boolean
  /** Seconds until the user must approve the app again; undefined = Meta names no date. */
  readonly reconnectInSeconds?: number
}

export interface FacebookOptions extends FacebookConfig {
  readonly fetch: typeof globalThis.fetch
  readonly now: () => number
}

type Fields = Record<string, unknown>
type Ask = (path: string, params: Readonly<Record<string, string>>, by?: Secret, method?: Call['method']) => Promise<Fields>
/** The error in an answer; null = none. */
type Refuse = (answer: Answer, body: unknown) => Error | null

/** Without them no Page with its Instagram account is listed. */
const NEEDED = ['instagram_basic', 'pages_show_list']

/** The permissions that are missing; none where they are not known. */
export const missingIn = (scopes: string | null, wanted: readonly string[] = NEEDED): readonly string[] =>
  scopes === null ? [] : wanted.filter((scope) => !scopes.split(' ').includes(scope))

export type UserTokens = ReturnType<typeof createUserTokens>

export const TIMEOUT_MS = 10_000
/** All calls of one refresh together, so that they end within its lease. */
const ALL_CALLS_MS = 25_000
const MAX_LISTS = 10
const PAGE_FIELDS = 'id,name,access_token,instagram_business_account{id,username}'
/** Meta documents about 60 days. */
const DAY_SECONDS = 86_400
const USUAL_LIFE_SECONDS = 60 * DAY_SECONDS

/** The calls of one refresh, login or look. They share one time limit. Each throws a `ProviderError` or what `refusal` returns. */
export function createUserTokens({ graphUrl, version, app, fetch, now }: FacebookOptions, refusal: Refuse = createRefusals(FACEBOOK)) {
  let clockMs = now()
  const untilMs = performance.now() + ALL_CALLS_MS
  if (app === null)
    throw new ProviderError('misconfigured', 'Facebook’s tokens need an app: set FACEBOOK_APP_ID and FACEBOOK_APP_SECRET, and restart.')

  /** `by` = the token that makes the call; the proof shows that the caller has the app's secret too. */
  const ask: Ask = async (path, params, by, method = 'GET') => {
    const url = new URL(`${graphUrl}/${version}${path}`)
    const proof = by === undefined ? {} : { access_token: by.reveal(), appsecret_proof: proofOf(by, app.secret) }
    url.search = new URLSearchParams({ ...params, ...proof }).toString()
    const timeoutMs = Math.max(1, Math.min(TIMEOUT_MS, untilMs - performance.now()))
    const answer = await call(url, { service: FACEBOOK.title, timeoutMs, fetch, method })
    // By Meta's clock: an instant in its answers counts from there.
    const date = Date.parse(answer.headers.get('date') ?? '')
    if (Number.isFinite(date)) clockMs = date
    const body = parse(answer.text)
    const refused = refusal(answer, body)
    if (refused !== null) throw refused
    if (!isRecord(body)) throw incomprehensible('that is no object')
    return body
  }

  async function inspect(token: Secret): Promise<UserToken> {
    const answer = await ask('/debug_token', { input_token: token.reveal(), access_token: `${app?.id}|${app?.secret.reveal()}` })
    const { data } = answer
    if (!isRecord(data)) throw incomprehensible('without the token’s data')
    if (data['app_id'] !== undefined && String(data['app_id']) !== app?.id)
      throw new ProviderError(
        'misconfigured',
        'The token belongs to another Meta app: give the agent one of its own app, or set that app’s ID and secret.',
      )
    if (data['is_valid'] !== true) throw refusalOf(data['error'])
    const { user_id: userId, expires_at: expiresAt, issued_at: issuedAt } = data
    if (!isId(userId)) throw incomprehensible('without the user’s id')
    const seconds = clockMs / 1000
    const left = isMoment(expiresAt) ? expiresAt - seconds : null
    const life = isMoment(expiresAt) && isMoment(issuedAt) ? expiresAt - issuedAt : USUAL_LIFE_SECONDS
    const access = data['data_access_expires_at']
    return {
      token,
      userId,
      scopes: scopesOf(data['scopes']),
      expiresInSeconds: left === null ? null : Math.max(0, Math.floor(left)),
      isHalfOver: left !== null && (left < life / 2 || left < DAY_SECONDS),
      ...(isMoment(access) ? { reconnectInSeconds: Math.max(0, Math.floor(access - seconds)) } : {}),
    }
  }

  /** Meta says in `error` why a token does not work, without the frame of an error of the call itself. */
  function refusalOf(error: unknown): Error {
    const { code = 190, subcode } = isRecord(error) ? error : {}
    const body = { error: { code, ...(subcode === undefined ? {} : { error_subcode: subcode }) } }
    return refusal({ status: 400, headers: new Headers(), text: '' }, body) ?? incomprehensible('about a token that does not work')
  }

  return {
    ask,
    inspect,

    /** The long-lived token for a live one. It may be the same, with the same end. */
    async exchange(token: Secret): Promise<Secret> {
      const credentials = { client_id: app.id, client_secret: app.secret.reveal() }
      const answer = await ask('/oauth/access_token', {
        grant_type: 'fb_exchange_token',
        ...credentials,
        fb_exchange_token: token.reveal(),
      })
      return tokenIn(answer)
    },

    /** Follows the cursors, never `next`: that address holds the token. */
    async pages(token: Secret): Promise<Page[]> {
      const pages: Page[] = []
      let after: string | undefined
      for (let lists = 0; lists < MAX_LISTS; lists++) {
        const answer = await ask('/me/accounts', { fields: PAGE_FIELDS, limit: '100', ...(after === undefined ? {} : { after }) }, token)
        const { data, paging } = answer
        if (!Array.isArray(data)) throw incomprehensible('without a list of Pages')
        pages.push(...data.flatMap(pageIn))
        const cursors = isRecord(paging) ? paging['cursors'] : null
        const next = isRecord(cursors) ? cursors['after'] : null
        if (!isRecord(paging) || paging['next'] === undefined || typeof next !== 'string' || next === after) break
        after = next
      }
      return pages
    },
  }
}

export function grantOf({ token, userId, scopes, expiresInSeconds, reconnectInSeconds }: UserToken, page: LinkedPage): Grant {
  return {
    accessToken: page.token,
    refreshToken: token,
    expiresInSeconds: null,
    neverExpires: true,
    refreshExpiresInSeconds: expiresInSeconds,
    ...(reconnectInSeconds === undefined ? {} : { reconnectInSeconds }),
    scopes,
    profile: { userId: page.instagram.id, username: page.instagram.username, appUserId: userId },
  }
}

export function tokenIn({ access_token: token }: Fields): Secret {
  if (typeof token !== 'string' || tokenProblem(token) !== null) throw incomprehensible('without a usable token')
  return new Secret(token)
}

const incomprehensible = (how: string): ProviderError =>
  new ProviderError('transient', `Facebook gave an answer ${how}; the token is kept, and the agent tries again by itself.`)

const proofOf = (token: Secret, secret: Secret): string => createHmac('sha256', secret.reveal()).update(token.reveal()).digest('hex')

/** Seconds since 1970; 0 stands for never. */
const isMoment = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value > 0

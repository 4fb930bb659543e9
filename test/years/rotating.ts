import { Secret } from '../../src/core/secret.ts'
import { tiktok } from '../../src/providers/tiktok/module.ts'
import { createTikTok } from '../../src/providers/tiktok/tiktok.ts'
import { type Answer, type Grant, type Kind, sending } from './kind.ts'
import { HOUR_MS, type Script } from './script.ts'

// TikTok: an access token for two hours, and a refresh token for 180 days that its use voids.
// https://developers.tiktok.com/doc/oauth-user-access-token-management

interface Pair {
  readonly grant: Grant
  readonly access: string
  readonly refresh: string
  readonly issuedAt: number
  spent: boolean
}

const ACCESS_SECONDS = 7200
const REFRESH_SECONDS = 180 * 86_400
const FAULT_ONCE_IN = 3000
const REFRESH_PATH = '/v2/oauth/token/'
/** 5,800 refreshes a year, not 52: no process dies more often because of them. */
const RARITY = 100

export function createTikTokWorld(script: Script): Kind {
  const pairs = new Map<string, Pair>()
  let calls = 0
  let count = 0

  function issue(grant: Grant, at: number): Pair {
    const name = `${grant.account.name.replace('-', '')}n${count++}`
    const pair = { grant, access: `act.${name}`, refresh: `rft.${name}`, issuedAt: at, spent: false }
    for (const text of [pair.access, pair.refresh]) pairs.set(text, pair)
    return pair
  }
  const found = (text: string): Pair => {
    const pair = pairs.get(text)
    if (pair === undefined) throw new Error(`This world has not issued ${text}`)
    return pair
  }
  const accessEnd = ({ grant, issuedAt }: Pair): number => Math.min(grant.endsAt, issuedAt + ACCESS_SECONDS * 1000)
  const userOf = ({ grant }: Pair): string => `-000user-${grant.account.index}`
  const fieldsOf = (pair: Pair): object => ({
    access_token: pair.access,
    expires_in: ACCESS_SECONDS,
    open_id: userOf(pair),
    refresh_token: pair.refresh,
    refresh_expires_in: REFRESH_SECONDS,
    scope: 'user.info.basic',
    token_type: 'Bearer',
  })

  function refresh(pair: Pair, at: number): Answer {
    const isDead = pair.spent || pair.grant.endsAt <= at || pair.issuedAt + REFRESH_SECONDS * 1000 <= at
    if (isDead) return { status: 400, body: { error: 'invalid_grant', error_description: 'Refresh token is invalid or expired.' } }
    pair.spent = true
    return { status: 200, body: fieldsOf(issue(pair.grant, at)) }
  }

  return {
    lifeSeconds: ACCESS_SECONDS,
    refreshPath: REFRESH_PATH,
    rarity: RARITY,
    calls: () => calls,
    connect(account, at) {
      const endsAt = account.ends.find((end) => end.at > at)?.at ?? Number.POSITIVE_INFINITY
      return issue({ account, endsAt }, at).refresh
    },
    granted(text) {
      const pair = found(text)
      return {
        accessToken: new Secret(pair.access),
        refreshToken: new Secret(pair.refresh),
        expiresInSeconds: ACCESS_SECONDS,
        refreshExpiresInSeconds: REFRESH_SECONDS,
        scopes: 'user.info.basic',
        profile: { userId: userOf(pair), username: null, appUserId: null },
      }
    },
    approvalEnd: (text) => found(text).issuedAt + REFRESH_SECONDS * 1000,
    grantOf: (text) => found(text).grant,
    workingUntil: (text) => accessEnd(found(text)),
    expiryOf: (text) => found(text).issuedAt + REFRESH_SECONDS * 1000,
    lapsedSince: () => null,
    restore() {},
    // The answer held the only token that works from now on.
    lose(text, at) {
      const { grant } = found(text)
      grant.endsAt = Math.min(grant.endsAt, at)
    },

    answer(host, path, text, at) {
      calls++
      const pair = found(text)
      const { name } = pair.grant.account
      if (script.outages.at(at) !== null) {
        const broken = script.fraction(`${name} ${Math.floor(at / HOUR_MS)}`) < 0.5
        return broken ? null : { status: 503, body: {} }
      }
      if (script.happens('fault', name, at, FAULT_ONCE_IN)) return { status: 500, body: { error: 'server_error', error_description: '' } }
      if (host.throttled.at(at) !== null) return { status: 429, body: { error: 'rate_limit_exceeded', error_description: '' } }
      if (path === REFRESH_PATH) return refresh(pair, at)
      if (accessEnd(pair) <= at) return { status: 401, body: { data: {}, error: { code: 'access_token_invalid', message: '' } } }
      return { status: 200, body: { data: { user: { open_id: userOf(pair), display_name: name } }, error: { code: 'ok' } } }
    },

    provider(send) {
      const tokenOf = (_url: URL, { body, headers }: RequestInit): string =>
        new URLSearchParams(String(body ?? '')).get('refresh_token') ??
        new Headers(headers).get('authorization')?.slice('Bearer '.length) ??
        ''
      const app = { key: 'awabcdefgh0123456789', secret: new Secret('a-secret-of-the-app'), kind: 'web' } as const
      const config = { apiUrl: 'https://tiktok.example', webUrl: 'https://tiktok.example', app, scopes: ['user.info.basic'] }
      return { ...tiktok, ...createTikTok(config, { fetch: sending(send, tokenOf) }) }
    },
  }
}

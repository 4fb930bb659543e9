import { Secret } from '../../src/core/secret.ts'
import { createFacebook } from '../../src/providers/facebook/facebook.ts'
import { facebook } from '../../src/providers/facebook/module.ts'
import { type Answer, type Grant, type Kind, refusal, sending, troubleAt } from './kind.ts'
import { DAY_MS, type Script } from './script.ts'

// Facebook Login: a user's token of 60 days that is exchanged while it lives, a Page's token without an end, and 90 days after
// which the user must approve the app again.
// https://developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived

interface Token {
  readonly grant: Grant
  readonly userId: string
  readonly kind: 'user' | 'page'
  readonly issuedAt: number
  readonly approvedAt: number
}

const LIFE_MS = 60 * DAY_MS
const APPROVAL_MS = 90 * DAY_MS
const APP = { id: '1234567890', secret: new Secret('a-secret-of-the-app') }

export function createFacebookWorld(script: Script): Kind {
  const tokens = new Map<string, Token>()
  let calls = 0
  let calledAt = script.start

  function issue(token: Token): string {
    const text = `EAA${token.grant.account.name.replace('-', '')}n${tokens.size}`
    tokens.set(text, token)
    return text
  }
  const found = (text: string): Token => {
    const token = tokens.get(text)
    if (token === undefined) throw new Error(`This world has not issued ${text}`)
    return token
  }
  const expiryOf = ({ kind, issuedAt }: Token): number => (kind === 'page' ? Number.POSITIVE_INFINITY : issuedAt + LIFE_MS)
  const endOf = (token: Token): number => Math.min(token.grant.endsAt, expiryOf(token))
  const pageOf = (token: Token): string => issue({ ...token, kind: 'page' })
  const instagramOf = ({ grant }: Token): string => `1784140${String(grant.account.index).padStart(10, '0')}`
  const seconds = (ms: number): number => Math.floor(ms / 1000)

  function debug(token: Token, at: number): Answer {
    const isValid = endOf(token) > at
    const data = {
      app_id: APP.id,
      is_valid: isValid,
      issued_at: seconds(token.issuedAt),
      expires_at: seconds(expiryOf(token)),
      user_id: token.userId,
      scopes: ['instagram_basic', 'pages_show_list'],
      data_access_expires_at: seconds(token.approvedAt + APPROVAL_MS),
      ...(isValid ? {} : { error: { code: 190, message: 'Error validating access token' } }),
    }
    return { status: 200, body: { data }, headers: { date: new Date(at).toUTCString() } }
  }

  return {
    lifeSeconds: seconds(LIFE_MS),
    refreshPath: '/v26.0/oauth/access_token',
    rarity: 1,
    calls: () => calls,
    connect(account, at) {
      const scripted = account.ends.find((end) => end.at > at)?.at ?? Number.POSITIVE_INFINITY
      const grant = { account, endsAt: Math.min(scripted, at + APPROVAL_MS) }
      return issue({ grant, userId: `10${String(account.index).padStart(8, '0')}`, kind: 'user', issuedAt: at, approvedAt: at })
    },
    granted(text) {
      const token = found(text)
      return {
        accessToken: new Secret(pageOf(token)),
        refreshToken: new Secret(text),
        expiresInSeconds: null,
        neverExpires: true,
        refreshExpiresInSeconds: seconds(LIFE_MS),
        reconnectInSeconds: seconds(APPROVAL_MS),
        scopes: 'instagram_basic pages_show_list',
        profile: { userId: instagramOf(token), username: null, appUserId: token.userId },
      }
    },
    approvalEnd: (text) => found(text).approvedAt + APPROVAL_MS,
    grantOf: (text) => found(text).grant,
    workingUntil: (text) => endOf(found(text)),
    expiryOf: (text) => expiryOf(found(text)),
    lapsedSince: () => null,
    restore() {},
    // The exchanged token lives on.
    lose() {},

    answer(host, path, text, at) {
      calls++
      calledAt = at
      const token = found(text)
      const { name } = token.grant.account
      const trouble = troubleAt(script, { host, name, at })
      if (trouble !== null) return trouble.answer
      if (path.endsWith('/debug_token')) return debug(token, at)
      if (endOf(token) <= at) return refusal(190, 'Error validating access token')
      const instagram = { id: instagramOf(token), username: name.replace('-', '.') }
      if (path.endsWith('/me')) return { status: 200, body: { id: `page-${name}`, name, instagram_business_account: instagram } }
      if (path.endsWith('/me/accounts')) {
        const page = { id: `20${token.userId}`, name, access_token: pageOf(token), instagram_business_account: instagram }
        return { status: 200, body: { data: [page], paging: {} } }
      }
      return { status: 200, body: { access_token: issue({ ...token, issuedAt: at }), token_type: 'bearer' } }
    },

    provider(send) {
      const tokenOf = ({ searchParams: params }: URL): string =>
        params.get('input_token') ?? params.get('fb_exchange_token') ?? params.get('access_token') ?? ''
      const places = { graphUrl: 'https://graph.example', webUrl: 'https://web.example', version: 'v26.0' }
      const config = { ...places, app: APP, scopes: ['instagram_basic'], configId: null, objectId: null }
      return { ...facebook, ...createFacebook(config, { fetch: sending(send, tokenOf), now: () => calledAt }) }
    },
  }
}

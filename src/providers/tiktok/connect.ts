import { createHash } from 'node:crypto'
import { ConnectError, ProviderError } from '../../core/errors.ts'
import type { Connect } from '../../core/provider.ts'
import type { Call } from '../http.ts'
import { grantOf, profileOf, type readAnswer, scopesIn } from './answer.ts'
import type { TikTokConfig } from './app.ts'
import { postingNotes } from './creator-info.ts'
import { asConnectError, connectError, missingScopes, NO_REFRESH_TOKEN, wrongRedirect } from './refusal.ts'

// https://developers.tiktok.com/doc/login-kit-web, https://developers.tiktok.com/doc/login-kit-desktop

export interface TikTokConnectOptions extends Pick<TikTokConfig, 'webUrl' | 'scopes'> {
  readonly app: NonNullable<TikTokConfig['app']>
  readonly ask: (path: string, how?: Partial<Call>) => Promise<ReturnType<typeof readAnswer>>
}

const LOOPBACK = /^http:\/\/(?:localhost|127\.0\.0\.1)[:/]/
const NOTES_MS = 5_000

export function createTikTokConnect({ app, scopes, webUrl, ask }: TikTokConnectOptions): Connect {
  /** Nothing but a ConnectError leaves the calls. */
  async function accepted(...asked: Parameters<typeof ask>): Promise<Record<string, unknown>> {
    const { fields, refusal } = await ask(...asked).catch((error: unknown) => {
      throw asConnectError(error)
    })
    if (refusal !== null) throw connectError(refusal)
    return fields
  }

  /** A person can switch scopes off. Null = TikTok does not say which it gave. */
  function mustBeAll(granted: string | null): void {
    if (granted === null) return
    const names = granted.split(' ')
    const missing = scopes.filter((scope) => !names.includes(scope))
    if (missing.length > 0) throw missingScopes(missing)
  }

  const credentials = () => ({ client_key: app.key, client_secret: app.secret.reveal() })

  return {
    // The guide for desktop apps asks for hexadecimal digits; RFC 7636 for base64url.
    challenges: ['hex', 'base64url'],

    hasFreeNames: true,

    authorizeUrl({ state, redirectUri, verifier, challenge = 'hex' }) {
      if (app.kind === 'desktop' ? !LOOPBACK.test(redirectUri) : !redirectUri.startsWith('https://')) throw wrongRedirect(app.kind)
      const url = new URL('/v2/auth/authorize/', webUrl)
      url.search = new URLSearchParams({
        client_key: app.key,
        scope: scopes.join(','),
        response_type: 'code',
        redirect_uri: redirectUri,
        state,
        code_challenge: createHash('sha256').update(verifier).digest(challenge),
        code_challenge_method: 'S256',
      }).toString()
      return url
    },

    callbackError: (error, description) =>
      error === 'access_denied' ? null : connectError({ status: 400, code: error, words: description, headers: new Headers() }),

    async exchangeCode(code, { redirectUri, verifier, scopes: given }) {
      mustBeAll(scopesIn(given))
      const form = { ...credentials(), grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier }
      const grant = grantOf(await accepted('/v2/oauth/token/', { method: 'POST', body: new URLSearchParams(form) }))
      if (grant === null) throw asConnectError(new ProviderError('transient', 'no access token'))
      mustBeAll(grant.scopes)
      if (grant.refreshToken === null) throw NO_REFRESH_TOKEN
      // Scopes that an answer does not name are those that were asked for: RFC 6749, section 5.1.
      return { ...grant, scopes: grant.scopes ?? scopesIn(given) ?? [...scopes].sort().join(' ') }
    },

    async identify(accessToken) {
      const profile = profileOf(
        await accepted('/v2/user/info/?fields=open_id,union_id,avatar_url,display_name', { bearer: accessToken, timeoutMs: 10_000 }),
      )
      if (profile === null) throw asConnectError(new ProviderError('transient', 'no user'))
      return profile
    },

    async revoke({ accessToken, refreshToken }) {
      const body = new URLSearchParams({ ...credentials(), token: (accessToken ?? refreshToken)?.reveal() ?? '' })
      await accepted('/v2/oauth/revoke/', { method: 'POST', body, timeoutMs: 10_000 })
    },

    notes: (accessToken, granted) =>
      postingNotes(granted, async () => {
        const how = { method: 'POST', bearer: accessToken, body: '{}', timeoutMs: NOTES_MS } as const
        return ask('/v2/post/publish/creator_info/query/', how).catch((error: unknown) => {
          if (error instanceof ProviderError || error instanceof ConnectError) return null
          throw error
        })
      }),
  }
}

import type { ProviderCode, ProviderSurroundings } from '../../core/provider.ts'
import { type Call, call } from '../http.ts'
import { grantOf, profileOf, readAnswer } from './answer.ts'
import type { TikTokConfig } from './app.ts'
import { createTikTokConnect } from './connect.ts'
import { MAKE_NEW_TOKEN, NO_APP, providerError, withoutToken } from './refusal.ts'
import { SETUP } from './setup.ts'

// https://developers.tiktok.com/doc/oauth-user-access-token-management

/** An answer given up may hold the only refresh token, so the agent waits long for it. */
const TIMEOUT_MS = 30_000

/** A provider whose refresh token is spent by its use: each answer holds the next one. */
export function createTikTok(
  config: TikTokConfig,
  { fetch, timeoutMs = TIMEOUT_MS }: Pick<ProviderSurroundings, 'fetch'> & { readonly timeoutMs?: number },
): ProviderCode {
  const { apiUrl, app, scopes } = config
  const ask = async (path: string, how: Partial<Call> = {}) =>
    readAnswer(await call(new URL(path, apiUrl), { service: 'TikTok', timeoutMs, fetch, ...how }))

  return {
    renewal: 'rotating',
    setup: SETUP,
    makeNewToken: MAKE_NEW_TOKEN,
    minimumAgeSeconds: 0,
    maximumLifeSeconds: 366 * 86_400,
    timeoutMs,
    // With it a stranger reads the user's data, or posts.
    isPublicSafe: () => false,
    ...(app === null ? {} : { connect: createTikTokConnect({ app, scopes, webUrl: config.webUrl, ask }) }),

    async refresh({ accessToken: present, refreshToken }, withinMs = timeoutMs) {
      if (app === null) throw NO_APP
      const body = new URLSearchParams({
        client_key: app.key,
        client_secret: app.secret.reveal(),
        grant_type: 'refresh_token',
        refresh_token: refreshToken?.reveal() ?? '',
      })
      const { fields, refusal } = await ask('/v2/oauth/token/', { method: 'POST', body, timeoutMs: withinMs })
      if (refusal !== null) throw providerError(refusal)
      // A new refresh token counts also beside a broken access token: the present one serves until the next refresh.
      const grant = grantOf(fields) ?? (present === null ? null : grantOf({ ...fields, access_token: present.reveal(), expires_in: null }))
      if (grant === null) throw withoutToken()
      return grant
    },

    async profile(accessToken) {
      const { fields, refusal } = await ask('/v2/user/info/?fields=open_id,union_id,avatar_url,display_name', {
        bearer: accessToken,
        timeoutMs: Math.min(timeoutMs, PROFILE_MS),
      })
      if (refusal !== null) throw providerError(refusal)
      const profile = profileOf(fields)
      if (profile === null) throw withoutToken()
      return profile
    },
  }
}

/** A name is no reason to wait long. */
const PROFILE_MS = 10_000

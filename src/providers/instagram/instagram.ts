import type { Connect, ProviderCode } from '../../core/provider.ts'
import { call, TIMEOUT_MS } from '../http.ts'
import { fieldsOf, grantOf, MAX_LIFE_SECONDS, parse, profileOf } from './answer.ts'
import { fetchPicture } from './picture.ts'
import { MAKE_NEW_TOKEN, refusal } from './refusal.ts'
import { SETUP } from './setup.ts'

// https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/business-login
// https://developers.facebook.com/docs/instagram-platform/reference/refresh_access_token

export interface InstagramOptions {
  /** https://graph.instagram.com, or a stand-in for it. */
  readonly graphUrl: string
  readonly connect?: Connect
  readonly fetch?: typeof globalThis.fetch
  readonly timeoutMs?: number
}

export function createInstagram(options: InstagramOptions): Required<Omit<ProviderCode, 'connect'>> & Pick<ProviderCode, 'connect'> {
  const { graphUrl, connect, fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS } = options

  async function get(path: string, params: Record<string, string>, withinMs = timeoutMs): Promise<Record<string, unknown>> {
    const url = new URL(graphUrl.replace(/\/+$/, '') + path)
    url.search = new URLSearchParams(params).toString()
    const answer = await call(url, { service: 'Instagram', timeoutMs: withinMs, fetch })
    const body = parse(answer.text)
    const refused = refusal(answer, body)
    if (refused !== null) throw refused
    return fieldsOf(body)
  }

  return {
    setup: SETUP,
    ...(connect === undefined ? {} : { connect }),
    makeNewToken: MAKE_NEW_TOKEN,
    minimumAgeSeconds: 24 * 3600,
    maximumLifeSeconds: MAX_LIFE_SECONDS,
    timeoutMs,

    // Instagram has no refresh token: a long-lived access token renews itself while it is still valid.
    async refresh({ accessToken }) {
      return grantOf(await get('/refresh_access_token', { grant_type: 'ig_refresh_token', access_token: accessToken.reveal() }))
    },

    async profile(accessToken) {
      return profileOf(await get('/me', { fields: 'user_id,username', access_token: accessToken.reveal() }))
    },

    async picture(accessToken) {
      // Two calls share the time limit of one.
      const withinMs = timeoutMs / 2
      const { profile_picture_url: address } = await get(
        '/me',
        { fields: 'profile_picture_url', access_token: accessToken.reveal() },
        withinMs,
      )
      return fetchPicture(address, { ownOrigin: new URL(graphUrl).origin, timeoutMs: withinMs, fetch })
    },
  }
}

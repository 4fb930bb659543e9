import { ProviderError } from '../../core/errors.ts'
import type { ProviderCode, ProviderSurroundings } from '../../core/provider.ts'
import { fetchPicture } from '../graph/picture.ts'
import { createFacebookConnect } from './connect.ts'
import { chosen, instagramIn, NOT_LINKED } from './page.ts'
import { SETUP } from './setup.ts'
import { createUserTokens, type FacebookConfig, grantOf, TIMEOUT_MS } from './user-token.ts'
import { FACEBOOK } from './words.ts'

// https://developers.facebook.com/docs/instagram-platform/instagram-api-with-facebook-login/get-started

const { makeNewToken } = FACEBOOK.words
const LINKED = 'instagram_business_account'

/**
 * Instagram by Facebook Login. The refresh token is the long-lived token of the Facebook user, the access token that of the
 * Page to which the Instagram account is linked; the account is named by the Instagram account's id.
 */
export function createFacebook(config: FacebookConfig, { fetch, now }: ProviderSurroundings): ProviderCode {
  const options = { ...config, fetch, now }
  const { app } = config
  return {
    renewal: 'checked',
    setup: SETUP,
    makeNewToken,
    minimumAgeSeconds: 0,
    maximumLifeSeconds: 400 * 86_400,
    timeoutMs: TIMEOUT_MS,
    // Each of its tokens leads to more than reading, and a user token to the tokens of all Pages.
    isPublicSafe: () => false,
    ...(app === null ? {} : { connect: createFacebookConnect({ ...options, app }) }),

    async refresh({ refreshToken, userId }) {
      if (refreshToken === null) throw new ProviderError('reconnect', `This account has no token of a Facebook user; ${makeNewToken}`)
      const user = createUserTokens(options)
      let held = await user.inspect(refreshToken)
      if (held.isHalfOver) {
        const token = await user.exchange(refreshToken)
        // Where the date did not move, the end stands as it is, and its alerts come by date.
        if (token.reveal() !== refreshToken.reveal()) held = await user.inspect(token)
      }
      return grantOf(held, chosen(await user.pages(held.token), userId ?? config.objectId))
    },

    async profile(accessToken) {
      const { [LINKED]: linked } = await createUserTokens(options).ask('/me', { fields: `id,name,${LINKED}{id,username}` }, accessToken)
      const instagram = instagramIn(linked)
      if (instagram === null) throw new ProviderError('misconfigured', NOT_LINKED)
      return { userId: instagram.id, username: instagram.username, appUserId: null }
    },

    async picture(accessToken) {
      const fields = `${LINKED}{profile_picture_url}`
      const { [LINKED]: linked } = await createUserTokens(options).ask('/me', { fields }, accessToken)
      const address = (linked as Record<string, unknown> | undefined)?.['profile_picture_url']
      return fetchPicture(address, { ownOrigin: new URL(config.graphUrl).origin, service: FACEBOOK.title, timeoutMs: TIMEOUT_MS, fetch })
    },
  }
}

import { ProviderError } from '../../core/errors.ts'
import type { ProviderCode, ProviderSurroundings } from '../../core/provider.ts'
import { fetchPicture } from '../graph/picture.ts'
import { createFacebookConnect } from './connect.ts'
import { chosen, instagramIn, NOT_LINKED } from './page.ts'
import { SETUP } from './setup.ts'
import { createUserTokens, type FacebookConfig, grantOf, missingIn, TIMEOUT_MS, type UserToken, type UserTokens } from './user-token.ts'
import { FACEBOOK } from './words.ts'

/** The account that FACEBOOK_STARTING_TOKEN is for, as in module.ts, which loads none of these files. */
const SEED_ACCOUNT = 'facebook'

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

    async refresh({ refreshToken, userId, account }) {
      if (refreshToken === null) throw new ProviderError('reconnect', `This account has no token of a Facebook user; ${makeNewToken}`)
      const user = createUserTokens(options)
      const present = await user.inspect(refreshToken)
      const held = present.isHalfOver ? await exchanged(user, present) : present
      // The variable is for the token of the environment.
      const objectId = account === undefined || account === SEED_ACCOUNT ? config.objectId : null
      try {
        return grantOf(held, chosen(await user.pages(held.token), { userId, objectId }))
      } catch (error) {
        throw explained(error, held)
      }
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

/** Where Meta does not give a later end, the present token stays until its own, whose alerts come by date. */
async function exchanged(user: UserTokens, present: UserToken): Promise<UserToken> {
  try {
    const token = await user.exchange(present.token)
    const next = token.reveal() === present.token.reveal() ? present : await user.inspect(token)
    const isLater = (next.expiresInSeconds ?? Number.POSITIVE_INFINITY) >= (present.expiresInSeconds ?? 0)
    return next.userId === present.userId && isLater ? next : present
  } catch (error) {
    if (error instanceof ProviderError && (error.kind === 'transient' || error.kind === 'misconfigured')) return present
    throw error
  }
}

/** Meta's own error does not say that the user's approval is over, nor which permission is missing. */
function explained(error: unknown, { reconnectInSeconds, scopes }: UserToken): unknown {
  if (!(error instanceof ProviderError) || error.kind === 'transient' || error.kind === 'throttled') return error
  if (reconnectInSeconds === 0)
    return new ProviderError(
      'reconnect',
      `The approval of the Facebook user has ended, as it does 90 days after the last use of the app: ${makeNewToken}`,
      { cause: error },
    )
  const missing = missingIn(scopes)
  if (missing.length === 0) return error
  return new ProviderError(
    'misconfigured',
    `The token lacks ${missing.join(' and ')}: add ${missing.length === 1 ? 'this permission' : 'these permissions'} to the app in its dashboard, then ${makeNewToken}`,
    { cause: error },
  )
}

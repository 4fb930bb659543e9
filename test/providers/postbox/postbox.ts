import { ProviderError } from '../../../src/core/errors.ts'
import type { Grant, Profile, ProviderCode, ProviderSurroundings } from '../../../src/core/provider.ts'
import { Secret } from '../../../src/core/secret.ts'

export interface PostboxConfig {
  readonly url: string
  readonly appId: string | null
}

const DAY_SECONDS = 86_400

export function createPostbox({ url, appId }: PostboxConfig, { fetch }: Pick<ProviderSurroundings, 'fetch'>): ProviderCode {
  async function get(path: string, params: Record<string, string>): Promise<Record<string, string>> {
    const response = await fetch(`${url}${path}?${new URLSearchParams(params)}`)
    if (!response.ok) throw new ProviderError('reconnect', 'PostBox refuses the token: make a new one.')
    return (await response.json()) as Record<string, string>
  }
  async function grant(path: string, params: Record<string, string>): Promise<Grant> {
    const { token = '' } = await get(path, params)
    return {
      accessToken: new Secret(token),
      refreshToken: null,
      expiresInSeconds: 30 * DAY_SECONDS,
      refreshExpiresInSeconds: null,
      scopes: null,
    }
  }
  async function profile(accessToken: Secret): Promise<Profile> {
    const { id = '', name = null } = await get('/me', { token: accessToken.reveal() })
    return { userId: id, username: name, appUserId: null }
  }
  return {
    renewal: 'self',
    makeNewToken: 'make a new one.',
    minimumAgeSeconds: 0,
    maximumLifeSeconds: 31 * DAY_SECONDS,
    timeoutMs: 5_000,
    setup: {
      place: 'the PostBox office',
      aToken: 'A PostBox token',
      tokenBegins: 'PB…',
      appVariables: ['POSTBOX_APP_ID', 'POSTBOX_APP_SECRET'],
      appSteps: (redirect) => [`Ask at the counter for <code>${redirect}</code>.`],
      allSteps: ({ callbacks }) => [`Fill in the form with <code>${callbacks}</code>.`],
      readOnly: 'tell the counter so.',
      makeToken: 'PostBox prints tokens at the counter.',
    },
    isPublicSafe: () => true,
    refresh: ({ accessToken }) => grant('/refresh', { token: accessToken?.reveal() ?? '' }),
    profile,
    ...(appId === null
      ? {}
      : {
          connect: {
            authorizeUrl: ({ state, redirectUri }) =>
              new URL(`${url}/authorize?${new URLSearchParams({ state, redirect_uri: redirectUri, app: appId })}`),
            exchangeCode: (code) => grant('/code', { code }),
            identify: profile,
          },
        }),
  }
}

import { ConnectError } from '../../core/errors.ts'
import type { Connect, Grant } from '../../core/provider.ts'
import type { Secret } from '../../core/secret.ts'
import type { GraphApp } from '../graph/app.ts'
import { createConnectRefusals } from '../graph/connect-refusal.ts'
import { readSignedRequest } from '../graph/signed-request.ts'
import { isLinked, NO_PAGES } from './page.ts'
import { createUserTokens, type FacebookOptions, grantOf, missingIn, tokenIn, type UserTokens } from './user-token.ts'
import { FACEBOOK } from './words.ts'

// https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow

const AGAIN = 'Press “Connect Facebook” again; nothing was changed.'

export function createFacebookConnect(options: FacebookOptions & { readonly app: GraphApp }): Connect {
  const { webUrl, version, app, scopes, configId } = options

  const { connectRefusal, asConnectError } = createConnectRefusals(FACEBOOK)

  /** Nothing but a ConnectError leaves the calls. */
  async function explained<T>(work: (user: UserTokens) => Promise<T>): Promise<T> {
    try {
      return await work(createUserTokens(options, connectRefusal))
    } catch (error) {
      throw asConnectError(error)
    }
  }

  async function describe(user: UserTokens, token: Secret): Promise<Grant> {
    const { expiresInSeconds, reconnectInSeconds, ...held } = await user.inspect(token)
    return {
      accessToken: token,
      refreshToken: token,
      expiresInSeconds,
      refreshExpiresInSeconds: expiresInSeconds,
      ...(reconnectInSeconds === undefined ? {} : { reconnectInSeconds }),
      scopes: held.scopes,
      profile: { userId: held.userId, username: null, appUserId: held.userId },
    }
  }

  return {
    authorizeUrl({ state, redirectUri }) {
      const url = new URL(`/${version}/dialog/oauth`, webUrl)
      const asked: Record<string, string> = configId === null ? { scope: scopes.join(',') } : { config_id: configId }
      url.search = new URLSearchParams({ client_id: app.id, redirect_uri: redirectUri, response_type: 'code', ...asked, state }).toString()
      return url
    },

    /** The long-lived token of the user. It is no account's token yet. */
    exchangeCode: (code, { redirectUri }) =>
      explained(async (user) => {
        const short = await user.ask('/oauth/access_token', {
          client_id: app.id,
          client_secret: app.secret.reveal(),
          redirect_uri: redirectUri,
          code,
        })
        const grant = await describe(user, await user.exchange(tokenIn(short)))
        const missing = missingIn(grant.scopes, configId === null ? scopes : undefined)
        if (missing.length > 0)
          throw new ConnectError(
            `Facebook did not give ${missing.length === 1 ? 'the permission' : 'the permissions'} ${missing.join(', ')}.`,
            'Connect again and leave every permission switched on; the app must have each of them in its dashboard.',
          )
        return grant
      }),

    identify: (accessToken) =>
      explained(async (user) => {
        const { userId } = await user.inspect(accessToken)
        return { userId, username: null, appUserId: userId }
      }),

    choice: {
      list: ({ refreshToken }) =>
        explained(async (user) => {
          const pages = await user.pages(refreshToken as Secret)
          const linked = pages.filter(isLinked)
          if (linked.length === 0) throw new ConnectError(`${NO_PAGES}.`, AGAIN)
          return linked.map(({ name, instagram }) => ({ id: instagram.id, username: instagram.username, detail: `Page ${name}` }))
        }),

      take: ({ refreshToken }, id) =>
        explained(async (user) => {
          const token = refreshToken as Secret
          const page = (await user.pages(token)).filter(isLinked).find(({ instagram }) => instagram.id === id)
          if (page === undefined) throw new ConnectError('Facebook does not list this account any more.', AGAIN)
          return grantOf(await user.inspect(token), page)
        }),
    },

    // Takes back all permissions of the app: https://developers.facebook.com/docs/facebook-login/guides/permissions/request-revoke
    revoke: ({ refreshToken }) =>
      explained(async (user) => {
        if (refreshToken !== null) await user.ask('/me/permissions', {}, refreshToken, 'DELETE')
      }),

    readSignedRequest: (signedRequest) => readSignedRequest(signedRequest, app.secret),
  }
}

import type { Connect, HeldTokens } from '../../core/provider.ts'
import type { Secret } from '../../core/secret.ts'
import { type Answer, type Call, call, TIMEOUT_MS } from '../http.ts'
import { createAnswers, parse, scopesOf } from './answer.ts'
import type { GraphApp } from './app.ts'
import { createConnectRefusals } from './connect-refusal.ts'
import { errorIn, whole } from './refusal.ts'
import type { GraphService } from './service.ts'
import { readSignedRequest } from './signed-request.ts'

export interface GraphConnectOptions {
  readonly app: GraphApp
  readonly scopes: readonly string[]
  readonly graphUrl: string
  /** Where a code is exchanged. */
  readonly apiUrl: string
  readonly webUrl: string
  readonly fetch?: typeof globalThis.fetch
  readonly timeoutMs?: number
}

/** Meta's code where the token to exchange is already long-lived. */
const SESSION_KEY_INVALID = 452

type GraphConnect = Required<Pick<Connect, 'exchangeForLongLived' | 'readSignedRequest'>> & Connect

export function createGraphConnect(service: GraphService, options: GraphConnectOptions): GraphConnect {
  const { title, mePath, grantTypes, permissionsPath, fields: names } = service
  const { connectRefusal, asConnectError, personal } = createConnectRefusals(service)
  const { fieldsOf, grantOf, profileOf, tokenOf } = createAnswers(service)
  const wanted = [names.userId, 'username', names.accountType].filter((name) => name !== null).join(',')
  const { app, scopes, graphUrl, apiUrl, webUrl, fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS } = options

  async function ask(url: URL, how: Partial<Call> = {}): Promise<{ answer: Answer; body: unknown }> {
    const answer = await call(url, { service: title, timeoutMs, fetch, ...how })
    return { answer, body: parse(answer.text) }
  }

  function accepted({ answer, body }: { answer: Answer; body: unknown }): Record<string, unknown> {
    const refused = connectRefusal(answer, body)
    if (refused !== null) throw refused
    return fieldsOf(body)
  }

  /** Nothing but a ConnectError leaves the calls. */
  async function explained<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asConnectError(error)
    }
  }

  function address(base: string, path: string, params: Record<string, string>): URL {
    const url = new URL(path, base)
    url.search = new URLSearchParams(params).toString()
    return url
  }

  const exchange = (token: Secret): ReturnType<typeof ask> =>
    ask(
      address(graphUrl, '/access_token', {
        grant_type: grantTypes.exchange,
        client_secret: app.secret.reveal(),
        access_token: token.reveal(),
      }),
    )

  return {
    // Meta documents no PKCE, so the verifier is unused.
    authorizeUrl: ({ state, redirectUri }) =>
      address(webUrl, '/oauth/authorize', {
        client_id: app.id,
        redirect_uri: redirectUri,
        response_type: 'code',
        scope: scopes.join(','),
        state,
      }),

    exchangeCode: (code, { redirectUri }) =>
      explained(async () => {
        // Multipart, as in the official sample; a urlencoded form is reported to be refused.
        const form = new FormData()
        form.set('client_id', app.id)
        form.set('client_secret', app.secret.reveal())
        form.set('grant_type', 'authorization_code')
        form.set('redirect_uri', redirectUri)
        form.set('code', code)
        const short = accepted(await ask(new URL('/oauth/access_token', apiUrl), { method: 'POST', body: form }))
        // Scopes that an answer does not name are those that were asked for: RFC 6749, section 5.1.
        const grant = grantOf(accepted(await exchange(tokenOf(short))))
        return { ...grant, scopes: grant.scopes ?? scopesOf(short['permissions']) ?? scopesOf([...scopes]) }
      }),

    identify: (accessToken) =>
      explained(async () => {
        const profile = accepted(await ask(address(graphUrl, mePath, { fields: wanted, access_token: accessToken.reveal() })))
        if (names.accountType !== null && String(profile[names.accountType]).toUpperCase() === 'PERSONAL') throw personal
        return profileOf(profile)
      }),

    exchangeForLongLived: (accessToken) =>
      explained(async () => {
        const exchanged = await exchange(accessToken)
        return whole(errorIn(exchanged.body)?.['code']) === SESSION_KEY_INVALID ? null : grantOf(accepted(exchanged))
      }),

    ...(permissionsPath === null
      ? {}
      : {
          revoke: ({ accessToken }: HeldTokens) =>
            explained(async () => {
              if (accessToken === null) return
              accepted(await ask(address(graphUrl, permissionsPath, { access_token: accessToken.reveal() }), { method: 'DELETE' }))
            }),
        }),

    readSignedRequest: (signedRequest) => readSignedRequest(signedRequest, app.secret),
  }
}

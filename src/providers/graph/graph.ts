import { ProviderError } from '../../core/errors.ts'
import type { Connect, ProviderCode } from '../../core/provider.ts'
import { call, TIMEOUT_MS } from '../http.ts'
import { createAnswers, MAX_LIFE_SECONDS, parse } from './answer.ts'
import { fetchPicture } from './picture.ts'
import { createRefusals } from './refusal.ts'
import type { GraphService } from './service.ts'

export interface GraphOptions {
  /** The service's own host, or a stand-in for it. */
  readonly graphUrl: string
  readonly connect?: Connect
  readonly fetch?: typeof globalThis.fetch
  readonly timeoutMs?: number
}

export type GraphProvider = Required<Omit<ProviderCode, 'connect'>> & Pick<ProviderCode, 'connect'>

/** A provider whose long-lived access token renews itself while it is still valid: there is no refresh token. */
export function createGraph(service: GraphService, options: GraphOptions): GraphProvider {
  const { title, setup, isPublicSafe, mePath, grantTypes, fields: names, words } = service
  const { graphUrl, connect, fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS } = options
  const refusal = createRefusals(service)
  const { fieldsOf, grantOf, profileOf } = createAnswers(service)

  async function get(path: string, params: Record<string, string>, withinMs = timeoutMs): Promise<Record<string, unknown>> {
    const url = new URL(graphUrl.replace(/\/+$/, '') + path)
    url.search = new URLSearchParams(params).toString()
    const answer = await call(url, { service: title, timeoutMs: withinMs, fetch })
    const body = parse(answer.text)
    const refused = refusal(answer, body)
    if (refused !== null) throw refused
    return fieldsOf(body)
  }

  return {
    renewal: 'self',
    setup,
    isPublicSafe,
    ...(connect === undefined ? {} : { connect }),
    makeNewToken: words.makeNewToken,
    minimumAgeSeconds: 24 * 3600,
    maximumLifeSeconds: MAX_LIFE_SECONDS,
    timeoutMs,

    async refresh({ accessToken }) {
      if (accessToken === null) throw new ProviderError('reconnect', `This account has no ${title} token; ${words.makeNewToken}`)
      return grantOf(await get('/refresh_access_token', { grant_type: grantTypes.refresh, access_token: accessToken.reveal() }))
    },

    async profile(accessToken) {
      return profileOf(await get(mePath, { fields: `${names.userId},username`, access_token: accessToken.reveal() }))
    },

    media: {
      mayBePrivate: service.media.mayBePrivate,
      profileUrl: (username) => service.media.profile + username,
      async load() {
        const { createMedia } = await import('./media.ts')
        return createMedia(service, { graphUrl, timeoutMs, fetch, refusal })
      },
    },

    async picture(accessToken) {
      // Two calls share the time limit of one.
      const withinMs = timeoutMs / 2
      const { [names.picture]: address } = await get(mePath, { fields: names.picture, access_token: accessToken.reveal() }, withinMs)
      return fetchPicture(address, { ownOrigin: new URL(graphUrl).origin, service: title, timeoutMs: withinMs, fetch })
    },
  }
}

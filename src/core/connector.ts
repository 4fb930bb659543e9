import type { Grant, Profile } from './provider.ts'
import type { Secret } from './secret.ts'

/** What one trip of the owner to the provider and back is told apart by. */
export interface Trip {
  readonly state: string
  readonly redirectUri: string
  /** For PKCE: 43 to 128 unreserved characters. The provider's own rules say whether and how it is used. */
  readonly verifier: string
}

/** The half of a provider that needs an app's credentials. Each call throws `ConnectError` and nothing else. */
export interface Connector {
  readonly provider: string
  /** The provider's name as it stands in a sentence. */
  readonly title: string
  authorizeUrl(trip: Trip): URL
  /** A grant that lasts, and what it permits where the provider tells. */
  exchangeCode(code: string, trip: Pick<Trip, 'redirectUri' | 'verifier'>): Promise<Grant & { readonly scopes: string | null }>
  identify(accessToken: Secret): Promise<Profile>
  /** Trades a token of an hour for one that lasts; null where it lasts already. */
  lengthen(accessToken: Secret): Promise<Grant | null>
  /** Takes back what the user has granted to the app. */
  revoke(accessToken: Secret): Promise<void>
  /** Null where the call is not the provider's. */
  readSignedRequest(signedRequest: string): SignedCall | null
}

/** A call that the provider makes by itself. */
export interface SignedCall {
  /** The user that it concerns. */
  readonly userId: string
  /** In milliseconds since 1970; null where the call does not say. */
  readonly issuedAtMs: number | null
  /** What the signature covers: of one call it is spelled in one way only. */
  readonly signed: string
}

/** One sentence on what happened and one on what to do; neither holds a token, a secret or a URL. */
export class ConnectError extends Error {
  readonly happened: string
  readonly remedy: string
  /** True where the remedy is to register the redirect URI, so that it must be shown. */
  readonly wantsRedirectUri: boolean
  /** True where nothing is wrong: trying again may help. */
  readonly isTransient: boolean
  constructor(happened: string, remedy: string, { wantsRedirectUri = false, isTransient = false } = {}) {
    super(`${happened} ${remedy}`)
    this.name = 'ConnectError'
    this.happened = happened
    this.remedy = remedy
    this.wantsRedirectUri = wantsRedirectUri
    this.isTransient = isTransient
  }
}

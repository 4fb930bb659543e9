import type { Secret } from './secret.ts'

/** What a provider hands out. Lifetimes are in seconds from the moment of the answer. */
export interface Grant {
  readonly accessToken: Secret
  /** Null where the access token renews itself. */
  readonly refreshToken: Secret | null
  readonly expiresInSeconds: number
  readonly refreshExpiresInSeconds: number | null
}

export interface Profile {
  readonly userId: string
  readonly username: string | null
  /** The id that the provider gives the user towards this app alone, where it has one. */
  readonly appUserId: string | null
}

/** One that a browser can only look at: nothing in these formats runs. */
export interface Picture {
  readonly type: 'image/jpeg' | 'image/png' | 'image/webp'
  readonly bytes: Uint8Array
}

/** What people take for a token of the provider, and the end of the sentence “The token …”. */
export type Mistake = readonly [shape: RegExp, problem: string]

/** A `secret` is never taken for a token; a `list` is separated by blanks or commas. */
export type VariableKind = 'text' | 'list' | 'secret'

/**
 * What a provider tells of itself: data only. Its code is loaded when an agent starts that uses it. A provider is one folder
 * below src/providers and one line of src/providers/registry.ts.
 */
export interface ProviderModule<Config = unknown> {
  /** In the store, in addresses and in JSON: small letters. */
  readonly name: string
  /** As it stands in a sentence. */
  readonly title: string
  readonly variables: Readonly<Record<string, VariableKind>>
  /** The variable that an account of this provider starts with. */
  readonly seed: { readonly variable: string; readonly account: string }
  /** The name of the constant in token.js where nobody chose one. */
  readonly constantName: string
  readonly mistakes: readonly Mistake[]
  /** Null where the variables do not switch the provider on. */
  read(env: ProviderEnvironment): Config | null
  load(): Promise<CreateProvider<Config>>
}

/** The variables of one provider, without quotes. */
export interface ProviderEnvironment {
  text(name: string): string | null
  list(name: string): string[]
  /** An address without a path; a wrong one is a problem. */
  origin(name: string, fallback: string): string
  /** Says what is wrong with a variable. The agent does not start with a problem. */
  problem(text: string): void
}

export interface ProviderSurroundings {
  readonly fetch: typeof globalThis.fetch
  /** In milliseconds since 1970. */
  readonly now: () => number
}

// A method's parameters are compared both ways: so one list holds the modules of all configurations.
export type CreateProvider<Config> = { create(config: Config, surroundings: ProviderSurroundings): ProviderCode }['create']

/** A provider whose variables are read. `config` is only what its own `read` gave. */
export interface ConfiguredProvider {
  readonly module: ProviderModule
  readonly config: unknown
  readonly secrets: readonly (readonly [variable: string, secret: Secret])[]
}

/** A provider in use: what its module tells, and its code. */
export type Provider = Pick<ProviderModule, 'name' | 'title' | 'seed' | 'mistakes'> & ProviderCode

/** Each call throws `ProviderError` and nothing else, within its own time limit. */
export interface ProviderCode {
  /** How its sentences end where only a new token helps: a page says in its place what works there. */
  readonly makeNewToken: string
  /** How old a token must be before the provider refreshes it, in seconds. */
  readonly minimumAgeSeconds: number
  /** The longest life of a token that the provider documents: no answer and no owner is believed beyond it. */
  readonly maximumLifeSeconds: number
  /** The longest that one call may take; a lease must outlast it. */
  readonly timeoutMs: number
  readonly setup: SetupWords
  refresh(held: { accessToken: Secret; refreshToken: Secret | null }): Promise<Grant>
  profile(accessToken: Secret): Promise<Profile>
  /** The user's own picture, fetched from wherever the provider keeps it; null = the user has none. */
  picture?(accessToken: Secret): Promise<Picture | null>
  /** Absent without an app's credentials. */
  readonly connect?: Connect
}

/** The words of the pages that lead an owner to a token. Each is HTML of the provider's own folder, never of a stranger. */
export interface SetupWords {
  /** Where tokens and apps are made: “at Meta”. */
  readonly place: string
  /** With its article, as a heading. */
  readonly aToken: string
  /** The start of a token, for an example. */
  readonly tokenBegins: string
  /** The variables of an app's credentials. */
  readonly appVariables: readonly string[]
  /** The short way to an app, for an agent without one. `redirect` = the address that the provider sends browsers back to. */
  appSteps(redirect: string): readonly string[]
  /** The long way. `callbacks` = where the provider's own calls go. */
  allSteps(addresses: { readonly redirect: string; readonly callbacks: string }): readonly string[]
  /** How to make a token by hand. */
  readonly makeToken: string
}

/** One request for the owner's approval at the provider. */
export interface AuthorizationRequest {
  readonly state: string
  readonly redirectUri: string
  /** For PKCE: 43 to 128 unreserved characters. The provider's own rules say whether and how it is used. */
  readonly verifier: string
}

/** The half of a provider that needs an app's credentials. Each call throws `ConnectError` and nothing else. */
export interface Connect {
  authorizeUrl(request: AuthorizationRequest): URL
  /** A grant that lasts, and what it permits where the provider tells. */
  exchangeCode(
    code: string,
    request: Pick<AuthorizationRequest, 'redirectUri' | 'verifier'>,
  ): Promise<Grant & { readonly scopes: string | null }>
  identify(accessToken: Secret): Promise<Profile>
  /** Null where the token lasts already. */
  exchangeForLongLived?(accessToken: Secret): Promise<Grant | null>
  /** Takes back what the user has granted to the app. */
  revoke?(accessToken: Secret): Promise<void>
  /** Null where the call is not the provider's. */
  readSignedRequest?(signedRequest: string): SignedCall | null
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

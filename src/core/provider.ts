import type { ConnectError } from './errors.ts'
import type { MediaAccess, Picture } from './media.ts'
import type { Secret } from './secret.ts'

/** Tokens from a provider. Lifetimes are in seconds from the answer. */
export interface Grant {
  readonly accessToken: Secret
  /** Null where the access token is itself refreshed. */
  readonly refreshToken: Secret | null
  /** Null = the answer names no end. */
  readonly expiresInSeconds: number | null
  readonly refreshExpiresInSeconds: number | null
  /** Separated by blanks; null = the provider does not name them. */
  readonly scopes: string | null
  /** Whose token it is, where the answer says so. */
  readonly profile?: Profile
  /** From then on only the user's new approval helps. */
  readonly reconnectInSeconds?: number
  /** The provider says that the access token has no end. */
  readonly neverExpires?: boolean
}

export interface Profile {
  readonly userId: string
  readonly username: string | null
  /** The app-scoped id of the user; null = the provider has none. */
  readonly appUserId: string | null
}

/** A text that people mistake for a token, and the end of the sentence “The token …”. */
export type Mistake = readonly [shape: RegExp, problem: string]

/** The token that a person gives: an access token that lives long, or a refresh token. */
export type TokenKind = 'access' | 'refresh'

/** A `secret` is refused where a token is expected. A `list` is separated by blanks or commas. */
export type VariableKind = 'text' | 'list' | 'secret'

/**
 * A provider's data. `load` imports its code, at the start of an agent that uses it. A provider is one folder below
 * src/providers and one line of src/providers/registry.ts.
 */
export interface ProviderModule<Config = unknown> {
  /** The name in the store, in addresses and in JSON: lower-case letters. */
  readonly name: string
  /** The name in a sentence. */
  readonly title: string
  readonly variables: Readonly<Record<string, VariableKind>>
  /** The variable that holds a first token, the account that gets it, and the token in a person's words. */
  readonly seed: { readonly variable: string; readonly account: string; readonly kind: TokenKind; readonly title: string }
  /** The default name of the constant in token.js. */
  readonly constantName: string
  readonly mistakes: readonly Mistake[]
  /**
   * Where it sends a person back to on their own computer: `http` to http://127.0.0.1 on any port; unset = to
   * https://localhost on a registered port.
   */
  readonly loopback?: 'http'
  /** Null where the variables do not enable the provider. */
  read(env: ProviderEnvironment): Config | null
  load(): Promise<CreateProvider<Config>>
}

/** The variables of one provider, without quotes. */
export interface ProviderEnvironment {
  text(name: string): string | null
  list(name: string): string[]
  /** An address without a path. An invalid one is a problem. */
  origin(name: string, fallback: string): string
  /** Reports an invalid variable. The agent does not start with a problem. */
  problem(text: string): void
  /** Reports what should be changed before it becomes a problem. */
  warn(text: string): void
  /** In milliseconds since 1970. */
  readonly now: number
}

export interface ProviderSurroundings {
  readonly fetch: typeof globalThis.fetch
  /** In milliseconds since 1970. */
  readonly now: () => number
}

// TypeScript compares a method's parameters in both directions, so one list can hold modules of all Config types.
export type CreateProvider<Config> = { create(config: Config, surroundings: ProviderSurroundings): ProviderCode }['create']

/** A provider whose variables are read. `config` comes from the module's own `read`. */
export interface ConfiguredProvider {
  readonly module: ProviderModule
  readonly config: unknown
  readonly secrets: readonly (readonly [variable: string, secret: Secret])[]
}

/** A provider in use: its data and its code. */
export type Provider = Pick<ProviderModule, 'name' | 'title' | 'seed' | 'mistakes' | 'loopback'> & ProviderCode

/**
 * How a grant lives on. `self`: the access token renews itself. `rotating`: a refresh token gets the next pair and dies.
 * `checked`: a long-lived refresh token gets access tokens, and the user must approve the app again by a date.
 */
export type Renewal = 'self' | 'rotating' | 'checked'

/** The tokens of an account: at least one of them. */
export interface HeldTokens {
  readonly accessToken: Secret | null
  readonly refreshToken: Secret | null
}

/** Each call throws only `ProviderError`, within `timeoutMs`. */
export interface ProviderCode {
  readonly renewal: Renewal
  /** The end of its error messages where only a new token helps. Pages replace it with their own advice. */
  readonly makeNewToken: string
  /** The provider refreshes no younger token. */
  readonly minimumAgeSeconds: number
  /** The longest documented life of a token. Longer lives in answers and imports are cut to it. */
  readonly maximumLifeSeconds: number
  /** The time limit of one call; a lease must outlast it. */
  readonly timeoutMs: number
  readonly setup: SetupWords
  /** True where a token with these scopes can do nothing but read, so that it may stand in a web page. Null = unknown scopes. */
  isPublicSafe(scopes: string | null): boolean
  /** `userId` = the account's user, if the provider has named one; `account` = the name that the owner gave it. */
  refresh(held: HeldTokens & { readonly userId: string | null; readonly account?: string }, withinMs?: number): Promise<Grant>
  profile(accessToken: Secret): Promise<Profile>
  /** The user's own picture; null = the user has none. */
  picture?(accessToken: Secret): Promise<Picture | null>
  /** Unset where the provider gives no posts for a feed. */
  readonly media?: MediaAccess
  /** Undefined without an app's credentials. */
  readonly connect?: Connect
}

/** The texts of the setup pages. Each is trusted HTML from the provider's folder. */
export interface SetupWords {
  /** The place where tokens and apps are made, such as “at Meta”. */
  readonly place: string
  /** A heading with its article, such as “A Postbox token”. */
  readonly aToken: string
  /** The first characters of a token, for an example. */
  readonly tokenBegins: string
  /** The variables of an app's credentials. */
  readonly appVariables: readonly string[]
  /** The short way to an app. `redirect` = the redirect URI. */
  appSteps(redirect: string): readonly string[]
  /** The long way to an app. `callbacks` = the address that the provider itself calls. */
  allSteps(addresses: { readonly redirect: string; readonly callbacks: string }): readonly string[]
  /** The way to a token that can only read. */
  readonly readOnly: string
  /** The way to a token without an app. */
  readonly makeToken: string
}

/** One OAuth authorization request. */
export interface AuthorizationRequest {
  readonly state: string
  readonly redirectUri: string
  /** For PKCE: 43 to 128 unreserved characters. A provider without PKCE ignores it. */
  readonly verifier: string
  /** One of the provider's `challenges`; unset = its first. */
  readonly challenge?: Challenge
}

/** How a PKCE challenge is written. */
export type Challenge = 'hex' | 'base64url'

/** What the callback brought beside its code. */
export interface ExchangeRequest extends Pick<AuthorizationRequest, 'redirectUri' | 'verifier'> {
  /** The scopes that the user gave, as the provider sent them; undefined = not sent. */
  readonly scopes?: string | undefined
}

/** The part of a provider that needs an app's credentials. Each call throws only `ConnectError`. */
export interface Connect {
  /** The encodings of a PKCE challenge that may be accepted, the likeliest first; unset = no PKCE. */
  readonly challenges?: readonly Challenge[]
  /** Its users' names are free text, so a name identifies nobody. */
  readonly hasFreeNames?: true
  /** Throws a ConnectError where the provider would not send the user back to the redirect URI. */
  authorizeUrl(request: AuthorizationRequest): URL
  /** The meaning of an error that the callback brings; null = the user declined. */
  callbackError?(error: string, description: string): ConnectError | null
  /** The grant with its scopes. */
  exchangeCode(code: string, request: ExchangeRequest): Promise<Grant>
  identify(accessToken: Secret): Promise<Profile>
  /** Only where one login leads to several accounts. */
  readonly choice?: {
    /** The accounts that the user may give, at least one. */
    list(login: Grant): Promise<readonly Choice[]>
    /** The grant of one of them, with its profile. */
    take(login: Grant, id: string): Promise<Grant>
  }
  /** Null where the token is already long-lived. */
  exchangeForLongLived?(accessToken: Secret): Promise<Grant | null>
  /** Sentences for the owner who has just connected an account with these scopes. Never throws a ConnectError. */
  notes?(accessToken: Secret, scopes: string | null): Promise<readonly string[]>
  /** Revokes all that the user has granted to the app. */
  revoke?(held: HeldTokens): Promise<void>
  /** Null where the signature is not the provider's. */
  readSignedRequest?(signedRequest: string): SignedCall | null
}

/** An account that a login leads to. */
export interface Choice {
  readonly id: string
  readonly username: string | null
  /** Where the account belongs, such as the name of its Page. */
  readonly detail: string
}

/** A signed callback of the provider, such as a deauthorization or a data-deletion request. */
export interface SignedCall {
  readonly userId: string
  /** Milliseconds since 1970; null = not in the call. */
  readonly issuedAtMs: number | null
  /** The signed text. One call has only one spelling of it. */
  readonly signed: string
}

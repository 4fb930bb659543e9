export type ErrorCode =
  | 'invalid' // the caller's request is wrong
  | 'unauthorized' // no key, or a wrong one
  | 'forbidden' // not on the allow-list
  | 'not_found'
  | 'gone' // was here, and does not come back by itself
  | 'conflict' // another caller was first
  | 'busy' // too many requests at once: trying again helps
  | 'unavailable' // a store or a token is missing for now: trying again may help

/** An error whose message may be shown to the caller. */
export class AppError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'AppError'
    this.code = code
  }
}

/** The key of the store lies in the operating system's keychain, which does not give it now. */
export class KeychainError extends AppError {
  constructor(message: string) {
    super('unavailable', message)
  }
}

/** The store did not answer a query in time; it may still be up. */
export class NoAnswerInTime extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super('unavailable', message, options)
  }
}

/**
 * Says who must act after a provider's refusal. `transient`: the agent tries again. `throttled`: the agent waits.
 * `reconnect`: the account's owner, with a new token. `misconfigured`: the operator, in the provider's dashboard.
 */
export type ProviderErrorKind = 'transient' | 'throttled' | 'reconnect' | 'misconfigured'

/** An answer that counts only if it comes again ten minutes later. */
export interface Doubt {
  /** Two answers are the same where this text is the same. */
  readonly answer: string
  /** The sentence for the owner until then. */
  readonly atFirst: string
}

/** What a refusal means beside its kind: the user took the permission back, or the call asks for more than the token may. */
export type RefusalReason = 'withdrawn' | 'unsupported'

interface ProviderErrorOptions extends ErrorOptions {
  retryAfterSeconds?: number | null
  concernsAll?: boolean
  doubt?: Doubt | null
  isAnswerLost?: boolean
  reason?: RefusalReason | null
}

/** `message` is one sentence for the owner and never holds a token, a secret or a URL. */
export class ProviderError extends Error {
  readonly kind: ProviderErrorKind
  /** The wait that the provider asked for; null = none. */
  readonly retryAfterSeconds: number | null
  /** True where the throttle limits all calls of the agent, not only this account's. */
  readonly concernsAll: boolean
  /** Null = the answer counts at once. */
  readonly doubt: Doubt | null
  /** The provider may have done what it was asked for, and its answer did not arrive. */
  readonly isAnswerLost: boolean
  readonly reason: RefusalReason | null
  constructor(kind: ProviderErrorKind, message: string, options: ProviderErrorOptions = {}) {
    super(message, options)
    this.name = 'ProviderError'
    this.kind = kind
    this.retryAfterSeconds = options.retryAfterSeconds ?? null
    this.concernsAll = options.concernsAll ?? false
    this.doubt = options.doubt ?? null
    this.isAnswerLost = options.isAnswerLost ?? false
    this.reason = options.reason ?? null
  }
}

/** One sentence says what happened, one what to do. Neither holds a token, a secret or a URL. */
export class ConnectError extends Error {
  readonly happened: string
  readonly remedy: string
  /** True where the remedy is to register the redirect URI, so the page must show it. */
  readonly wantsRedirectUri: boolean
  /** True where trying again may help. */
  readonly isTransient: boolean
  /** True where another encoding of the PKCE challenge may be accepted. */
  readonly isChallengeRefused: boolean
  constructor(happened: string, remedy: string, { wantsRedirectUri = false, isTransient = false, isChallengeRefused = false } = {}) {
    super(`${happened} ${remedy}`)
    this.name = 'ConnectError'
    this.happened = happened
    this.remedy = remedy
    this.wantsRedirectUri = wantsRedirectUri
    this.isTransient = isTransient
    this.isChallengeRefused = isChallengeRefused
  }
}

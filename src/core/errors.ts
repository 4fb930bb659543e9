export type ErrorCode =
  | 'invalid' // the caller's request is wrong
  | 'unauthorized' // no key, or a wrong one
  | 'forbidden' // not on the allow-list
  | 'not_found'
  | 'conflict' // another caller was first
  | 'busy' // more is asked of the agent at this moment than it lets through: trying again helps
  | 'unavailable' // a store or a token is not there at the moment: trying again may help

/** An error whose message may be shown to the caller. */
export class AppError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'AppError'
    this.code = code
  }
}

/** The store has not answered a question in time. Whether it is there is another question. */
export class NoAnswerInTime extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super('unavailable', message, options)
  }
}

/**
 * Who must act after a provider's refusal. `transient`: nobody, try again. `throttled`: nobody, wait as told.
 * `reconnect`: the account's owner, with a new token. `misconfigured`: the operator, in the provider's dashboard.
 */
export type ProviderErrorKind = 'transient' | 'throttled' | 'reconnect' | 'misconfigured'

/** An answer that is believed only when it is given again ten minutes later. */
export interface Doubt {
  /** Two answers with the same text are one answer given twice. */
  readonly answer: string
  /** The sentence for the owner until then. */
  readonly atFirst: string
}

/** `message` is one sentence for the owner and never holds a token, a secret or a URL. */
export class ProviderError extends Error {
  readonly kind: ProviderErrorKind
  /** How long the provider asked us to wait. */
  readonly retryAfterSeconds: number | null
  /** A throttle of all that this agent asks, not of this account alone. */
  readonly concernsAll: boolean
  /** Null = it is believed at once. */
  readonly doubt: Doubt | null
  constructor(
    kind: ProviderErrorKind,
    message: string,
    options: ErrorOptions & { retryAfterSeconds?: number | null; concernsAll?: boolean; doubt?: Doubt | null } = {},
  ) {
    super(message, options)
    this.name = 'ProviderError'
    this.kind = kind
    this.retryAfterSeconds = options.retryAfterSeconds ?? null
    this.concernsAll = options.concernsAll ?? false
    this.doubt = options.doubt ?? null
  }
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

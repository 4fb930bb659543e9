import type { SecretNames } from '../core/accept-token.ts'
import type { Account, Actor } from '../core/account.ts'
import type { AccountChange, AccountStore } from '../core/account-store.ts'
import type { Secret } from '../core/secret.ts'
import type { RefreshResult } from '../refreshing/refresh-account.ts'
import type { RefreshDeps } from '../refreshing/refresh-due.ts'

export interface SeedDeps extends RefreshDeps {
  readonly store: AccountStore
  /** The agent's own secrets, which are refused as tokens. */
  readonly secrets: SecretNames
}

export interface Seed {
  readonly account: string
  readonly provider: string
  readonly token: Secret
  readonly actor: Actor
  /** The variable that holds the token, if the configuration has it. */
  readonly variable?: string
  /**
   * Fingerprint of the account’s configured token, so that the next start does not seed it over a later one. Null if it is
   * not known, as in a shell without the agent's variables: the stored fingerprint stays.
   */
  readonly fingerprint: string | null
  /** Only a token of this user may replace the present one. */
  readonly onlyUser?: string | null
  /** The expiry that came with the token; valid until the provider names one. */
  readonly expiresAt?: Date | null
}

export type SeedResult =
  /** The token is stored; `result` is the provider's answer, if this process asked. */
  | { readonly outcome: 'taken'; readonly result: RefreshResult | null; readonly message: string }
  /** The provider did not answer, or another process has claimed the account; the working token stays. */
  | { readonly outcome: 'postponed'; readonly message: string }
  /** The provider refused the new token; the working token stays. */
  | { readonly outcome: 'refused'; readonly message: string }

/** Names the token by its source. */
export function sourceOf({ actor, variable = 'the configuration' }: Pick<Seed, 'actor' | 'variable'>): string {
  if (actor === 'owner') return 'The token that was pasted'
  return actor === 'cli' ? 'The token given on the command line' : `The token of ${variable}`
}

export const fingerprintChange = ({ fingerprint }: Pick<Seed, 'fingerprint'>): AccountChange =>
  fingerprint === null ? {} : { seedFingerprint: fingerprint }

/** The provider has refused the token for good: any other token is better. */
export const isGivenUp = ({ state }: Account): boolean => state === 'reconnect'

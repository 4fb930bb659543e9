import { type Account, awaitsProvider, hasGrant, isServable } from '../core/account.ts'
import { AppError } from '../core/errors.ts'
import type { UnreadableError } from '../core/vault.ts'
import { hasExpired } from './token-row.ts'

/** The reason why an account cannot be served, in words for its web sites; null = it can. */
export function problemOf(account: Account, now: Date): AppError | null {
  if (account.pausedAt !== null)
    return unavailable('This account is paused. Is this your site? Switch it on again at /admin on this agent.')
  if (!hasGrant(account)) return noToken()
  if (awaitsProvider(account, now)) return waiting()
  if (hasExpired(account, now.getTime())) return expired()
  if (isServable(account, now)) return null
  if (account.state === 'unverified') return unavailable('The token is being checked with its provider. Try again in a few seconds.')
  return unavailable('The provider refused this token. Is this your site? Put in a new one: /setup on this agent says how.')
}

export function noToken(): AppError {
  return unavailable('There is no token yet. Is this your site? Open /setup on this agent: it says how to give it one.')
}

export function expired(): AppError {
  return unavailable('The token has expired. Is this your site? Put in a new one: /setup on this agent says how.')
}

/** The owner's word: the token never leaves the server. */
export function feedOnly(): AppError {
  return new AppError(
    'forbidden',
    'This account gives its posts alone, at /media.json in place of /token.json: its token never leaves this agent. Is this your site? /admin on this agent changes that.',
  )
}

/** The agent gets the next token by itself. */
export function waiting(): AppError {
  return unavailable('The token has ended, and the agent asks its provider for the next one. Try again in a minute.')
}

export function unreadable(cause: UnreadableError): AppError {
  return unavailable(
    'The stored token cannot be opened. Is this your site? Put the ENCRYPTION_KEY back that it was stored with, or put in a new token.',
    cause,
  )
}

function unavailable(message: string, cause?: unknown): AppError {
  return new AppError('unavailable', message, { cause })
}

export function notFound(): AppError {
  return new AppError('not_found', 'There is no account of this name. Compare the address with the one that the agent’s page / shows.')
}

export function noAnswer(cause?: unknown): AppError {
  if (cause instanceof AppError && cause.code === 'busy') return cause
  return unavailable('The token cannot be looked up at the moment. Try again in a few seconds; /readyz says what is missing.', cause)
}

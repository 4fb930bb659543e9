import { type Account, hasGrant } from '../core/account.ts'
import { AppError, type ErrorCode } from '../core/errors.ts'
import type { MediaAccess } from '../core/media.ts'
import { type FeedMode, servesOf } from '../core/serves.ts'
import type { Feed } from './feed.ts'

// Why a feed is not shown, in words for its web sites. What the owner or the user has ended is 403, 404 or 410, never 503:
// shared caches may go on with an old copy while an origin is in trouble.

const TWO_WEEKS_MS = 14 * 86_400_000

/** What a provider must tell of itself. */
export interface FeedProvider {
  readonly title: string
  readonly media?: MediaAccess
}

/** `first`: nothing was fetched yet, and a reader may start that. Null = the feed is shown. */
export function feedProblem(
  account: Account,
  feed: Feed | null,
  { provider, mode, now }: { provider: FeedProvider | undefined; mode: FeedMode; now: Date },
): AppError | 'first' | null {
  const { media, title = account.provider } = provider ?? {}
  if (media === undefined) return problem('not_found', `${title} gives no posts to this agent, so this account has no feed.`)
  if (servesOf(account, mode, media) === 'token')
    return problem('forbidden', 'The feed of this account is switched off. Is this your site? Switch it on at /admin on this agent.')
  if (account.pausedAt !== null)
    return problem('forbidden', 'This account is paused. Is this your site? Switch it on again at /admin on this agent.')
  if (media.mayBePrivate && feed?.publicWordAt == null)
    return problem(
      'forbidden',
      `Posts on ${title} may be private. Is this your site? Say at /admin on this agent that this profile is public.`,
    )
  const isOld = feed?.fetchedAt != null && now.getTime() - feed.fetchedAt.getTime() >= TWO_WEEKS_MS
  if (feed !== null && feed.fetchedAt !== null && !isOld) return null
  if (account.state === 'reconnect')
    return problem(
      'gone',
      'The posts of this account are no longer shown. Is this your site? Connect the account again at /admin on this agent.',
    )
  if (!hasGrant(account))
    return problem('not_found', 'This account has no token, so there are no posts. Is this your site? /setup on this agent says how.')
  const hasEnded = account.expiresAt !== null && account.expiresAt <= now
  if (account.state !== 'active' || account.accessToken === null || hasEnded)
    return problem('unavailable', 'The token of this account is being checked, so there are no posts yet. Try again in a minute.')
  return 'first'
}

export function notFetched(): AppError {
  return problem('unavailable', 'The posts are not there yet. Try again in a few seconds; /status on this agent says what is missing.')
}

export function noFeed(): AppError {
  return problem('not_found', 'There is no account of this name. Compare the address with the one that the agent’s page / shows.')
}

export function noFeedAnswer(cause?: unknown): AppError {
  if (cause instanceof AppError && cause.code === 'busy') return cause
  return new AppError(
    'unavailable',
    'The posts cannot be looked up at the moment. Try again in a few seconds; /readyz says what is missing.',
    { cause },
  )
}

function problem(code: ErrorCode, message: string): AppError {
  return new AppError(code, message)
}

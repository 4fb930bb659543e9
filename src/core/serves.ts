import type { Account } from './account.ts'
import type { MediaAccess } from './media.ts'

/** What an account gives to web sites and servers. */
export type Serves = NonNullable<Account['serves']>

/** FEED_MODE: what accounts give whose owner has not decided. `on` = both, `only` = the feed, `off` = the token. */
export type FeedMode = 'on' | 'only' | 'off'

/**
 * What the account gives. A provider without posts has only tokens to give. The feed of a profile that may be private
 * waits for its owner's decision.
 */
export function servesOf(
  { serves }: Pick<Account, 'serves'>,
  mode: FeedMode,
  media: Pick<MediaAccess, 'mayBePrivate'> | undefined,
): Serves {
  if (media === undefined) return 'token'
  if (serves !== null) return serves
  if (mode === 'only') return 'feed'
  return mode === 'off' || media.mayBePrivate ? 'token' : 'both'
}

import { type Account, type Actor, isServable } from '../core/account.ts'
import type { AccountChange, AccountStore, EventKind } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import type { MediaAccess } from '../core/media.ts'
import type { Provider } from '../core/provider.ts'
import { type FeedMode, type Serves, servesOf } from '../core/serves.ts'
import { accountContext, tryOpen, type Vault } from '../core/vault.ts'
import type { FeedSummaries, FeedSummary } from '../feeds/feed.ts'
import type { FetchOutcome } from '../feeds/fetch-feed.ts'
import type { LazyFeeds } from '../feeds/lazy-feeds.ts'
import type { StaleUntil } from '../reading/token-reader.ts'
import { findAccount } from './manage.ts'
import { type PublishDeps, publishChange } from './publish-change.ts'

// What an account gives to web sites: its token, its feed, or both; and its owner's hands on the feed.

export interface FeedDeps {
  readonly store: Pick<AccountStore, 'find' | 'update' | 'replace' | 'record' | 'now'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Provider>
  readonly publish: PublishDeps['publish']
  readonly feeds: LazyFeeds
  readonly feedSummaries: Pick<FeedSummaries, 'of'>
  readonly feedMode: FeedMode
}

/** A feed as its owner sees it. */
export interface FeedView {
  readonly serves: Serves
  /** What FEED_MODE gives where the owner has not chosen. */
  readonly usual: Serves
  readonly isChosen: boolean
  /** Any web site may read it. */
  readonly isOpen: boolean
  /** `needed`: its posts may be private, and the owner has not said that they are public. */
  readonly publicWord: 'not asked' | 'needed' | 'given'
  /** Null = nobody has asked for it yet. */
  readonly summary: FeedSummary | null
  /** Tokens that pages got before are good until then; null = the account gives its token, or its end is not known. */
  readonly tokenUntil: Date | null
}

const MAX_TRIES = 5

/** Null where the provider gives no posts. */
export function feedView(
  { providers, feedMode, store }: Pick<FeedDeps, 'providers' | 'feedMode'> & { store: Pick<AccountStore, 'now'> },
  account: Pick<Account, 'provider' | 'serves' | 'feedOpen' | 'expiresAt'>,
  summary: FeedSummary | null,
): FeedView | null {
  const media = providers.get(account.provider)?.media
  if (media === undefined) return null
  const serves = servesOf(account, feedMode, media)
  const { expiresAt } = account
  return {
    serves,
    usual: servesOf({ serves: null }, feedMode, media),
    isChosen: account.serves !== null,
    isOpen: account.feedOpen,
    publicWord: !media.mayBePrivate ? 'not asked' : summary?.publicWordAt == null ? 'needed' : 'given',
    summary,
    tokenUntil: serves === 'feed' && expiresAt !== null && expiresAt > store.now() ? expiresAt : null,
  }
}

export async function describeFeed(deps: FeedDeps, account: Account): Promise<FeedView | null> {
  const summaries = await deps.feedSummaries.of([account.name])
  return feedView(deps, account, summaries.get(account.name) ?? null)
}

const SAID: Readonly<Record<Serves, string>> = {
  token: 'Web sites get the token alone.',
  both: 'Web sites get the feed and the token.',
  feed: 'Web sites get the feed alone; the token never leaves the agent.',
}

/**
 * Sets what web sites and servers get; null = FEED_MODE decides. The token of a feed-only account is sealed so that a release
 * without feeds cannot open it. Resolves once all instances that can be reached go by it.
 */
export async function setServes(deps: FeedDeps, name: string, serves: Account['serves'], actor: Actor): Promise<StaleUntil> {
  for (let tries = 1; ; tries++) {
    const account = await findAccount(deps, name)
    if (serves !== 'token') mediaOf(deps, account)
    const said = serves === null ? 'FEED_MODE decides what web sites get.' : SAID[serves]
    const event = eventOf(name, actor, said)
    // The fence keeps a token that a refresh saves meanwhile.
    if (await deps.store.replace(name, account.version, { serves, ...sealedFor(deps, account, serves) }, event)) break
    if (tries === MAX_TRIES) throw new AppError('conflict', 'The account is being changed by others at this moment; try again.')
  }
  return published(deps, name, actor)
}

/** Lets any web site read the feed, or only those of the list. */
export async function setFeedOpen(deps: FeedDeps, name: string, isOpen: boolean, actor: Actor): Promise<StaleUntil> {
  mediaOf(deps, await findAccount(deps, name))
  const said = isOpen ? 'Any web site may read the feed.' : 'Only the web sites of the list may read the feed.'
  if (!(await deps.store.update(name, { feedOpen: isOpen }, eventOf(name, actor, said)))) throw gone()
  return published(deps, name, actor)
}

/** The owner says that the profile of the account's present user is public, so that its posts may be shown. */
export async function giveWord(deps: FeedDeps, name: string, actor: Actor): Promise<StaleUntil> {
  const account = await findAccount(deps, name)
  if (!mediaOf(deps, account).mayBePrivate) throw new AppError('invalid', 'The posts of this provider are public anyway.')
  if (account.providerUserId === null)
    throw new AppError('conflict', 'It is not known yet whose account this is: connect it, or wait until its token is checked.')
  const { store } = await deps.feeds.load()
  await store.giveWord(name, account.providerUserId)
  // With FEED_MODE=off the owner has yet to switch the feed on.
  const change: AccountChange = account.serves === null && deps.feedMode === 'on' ? { serves: 'both' } : {}
  if (!(await deps.store.update(name, change, eventOf(name, actor, 'The owner says that the profile is public.')))) throw gone()
  return published(deps, name, actor)
}

/** Fetches the posts now. Throws a sentence where that cannot be. */
export async function fetchFeed(deps: FeedDeps, name: string): Promise<FetchOutcome> {
  const account = await findAccount(deps, name)
  const view = await describeFeed(deps, account)
  if (view === null) throw noMedia(deps, account)
  if (view.serves === 'token') throw new AppError('conflict', 'The feed of this account is switched off; switch it on first.')
  if (view.publicWord === 'needed') throw new AppError('conflict', 'Say first that the profile is public.')
  if (account.pausedAt !== null) throw new AppError('conflict', 'The account is paused, so its posts are not fetched: resume it first.')
  if (account.providerUserId === null || account.state !== 'active' || !isServable(account, deps.store.now()))
    throw new AppError('conflict', 'The account has no token that works, so its posts cannot be fetched. Its page says what to do.')
  const { store, fetching } = await deps.feeds.load()
  await store.begin(name, account.providerUserId)
  const outcome = await fetching.byHand(name)
  if (outcome === null) throw new AppError('conflict', 'Another process fetches the posts at this moment; look again in a minute.')
  const failed = (await deps.feedSummaries.of([name])).get(name)?.lastError
  if (outcome === 'failed') throw new AppError('conflict', failed ?? 'The posts could not be fetched.')
  return outcome
}

/** Throws the posts and pictures away; the next reader has them fetched again. */
export async function clearFeed(deps: FeedDeps, name: string, actor: Actor): Promise<StaleUntil> {
  mediaOf(deps, await findAccount(deps, name))
  const { store, reader } = await deps.feeds.load()
  await store.clear(name)
  await deps.store.record(eventOf(name, actor, 'The feed was emptied: its posts and pictures were deleted.'))
  await reader.publish(name)
  return published(deps, name, actor)
}

/** The tokens, sealed for what the account gives. */
function sealedFor({ vault }: FeedDeps, account: Account, serves: Account['serves']): AccountChange {
  const again = (column: 'access_token' | 'refresh_token', sealed: string | null): string | null => {
    const token = sealed === null ? null : tryOpen(vault, sealed, accountContext(account, column))
    return token === null ? sealed : vault.seal(token, accountContext({ ...account, serves }, column))
  }
  if ((account.serves === 'feed') === (serves === 'feed')) return {}
  return { accessToken: again('access_token', account.accessToken), refreshToken: again('refresh_token', account.refreshToken) }
}

async function published(deps: FeedDeps, name: string, actor: Actor): Promise<StaleUntil> {
  const staleUntil = await publishChange(deps, name, actor)
  await deps.feeds.loaded()?.reader.publish(name)
  return staleUntil
}

function mediaOf({ providers }: Pick<FeedDeps, 'providers'>, account: Account): MediaAccess {
  const media = providers.get(account.provider)?.media
  if (media === undefined) throw noMedia({ providers }, account)
  return media
}

function noMedia({ providers }: Pick<FeedDeps, 'providers'>, { provider }: Account): AppError {
  return new AppError('invalid', `${providers.get(provider)?.title ?? provider} gives no posts to this agent, so there is no feed.`)
}

function eventOf(account: string, actor: Actor, detail: string) {
  return { account, kind: 'changed' satisfies EventKind, actor, outcome: 'ok', detail } as const
}

const gone = (): AppError => new AppError('not_found', 'This account has just been removed.')

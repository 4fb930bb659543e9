import { digest } from '../core/digest.ts'
import { AppError, ProviderError } from '../core/errors.ts'
import type { Media, PostPage } from '../core/media.ts'
import type { Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { accountContext, UnreadableError, type Vault } from '../core/vault.ts'
import { nextCheckAt } from '../refreshing/next-refresh.ts'
import type { RateLimit } from '../refreshing/rate-limit.ts'
import { type FeedClaim, type FeedPost, type FeedStore, isShown } from './feed.ts'
import { CONFIRMATION_MS, type FetchPolicy, nextFetchAt, nextTryAt } from './next-fetch.ts'
import { type PictureDeps, type Taken, takePictures } from './take-pictures.ts'

export interface FetchDeps extends Omit<PictureDeps, 'store'> {
  readonly store: Pick<FeedStore, 'addPicture' | 'makeRoom' | 'save' | 'fail' | 'confirm'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, Pick<Provider, 'media'>>
  /** Of the feeds' own calls; `refreshes`: of the refreshes, whose pause holds for feeds too. */
  readonly rateLimit: RateLimit
  readonly refreshes: Pick<RateLimit, 'pause' | 'isPaused'>
  readonly policy: FetchPolicy
  /** FEED_POSTS. */
  readonly limit: number
  readonly counters: FetchCounters
}

export type FetchOutcome = 'changed' | 'unchanged' | 'empty' | 'waits' | 'failed' | 'lost'
export type FetchCounters = Record<FetchOutcome, number>
export const createFetchCounters = (): FetchCounters => ({ changed: 0, unchanged: 0, empty: 0, waits: 0, failed: 0, lost: 0 })

/** The first posts of a feed are shown before all of its pictures are there. */
const FIRST_SHOWN_MS = 4_000
const WAIT_MS = 60_000
const LOOK_NEAR_MS = 12 * 3_600_000
const THOROUGH_EVERY_MS = 6 * 3_600_000
const FULL = 'The pictures of all feeds together have reached their limit, so'
const MAKE_ROOM = 'raise FEED_STORE_MB, or switch the feeds of other accounts off.'

/** One attempt: calls the provider without an open transaction; each write is fenced by the attempt's id. */
export async function fetchFeed(deps: FetchDeps, claim: FeedClaim, { isByHand = false } = {}): Promise<FetchOutcome> {
  const startedMs = deps.clockMs()
  const now = (): Date => new Date(claim.claimedAt.getTime() + deps.clockMs() - startedMs)
  const outcome = await attempt(deps, claim, { now, isByHand })
  deps.counters[outcome]++
  return outcome
}

interface Attempt {
  readonly now: () => Date
  readonly isByHand: boolean
}

async function attempt(deps: FetchDeps, claim: FeedClaim, { now, isByHand }: Attempt): Promise<FetchOutcome> {
  const { account, feed } = claim
  const { provider } = account
  // Refreshes go first: a feed waits where they are told to.
  if (deps.refreshes.isPaused(provider) || !deps.rateLimit.take(provider)) {
    await deps.store.fail(claim, { kind: 'waits', nextFetchAt: new Date(now().getTime() + WAIT_MS), lastError: feed.lastError })
    return 'waits'
  }
  // Four times a day, and when a person asks, everything is tried again that was given up: all fields, all pictures.
  const isThorough = isByHand || period(now()) !== period(feed.fetchedAt ?? now())
  let page: PostPage
  let media: Media
  try {
    const access = deps.providers.get(provider)?.media
    if (access === undefined) throw new ProviderError('misconfigured', 'The provider of this account gives no posts.')
    media = await access.load()
    const token = deps.vault.open(account.accessToken ?? '', accountContext(account, 'access_token'))
    page = await believable(media, token, { limit: deps.limit, isShort: feed.isShort && !isThorough })
  } catch (error) {
    return failed(deps, claim, error, now())
  }
  if (isLookNear(account.nextCheckAt, now())) await deps.store.confirm(claim, nextCheckAt(now(), deps.policy.random))
  if (page.isEmpty && (feed.posts?.length ?? 0) > 0 && !isConfirmed(feed.emptySince, now())) {
    const lastError = 'The provider listed no posts; they stay until it says so again.'
    await deps.store.fail(claim, { kind: 'empty', nextFetchAt: new Date(now().getTime() + CONFIRMATION_MS + WAIT_MS), lastError })
    return 'empty'
  }

  const result = (posts: readonly FeedPost[], { isLast, stopped = null }: { isLast: boolean; stopped?: Taken['stopped'] }) => {
    const isMissing = posts.some((post) => post.file !== null && post.picture === null && !(isShown(post) && isLast))
    // What this save deletes is room for the next fetch.
    const makesRoom = (feed.posts ?? []).some(({ id, picture }) => picture !== null && !posts.some((post) => post.id === id))
    const isIncomplete = isMissing && (stopped !== 'full' || makesRoom)
    return {
      posts,
      etag: etagOf(posts),
      isShort: page.isShort,
      isLast,
      lastError: stopped === 'full' ? `${FULL} new posts are not shown: ${MAKE_ROOM}` : null,
      nextFetchAt: nextFetchAt({ now: now(), readAt: feed.readAt, usagePercent: page.usagePercent, isIncomplete }, deps.policy),
    }
  }
  let isFirst = feed.posts === null
  const begunMs = deps.clockMs()
  const { posts, stopped } = await takePictures(deps, { claim, media, posts: page.posts, isThorough }, async (soFar) => {
    if (!isFirst || deps.clockMs() - begunMs < FIRST_SHOWN_MS || !soFar.some(isShown)) return
    isFirst = false
    if ((await deps.store.save(claim, result([...soFar], { isLast: false }))) !== null) await deps.publish(account.name)
  })
  if (stopped === 'full' && feed.posts === null) return full(deps, claim, now())
  const last = result(posts, { isLast: true, stopped })
  if (last.lastError !== null) deps.log.warn({ account: account.name }, last.lastError)
  const version = stopped === 'void' ? null : await deps.store.save(claim, last)
  if (version === null) return 'lost'
  if (version === feed.version) return 'unchanged'
  await deps.publish(account.name)
  return 'changed'
}

/** Throws where no post of the answer is one. An empty page that has a next one is not the end. */
async function believable(media: Media, token: Secret, request: { limit: number; isShort: boolean }): Promise<PostPage> {
  let page = await media.posts(token, request)
  if (page.isEmpty && page.after !== null) page = await media.posts(token, { ...request, isShort: page.isShort, after: page.after })
  if (page.posts.length === 0 && page.refused > 0) {
    throw new ProviderError('transient', 'None of the posts in the answer could be read; the last posts stay, and the agent asks again.')
  }
  return page
}

/** Not at each poll: most of the day the planned look is far away. */
const isLookNear = (at: Date | null, now: Date): boolean => at !== null && at.getTime() - now.getTime() < LOOK_NEAR_MS

async function full(deps: FetchDeps, claim: FeedClaim, now: Date): Promise<FetchOutcome> {
  const lastError = `${FULL} this account has no feed: ${MAKE_ROOM}`
  deps.log.warn({ account: claim.account.name }, lastError)
  await deps.store.fail(claim, { kind: 'full', nextFetchAt: nextTryAt(now, claim.feed.failures, null, deps.policy), lastError })
  return 'failed'
}

const period = (at: Date): number => Math.floor(at.getTime() / THOROUGH_EVERY_MS)

const isConfirmed = (since: Date | null, now: Date): boolean => since !== null && now.getTime() - since.getTime() >= CONFIRMATION_MS

async function failed(deps: FetchDeps, claim: FeedClaim, error: unknown, now: Date): Promise<FetchOutcome> {
  if (error instanceof AppError || !(error instanceof ProviderError || error instanceof UnreadableError)) throw error
  const { account, feed } = claim
  const isProviders = error instanceof ProviderError
  // The limit of all holds for refreshes too.
  if (isProviders && error.concernsAll)
    for (const limit of [deps.rateLimit, deps.refreshes]) limit.pause(account.provider, error.retryAfterSeconds)
  deps.log.warn({ account: account.name }, `the posts could not be fetched: ${error.message}`)
  await deps.store.fail(claim, {
    kind: isProviders && error.kind === 'reconnect' ? 'refused' : 'failed',
    nextFetchAt: nextTryAt(now, feed.failures, isProviders ? error.retryAfterSeconds : null, deps.policy),
    lastError: error.message,
  })
  return 'failed'
}

/** Of what readers see. */
function etagOf(posts: readonly FeedPost[]): string {
  return digest(JSON.stringify(posts.filter(isShown).map(({ file, tries, ...shown }) => shown)))
}

import type { Account } from '../core/account.ts'
import type { Post } from '../core/media.ts'

// What a feed is, and what the store does with it.

/** A picture of a post, kept in a few widths, the smallest first. */
export interface StoredPicture {
  /** 32 hexadecimal digits of the hash of what was downloaded. */
  readonly name: string
  readonly type: 'image/webp' | 'image/jpeg' | 'image/png'
  readonly width: number
  readonly height: number
  /** Such as #b7a18c; null = not known. */
  readonly color: string | null
  readonly sizes: readonly { readonly width: number; readonly height: number }[]
}

/** A post as it is stored. No address of the provider's picture is stored, for it is signed and dies. */
export interface FeedPost extends Omit<Post, 'picture'> {
  readonly picture: StoredPicture | null
  /** The name of the picture's file at the provider, which tells whether it is known; null = the post has no picture. */
  readonly file: string | null
  /** How often the picture could not be had. After the third time the post is shown without it. */
  readonly tries: number
}

export const MAX_TRIES = 3

/** A post appears when its picture is there, or cannot be had. */
export function isShown({ picture, file, tries }: FeedPost): boolean {
  return picture !== null || file === null || tries >= MAX_TRIES
}

export interface Feed {
  readonly userId: string
  /** When the owner said that the profile is public; null = not yet. */
  readonly publicWordAt: Date | null
  /** All posts, also those whose picture is still missing; null = none were fetched. */
  readonly posts: readonly FeedPost[] | null
  /** A digest of what readers see of them; null = none were fetched. */
  readonly etag: string | null
  readonly postCount: number
  readonly version: number
  /** Of its pictures. */
  readonly bytes: number
  readonly changedAt: Date | null
  /** The last good answer. */
  readonly fetchedAt: Date | null
  readonly readAt: Date
  readonly nextFetchAt: Date
  readonly failures: number
  readonly emptySince: Date | null
  readonly isShort: boolean
  readonly lastError: string | null
}

/** An account and its feed at one moment. */
export interface FeedLook {
  /** The database's time of the query. */
  readonly at: Date
  readonly cacheId: string | null
  /** Null = it never existed. */
  readonly account: Account | null
  readonly isRemoved: boolean
  /** Null = no feed of the account's present user. */
  readonly feed: Feed | null
}

/** A feed that only this process fetches until its lease lapses. */
export interface FeedClaim {
  readonly account: Account
  readonly feed: Feed
  readonly attemptId: string
  /** By the database's clock. */
  readonly claimedAt: Date
}

export interface FeedClaimRequest {
  readonly limit: number
  /** Only this account. */
  readonly account?: string
  /** Also where it is not due; leases still hold. */
  readonly isForced?: boolean
}

/** The outcome of a fetch. */
export interface FeedResult {
  readonly posts: readonly FeedPost[]
  /** A digest of what readers see. */
  readonly etag: string
  readonly isShort: boolean
  readonly nextFetchAt: Date
  /** False = the attempt goes on: this is what it has so far. */
  readonly isLast: boolean
  /** What is missing in the posts. */
  readonly lastError: string | null
}

/**
 * `waits`: the provider was not asked. `empty`: it lists nothing, which is not believed yet. `refused`: it refuses the token,
 * whose refresh, which judges, is due at once. `full`: there is no room for a feed that has no posts yet.
 */
export interface FeedFailure {
  readonly kind: 'waits' | 'empty' | 'failed' | 'refused' | 'full'
  readonly nextFetchAt: Date
  readonly lastError: string | null
}

export interface PictureBytes {
  readonly type: string
  readonly bytes: Uint8Array
}

/** `full`: the pictures of all feeds together have reached their limit: `makeRoom` may help. `void`: another process took over, or the feed is gone. */
export type PictureOutcome = 'kept' | 'full' | 'void'

/** A feed without its posts. */
export interface FeedSummary extends Omit<Feed, 'posts' | 'etag'> {
  readonly account: string
  /** No good answer for six hours, although the agent has asked. */
  readonly isFailing: boolean
}

/** How much all feeds hold. */
export interface FeedTotals {
  readonly feeds: number
  readonly failing: number
  readonly posts: number
  readonly bytes: number
}

/** What an agent asks of feeds before it loads their code. */
export interface FeedSummaries {
  /** True where a feed may be due, or there is one to throw away. */
  hasWork(): Promise<boolean>
  totals(): Promise<FeedTotals>
  /** By account; a feed of another user than the present one is left out. */
  of(accounts: readonly string[]): Promise<ReadonlyMap<string, FeedSummary>>
}

export interface FeedStoreOptions {
  /** Providers with posts; those whose accounts give a feed without their owner's decision; those that wait for a word. */
  readonly providers: { readonly all: readonly string[]; readonly byDefault: readonly string[]; readonly private: readonly string[] }
  readonly leaseSeconds: number
  /** For the pictures of all feeds together. */
  readonly maxBytes: number
}

export interface FeedStore {
  /** Posts whose `etag` is `known` are not read again: they come back as null. */
  look(name: string, known?: string | null): Promise<FeedLook>
  /** Creates the feed of this user where the account has none, and makes one without posts due. */
  begin(name: string, userId: string): Promise<void>
  /** The owner says that the profile of the account's user is public. */
  giveWord(name: string, userId: string): Promise<void>
  /** Gives each due, unleased feed to one caller. */
  claim(request: FeedClaimRequest): Promise<FeedClaim[]>
  /** Keeps a picture in all its widths, and the lease with it. */
  addPicture(claim: FeedClaim, picture: StoredPicture, bytes: readonly Uint8Array[]): Promise<PictureOutcome>
  /** Empties the feeds that were not read for a week, and returns their accounts. */
  makeRoom(): Promise<readonly string[]>
  /** The feed's new version, and deletes the pictures that no post names any more; null = the attempt is void. */
  save(claim: FeedClaim, result: FeedResult): Promise<number | null>
  fail(claim: FeedClaim, failure: FeedFailure): Promise<void>
  /** A good answer tells as much as the daily look at the token, which is not needed until then. */
  confirm(claim: FeedClaim, nextCheckAt: Date): Promise<void>
  picture(account: string, name: string, width: number): Promise<PictureBytes | null>
  /** These feeds were read just now. */
  touch(names: readonly string[]): Promise<void>
  /** Throws posts and pictures away; the next read fetches again. False where there was none. */
  clear(name: string): Promise<boolean>
  /** Throws away what was not confirmed for two weeks, and what belongs to no present user. */
  sweep(): Promise<readonly string[]>
}

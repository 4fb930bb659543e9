import type { Secret } from './secret.ts'

/** What a provider hands out. Lifetimes are in seconds from the moment of the answer. */
export interface Grant {
  readonly accessToken: Secret
  /** Only for providers that have one (TikTok); Instagram's access token renews itself. */
  readonly refreshToken: Secret | null
  readonly expiresInSeconds: number
  readonly refreshExpiresInSeconds: number | null
}

export interface Profile {
  readonly userId: string
  readonly username: string | null
  /** The id that the provider gives the user towards this app alone, where it has one. */
  readonly appUserId: string | null
}

/** One that a browser can only look at: nothing in these formats runs. */
export interface Picture {
  readonly type: 'image/jpeg' | 'image/png' | 'image/webp'
  readonly bytes: Uint8Array
}

/** Each call throws `ProviderError` and nothing else, within its own time limit. */
export interface Provider {
  readonly name: string
  /** How its sentences end where only a new token helps: a page says in its place what works there. */
  readonly makeNewToken: string
  /** How old a token must be before the provider refreshes it, in seconds. */
  readonly minimumAgeSeconds: number
  /** The longest life of a token that the provider documents: no answer and no owner is believed beyond it. */
  readonly maximumLifeSeconds: number
  /** The longest that one call may take; a lease must outlast it. */
  readonly timeoutMs: number
  refresh(held: { accessToken: Secret; refreshToken: Secret | null }): Promise<Grant>
  profile(accessToken: Secret): Promise<Profile>
  /** The user's own picture, fetched from wherever the provider keeps it; null = the user has none. */
  picture(accessToken: Secret): Promise<Picture | null>
}

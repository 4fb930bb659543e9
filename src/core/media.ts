import type { Secret } from './secret.ts'

/** A picture in a format that cannot hold scripts. */
export interface Picture {
  readonly type: 'image/jpeg' | 'image/png' | 'image/webp'
  readonly bytes: Uint8Array
}

/** A post whose fields have passed the provider's checks. */
export interface Post {
  readonly id: string
  readonly mediaType: string
  readonly productType: string | null
  /** On one of the provider's own hosts. */
  readonly permalink: string
  /** As the provider writes it; a parsable instant. */
  readonly timestamp: string
  readonly username: string | null
  readonly caption: string | null
  readonly altText: string | null
  readonly children: readonly { readonly id: string; readonly mediaType: string }[]
  /** The picture's signed address, which dies within days, and the name of its file, which stays. Null = the post has none. */
  readonly picture: { readonly url: string; readonly file: string } | null
}

export interface PostPage {
  readonly posts: readonly Post[]
  /** How many posts of the answer have failed the checks. */
  readonly refused: number
  /** True where the answer lists no post of the user's own. */
  readonly isEmpty: boolean
  /** The cursor of the next page; null = this is the last. */
  readonly after: string | null
  /** The part of the rate limit that is used up, in percent; 0 = not told. */
  readonly usagePercent: number
  /** The token may not read all fields, so the answer has only those that every token may. */
  readonly isShort: boolean
}

export interface PostRequest {
  readonly limit: number
  readonly after?: string
  /** The token is known not to read all fields. */
  readonly isShort: boolean
}

/** Each call throws only `ProviderError`, within the provider's time limit. */
export interface Media {
  /** The newest posts of the token's user, newest first. */
  posts(accessToken: Secret, request: PostRequest): Promise<PostPage>
  /** The bytes at a post's picture address, from the provider's own hosts alone. */
  picture(url: string): Promise<Picture>
}

/** A provider that gives posts. Its code is loaded with the first feed. */
export interface MediaAccess {
  /** True where a token reads posts of a profile that may not be public, so the owner must say that it is. */
  readonly mayBePrivate: boolean
  /** The address of a user's page. */
  profileUrl(username: string): string
  load(): Promise<Media>
}

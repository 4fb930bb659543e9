// Behaviour that PROVIDERS.md marks as unverified, or as seen both ways, is a knob here and never an assumption elsewhere.

export interface Knobs {
  /** Which service of the Graph API the stand-in is. */
  service: 'instagram' | 'threads'
  /** Token answers and profiles: flat as observed, or inside `{"data":[…]}` as documented. */
  tokenShape: 'flat' | 'data'
  profileShape: 'flat' | 'data'
  userIdAs: 'number' | 'string'
  permissionsAs: 'list' | 'string'
  refreshedString: 'new' | 'same'
  /** What a refresh names as the token's permissions; null = nothing. */
  refreshPermissions: string | null
  oldString: 'valid' | 'invalid'
  /** How long an `invalid` old string still works after its replacement. */
  graceSeconds: number
  /** A younger token is not refreshed; 0 = never refused for its age. */
  minimumAgeSeconds: number
  tooYoungCode: 100 | 10 | 190
  lifetimeSeconds: number
  shortLifetimeSeconds: number
  /** `right`, `absent`, or any JSON text: `0`, `-5`, `"5183944"`, `1e999`, `null`, … */
  expiresIn: string
  /** The text of every token issued from now on; null = a fresh IGAA… each time. */
  tokenText: string | null
  /** The user whose profile `/me` returns and whose token a refresh issues; null = the right user. */
  profileUser: string | null
  refreshUser: string | null
  /** `right`, `absent`, or any address. */
  pictureUrl: string
  personalAccounts: 'refused' | 'allowed'
  /** Threads alone. `ends`: what a private profile has granted ends after 90 days, however often it is refreshed. */
  privateProfiles: 'ends' | 'lasts'
  codeLifetimeSeconds: number
  urlencoded: 'accepted' | 'refused'
  secretErrorShape: 'graph' | 'legacy'
  /** The person's decision on the authorize page; `page` = shows two buttons. */
  consent: 'approve' | 'deny' | 'page'
  denialState: 'with' | 'without'
  /** The user at the authorize page; null = a new user each time. */
  signedInAs: string | null
  mediaCount: number
  /** In turn the captions and alternative texts of the posts; null = the usual ones. */
  captions: readonly string[] | null
  /** The first post has no picture, the second no permalink, the third no caption, and the first video no still picture. */
  mediaGaps: boolean
  /** The number of the newest post; a higher one = that many new posts. */
  newestPost: number
  deletedPosts: number[]
  /** The posts exactly as they are sent; null = made by their numbers. */
  posts: unknown[] | null
  /** `meta`: picture addresses of Meta's hosts, where nothing answers. `own`: signed addresses of the stand-in, which expire. */
  postPictures: 'meta' | 'own'
  pictureLifeSeconds: number
  /** What a picture's server sends in place of a picture, such as HTML; null = the picture. */
  pictureBytes: Buffer | ((path: string) => Buffer) | null
  /** `eight`: the token may read only the fields of instafeed.js. */
  mediaFields: 'all' | 'eight'
  /** An empty first page that has a next one. */
  emptyFirstPage: boolean
  /** The used part of the rate limit, in percent; null = the headers are missing. */
  usagePercent: number | null
  /** Threads alone: each third post is a repost and each fourth a reply. */
  foreignPosts: boolean
}

export const DEFAULT_KNOBS: Readonly<Knobs> = {
  service: 'instagram',
  tokenShape: 'flat',
  profileShape: 'flat',
  userIdAs: 'number',
  permissionsAs: 'list',
  refreshedString: 'new',
  refreshPermissions: null,
  oldString: 'valid',
  graceSeconds: 0,
  minimumAgeSeconds: 86_400,
  tooYoungCode: 100,
  lifetimeSeconds: 5_183_944,
  shortLifetimeSeconds: 3600,
  expiresIn: 'right',
  tokenText: null,
  profileUser: null,
  refreshUser: null,
  pictureUrl: 'right',
  personalAccounts: 'refused',
  privateProfiles: 'ends',
  codeLifetimeSeconds: 3600,
  urlencoded: 'accepted',
  secretErrorShape: 'graph',
  consent: 'approve',
  denialState: 'with',
  signedInAs: null,
  mediaCount: 60,
  captions: null,
  mediaGaps: false,
  newestPost: 0,
  deletedPosts: [],
  posts: null,
  postPictures: 'meta',
  pictureLifeSeconds: 4 * 86_400,
  pictureBytes: null,
  mediaFields: 'all',
  emptyFirstPage: false,
  usagePercent: null,
  foreignPosts: false,
}

// What differs between the services of the Graph API that the stand-in answers as: PROVIDERS.md, sections A and B.

export interface GraphServiceNames {
  readonly grantTypes: { readonly exchange: string; readonly refresh: string }
  readonly mePath: string
  readonly mediaPath: string
  readonly errorType: string
  /** The first one is required. */
  readonly scopes: readonly string[]
  readonly userFields: readonly string[]
  readonly pictureField: string
  /** The service’s own app. */
  readonly app: { readonly clientId: string; readonly clientSecret: string; readonly redirectUri: string }
}

export const SERVICES = {
  instagram: {
    grantTypes: { exchange: 'ig_exchange_token', refresh: 'ig_refresh_token' },
    mePath: '/me',
    mediaPath: '/me/media',
    errorType: 'IGApiException',
    scopes: ['basic', 'content_publish', 'manage_comments', 'manage_messages', 'manage_insights'].map(
      (name) => `instagram_business_${name}`,
    ),
    userFields: ['id', 'user_id', 'username', 'name', 'account_type', 'profile_picture_url', 'followers_count', 'media_count'],
    pictureField: 'profile_picture_url',
    app: {
      clientId: '990602627938098',
      clientSecret: 'a-secret-of-the-instagram-app',
      redirectUri: 'https://agent.example/connect/instagram/callback',
    },
  },
  threads: {
    grantTypes: { exchange: 'th_exchange_token', refresh: 'th_refresh_token' },
    mePath: '/v1.0/me',
    mediaPath: '/v1.0/me/threads',
    errorType: 'THApiException',
    scopes: ['basic', 'content_publish', 'manage_replies', 'read_replies', 'manage_insights'].map((name) => `threads_${name}`),
    userFields: ['id', 'username', 'name', 'threads_profile_picture_url', 'threads_biography', 'is_verified'],
    pictureField: 'threads_profile_picture_url',
    app: {
      clientId: '880602627938097',
      clientSecret: 'a-secret-of-the-threads-app',
      redirectUri: 'https://agent.example/connect/threads/callback',
    },
  },
} as const satisfies Record<string, GraphServiceNames>

/** The Meta app that both services’ apps belong to. Its ID is not theirs: Threads answers it with error 4476002. */
export const META_APP_ID = '770602627938096'

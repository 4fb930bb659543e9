import { createGraphConnect, type GraphConnectOptions } from '../graph/connect.ts'
import { createGraph, type GraphOptions } from '../graph/graph.ts'
import type { GraphService } from '../graph/service.ts'
import { SETUP } from './setup.ts'

// https://developers.facebook.com/docs/threads/get-started/get-access-tokens-and-permissions
// https://developers.facebook.com/docs/threads/get-started/long-lived-tokens

const BASIC = 'threads_basic'

const THREADS: GraphService = {
  title: 'Threads',
  site: 'threads.com',
  permission: BASIC,
  grantTypes: { exchange: 'th_exchange_token', refresh: 'th_refresh_token' },
  mePath: '/v1.0/me',
  fields: { userId: 'id', appUserId: null, picture: 'threads_profile_picture_url', accountType: null },
  // https://developers.facebook.com/docs/threads/retrieve-and-discover-posts/retrieve-posts
  media: {
    path: '/v1.0/me/threads',
    fields:
      'id,media_type,media_product_type,media_url,thumbnail_url,permalink,timestamp,username,text,alt_text,is_reply,children{id,media_type}',
    shortFields: 'id,media_type,media_url,thumbnail_url,permalink,text,timestamp,username,is_reply',
    caption: 'text',
    types: ['TEXT_POST', 'IMAGE', 'VIDEO', 'CAROUSEL_ALBUM', 'AUDIO'],
    foreignTypes: ['REPOST_FACADE'],
    hosts: ['www.threads.com', 'www.threads.net', 'threads.com', 'threads.net'],
    // The token of a private profile reads its posts too.
    mayBePrivate: true,
    profile: 'https://www.threads.com/@',
  },
  permissionsPath: null,
  setup: SETUP,
  isPublicSafe: (scopes) => scopes === BASIC,
  words: {
    makeNewToken:
      'make a new token in the app dashboard (use case “Access the Threads API”, “User Token Generator”) and give it to the agent.',
    copyCredentials: 'copy the Threads app’s from the use case “Access the Threads API”, “Settings”; the Meta app has others.',
    copyToConnect:
      'Copy the Threads app ID and secret from the Meta App Dashboard (use case “Access the Threads API”, “Settings”; not those of the Meta app) into THREADS_APP_ID and THREADS_APP_SECRET, restart the agent and connect again.',
    redirectPlace: 'in the use case “Access the Threads API”, “Settings”, as a redirect callback URL',
    unsupported:
      'Threads refuses the token without saying why. Check three things: the token is one of Threads (not of Instagram or Facebook); the account has accepted its tester invitation; the app secret is the Threads app’s, not the Meta app’s.',
    notLetIn: [
      'Threads gave access and then refused it, without saying why: the tester invitation is pending, or the app has not been reviewed.',
      'In Threads, accept the invitation (Settings, “Account”, “Website permissions”, “Invites”); then connect again.',
    ],
    // https://developers.facebook.com/docs/threads/get-started
    permissionEnds: ' The permission of a private profile ends after 90 days: make the profile public, or connect it again every 90 days.',
  },
}

export const createThreads = (options: GraphOptions) => createGraph(THREADS, options)
export const createThreadsConnect = (options: GraphConnectOptions) => createGraphConnect(THREADS, options)

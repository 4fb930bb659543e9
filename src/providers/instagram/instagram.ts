import { createGraphConnect, type GraphConnectOptions } from '../graph/connect.ts'
import { createGraph, type GraphOptions } from '../graph/graph.ts'
import type { GraphService } from '../graph/service.ts'
import { SETUP } from './setup.ts'

// https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/business-login
// https://developers.facebook.com/docs/instagram-platform/reference/refresh_access_token

export const MAKE_NEW_TOKEN =
  'make a new token in the app dashboard (Instagram, “API setup with Instagram login”) and give it to the agent.'

const BASIC = 'instagram_business_basic'

const INSTAGRAM: GraphService = {
  title: 'Instagram',
  site: 'instagram.com',
  permission: BASIC,
  grantTypes: { exchange: 'ig_exchange_token', refresh: 'ig_refresh_token' },
  mePath: '/me',
  // `user_id` is the account's id. `id` is app-scoped: it would make the same account look like another one with a token of
  // another app.
  fields: { userId: 'user_id', appUserId: 'id', picture: 'profile_picture_url', accountType: 'account_type' },
  // https://developers.facebook.com/docs/instagram-platform/reference/instagram-media
  media: {
    path: '/me/media',
    fields:
      'id,media_type,media_product_type,media_url,thumbnail_url,permalink,timestamp,username,caption,alt_text,children{id,media_type}',
    // Those of instafeed.js, which every token of the last years could read.
    shortFields: 'caption,id,media_type,media_url,permalink,thumbnail_url,timestamp,username',
    caption: 'caption',
    types: ['IMAGE', 'VIDEO', 'CAROUSEL_ALBUM'],
    foreignTypes: [],
    hosts: ['www.instagram.com'],
    mayBePrivate: false,
    profile: 'https://www.instagram.com/',
  },
  // The Graph API's way to revoke a user's permissions; not documented for Instagram Login.
  permissionsPath: '/me/permissions',
  setup: SETUP,
  // A token of the dashboard does not tell its scopes. It was always served, so it still is.
  isPublicSafe: (scopes) => scopes === null || scopes === BASIC,
  words: {
    makeNewToken: MAKE_NEW_TOKEN,
    copyCredentials: 'copy both from “API setup with Instagram login”, not from the app’s basic settings.',
    copyToConnect:
      'Copy both from the Meta App Dashboard (Instagram, “API setup with Instagram login”, not the app’s basic settings) into INSTAGRAM_APP_ID and INSTAGRAM_APP_SECRET, restart the agent and connect again.',
    redirectPlace: 'under Instagram, “API setup with Instagram login”, “Set up Instagram business login”',
    unsupported:
      'Instagram refuses the token without saying why. Check three things: the token was made under “API setup with Instagram login” (not Basic Display, not Facebook Login); the account has accepted its tester invitation; the app secret is the Instagram app’s.',
    notLetIn: [
      'Instagram gave access and then refused it, without saying why: the tester invitation is pending, or the account is a personal one.',
      'In Instagram, accept the invitation (Settings, “Apps and websites”, “Tester invites”) and make the account a Business or Creator account; then connect again.',
    ],
    permissionEnds: '',
  },
}

export const createInstagram = (options: GraphOptions) => createGraph(INSTAGRAM, options)
export const createInstagramConnect = (options: GraphConnectOptions) => createGraphConnect(INSTAGRAM, options)

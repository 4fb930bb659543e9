import type { GraphService } from '../graph/service.ts'

const MAKE_NEW_TOKEN = 'make a new user token of Facebook with all permissions of the app and give it to the agent.'

/** Facebook among the services of the Graph API: the names and words of its refusals. */
export const FACEBOOK: Pick<GraphService, 'title' | 'site' | 'permission' | 'words'> = {
  title: 'Facebook',
  site: 'facebook.com',
  permission: 'instagram_basic',
  words: {
    makeNewToken: MAKE_NEW_TOKEN,
    copyCredentials: 'copy the app’s ID and secret from the Meta App Dashboard, “App settings”, “Basic”.',
    copyToConnect:
      'Copy the app ID and secret from the Meta App Dashboard (“App settings”, “Basic”) into FACEBOOK_APP_ID and FACEBOOK_APP_SECRET, restart the agent and connect again.',
    redirectPlace: 'in the settings of “Facebook Login for Business”, under “Valid OAuth Redirect URIs”',
    unsupported:
      'Facebook refuses the token without saying why. Check three things: it is a user token of this app at Facebook (not of another app, nor of Instagram or Threads); the app is published, or the user has a role in it; FACEBOOK_APP_SECRET is this app’s.',
    notLetIn: [
      'Facebook gave access and then refused it, without saying why: the app is not published and the user has no role in it, or a permission is not reviewed.',
      'In the Meta App Dashboard give the user a role under “App roles”, or publish the app; then connect again.',
    ],
    permissionEnds: '',
  },
}

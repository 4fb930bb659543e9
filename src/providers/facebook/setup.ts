import type { SetupWords } from '../../core/provider.ts'
import { needsHttps } from '../graph/needs-https.ts'

const DASHBOARD = '<a href="https://developers.facebook.com/apps/">Meta App Dashboard</a>'
const httpsOnly = needsHttps('Facebook')
const value = (text: string): string => `<span class="value"><code>${text}</code></span>`

// https://developers.facebook.com/docs/instagram-platform/instagram-api-with-facebook-login
export const SETUP: SetupWords = {
  place: 'Meta',
  aToken: 'A Facebook token',
  tokenBegins: 'EAA…',
  appVariables: ['FACEBOOK_APP_ID', 'FACEBOOK_APP_SECRET'],
  appSteps: (redirect) => [
    `In the ${DASHBOARD} create an app and add the product “Facebook Login for Business”.`,
    `In its settings register this redirect URI under “Valid OAuth Redirect URIs”: ${value(redirect)}${httpsOnly(redirect)}`,
    `Copy the app ID and secret from “App settings”, “Basic” into these variables, and restart the agent. ${value('FACEBOOK_APP_ID')} ${value('FACEBOOK_APP_SECRET')}`,
  ],
  allSteps: ({ redirect, callbacks }) => [
    `In the ${DASHBOARD} create an app of type “Business” and add the products “Facebook Login for Business” and “Instagram”.`,
    'Copy the app ID and secret from “App settings”, “Basic” into the variables <code>FACEBOOK_APP_ID</code> and <code>FACEBOOK_APP_SECRET</code> of this agent, and restart it.',
    `In the settings of the login and under “App settings”, “Advanced” fill in:
<dl>
<dt>Valid OAuth Redirect URIs</dt><dd class="value"><code>${redirect}</code></dd>
<dt>Deauthorize callback URL</dt><dd class="value"><code>${callbacks}/deauthorize</code></dd>
<dt>Data deletion request URL</dt><dd class="value"><code>${callbacks}/delete</code></dd>
</dl>${httpsOnly(redirect)}`,
    'The Instagram account must be a Business or Creator account, linked to a Facebook Page on which you have a task. A Page of a business portfolio is listed only with the permission <code>business_management</code>, which the agent asks for.',
    'Press “Connect Facebook” here, choose the Page and its Instagram account at Facebook, then choose the account here. Meta wants the approval again 90 days after you last used the app: the agent tells you the date ahead.',
  ],
  readOnly: 'use Instagram’s own login instead: no token of Facebook Login can only read, for each leads to the tokens of Pages.',
  makeToken:
    'A long-lived user token of Facebook, of a person with a task on the Page. Connecting the account here is the shorter way: it needs no token.',
}

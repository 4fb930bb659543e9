import type { SetupWords } from '../../core/provider.ts'
import { needsHttps } from '../graph/needs-https.ts'

const DASHBOARD = '<a href="https://developers.facebook.com/apps/">Meta App Dashboard</a>'
const httpsOnly = needsHttps('Instagram')
const value = (text: string): string => `<span class="value"><code>${text}</code></span>`

export const SETUP: SetupWords = {
  place: 'Meta',
  aToken: 'An Instagram token',
  tokenBegins: 'IGAA…',
  appVariables: ['INSTAGRAM_APP_ID', 'INSTAGRAM_APP_SECRET'],
  appSteps: (redirect) => [
    `In the ${DASHBOARD} create an app and add the product “Instagram”.`,
    `Under “API setup with Instagram login” register this redirect URI: ${value(redirect)}${httpsOnly(redirect)}`,
    `Copy the Instagram app ID and secret from there into these variables, and restart the agent. ${value('INSTAGRAM_APP_ID')} ${value('INSTAGRAM_APP_SECRET')}`,
  ],
  allSteps: ({ redirect, callbacks }) => [
    `In the ${DASHBOARD} create an app of type “Business” and add the product “Instagram”.`,
    'Open “API setup with Instagram login”. Copy the <em>Instagram</em> app ID and secret there (not those of the app’s basic settings) into the variables <code>INSTAGRAM_APP_ID</code> and <code>INSTAGRAM_APP_SECRET</code> of this agent, and restart it.',
    `Under “Set up Instagram business login” open the settings, and fill in:
<dl>
<dt>OAuth redirect URI</dt><dd class="value"><code>${redirect}</code></dd>
<dt>Deauthorize callback URL</dt><dd class="value"><code>${callbacks}/deauthorize</code></dd>
<dt>Data deletion request URL</dt><dd class="value"><code>${callbacks}/delete</code></dd>
</dl>${httpsOnly(redirect)}`,
    'While the app is in development mode, invite the account under “App roles” as an Instagram tester, and accept the invitation in Instagram: Settings, “Apps and websites”, “Tester invites”. The account must be a Business or Creator account.',
    'Press “Connect Instagram” here. If Instagram says “Invalid redirect_uri”, the first of these addresses is not registered letter by letter.',
  ],
  readOnly:
    'leave the variable <code>INSTAGRAM_SCOPES</code> unset, so that the agent asks for <code>instagram_business_basic</code> alone, and connect the account again.',
  makeToken: `A long-lived one, of a professional (Business or Creator) account. To get one, open your app in the ${DASHBOARD}, choose “Instagram”, then “API setup with Instagram login”, add the account and press “Generate token”.`,
}

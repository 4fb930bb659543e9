import type { SetupWords } from '../../core/provider.ts'
import { needsHttps } from '../graph/needs-https.ts'

const DASHBOARD = '<a href="https://developers.facebook.com/apps/">Meta App Dashboard</a>'
const httpsOnly = needsHttps('Threads')
const value = (text: string): string => `<span class="value"><code>${text}</code></span>`

// https://developers.facebook.com/docs/development/create-an-app/threads-use-case
export const SETUP: SetupWords = {
  place: 'Meta',
  aToken: 'A Threads token',
  tokenBegins: 'THAA…',
  appVariables: ['THREADS_APP_ID', 'THREADS_APP_SECRET'],
  appSteps: (redirect) => [
    `In the ${DASHBOARD} create an app with the use case “Access the Threads API”.`,
    `In the use case open “Settings” and register this redirect URI: ${value(redirect)}${httpsOnly(redirect)}`,
    `Copy the <em>Threads</em> app ID and secret from there into these variables, and restart the agent. ${value('THREADS_APP_ID')} ${value('THREADS_APP_SECRET')}`,
  ],
  allSteps: ({ redirect, callbacks }) => [
    `In the ${DASHBOARD} create an app with the use case “Access the Threads API”. It needs the permission <code>threads_basic</code> alone.`,
    'In the use case open “Settings”. Copy the <em>Threads</em> app ID and secret there into the variables <code>THREADS_APP_ID</code> and <code>THREADS_APP_SECRET</code> of this agent, and restart it. The Meta app has another ID: with that one Threads shows error 4476002.',
    `On the same page fill in:
<dl>
<dt>Redirect callback URL</dt><dd class="value"><code>${redirect}</code></dd>
<dt>Uninstall (deauthorize) callback URL</dt><dd class="value"><code>${callbacks}/deauthorize</code></dd>
<dt>Delete (data deletion) callback URL</dt><dd class="value"><code>${callbacks}/delete</code></dd>
</dl>${httpsOnly(redirect)}`,
    'While the app is not published, add the account under “App roles” as a Threads tester, and accept the invitation in Threads: Settings, “Account”, “Website permissions”, “Invites”.',
    'Press “Connect Threads” here. The permission of a private profile ends after 90 days: make the profile public, or connect it again every 90 days.',
  ],
  readOnly:
    'leave the variable <code>THREADS_SCOPES</code> unset, so that the agent asks for <code>threads_basic</code> alone, and connect the account again.',
  makeToken: `A long-lived one of Threads. To get one, open your app in the ${DASHBOARD}, choose the use case “Access the Threads API”, then “Settings”, add the account as a Threads tester and press “Generate token” under “User Token Generator”.`,
}

import type { SetupWords } from '../../core/provider.ts'

const PORTAL = '<a href="https://developers.tiktok.com/apps">TikTok for Developers</a>'
const value = (text: string): string => `<span class="value"><code>${text}</code></span>`
const https = (redirect: string): string =>
  redirect.startsWith('https:')
    ? ''
    : ' TikTok sends people back to addresses with <code>https://</code> alone: give this agent one, and put it into the variable <code>APP_URL</code>.'

// https://developers.tiktok.com/doc/login-kit-web
export const SETUP: SetupWords = {
  place: 'TikTok',
  aToken: 'A TikTok token',
  tokenBegins: 'rft.…',
  appVariables: ['TIKTOK_CLIENT_KEY', 'TIKTOK_CLIENT_SECRET'],
  appSteps: (redirect) => [
    `At ${PORTAL} connect an app and add the product “Login Kit”, for the web.`,
    `Under “Login Kit” register this redirect URI: ${value(redirect)}${https(redirect)}`,
    `Copy the client key and the client secret from there into these variables, and restart the agent. ${value('TIKTOK_CLIENT_KEY')} ${value('TIKTOK_CLIENT_SECRET')}`,
  ],
  allSteps: ({ redirect }) => [
    `At ${PORTAL} press “Connect an app”, and add the product “Login Kit”, for the web. The scope <code>user.info.basic</code> is there from the start; add the others that your pages need, and name all of them in the variable <code>TIKTOK_SCOPES</code>.`,
    `Under “Login Kit” register this redirect URI, letter by letter: ${value(redirect)}${https(redirect)}`,
    'Copy the client key and the client secret into the variables <code>TIKTOK_CLIENT_KEY</code> and <code>TIKTOK_CLIENT_SECRET</code> of this agent, and restart it.',
    'Until TikTok has reviewed the app, make a sandbox of it, name the account there as a target user, and copy the key and the secret of the sandbox: it has its own.',
    'Press “Connect TikTok” here, and leave every permission switched on.',
  ],
  readOnly:
    'TikTok has no token that can only read what everybody sees, so its tokens go to your servers (<code>SERVER_KEYS</code>), not into web pages.',
  makeToken:
    'A refresh token of TikTok, which begins with <code>rft.</code>, from an app of yours that uses it nowhere else. Its first use voids it: the agent keeps the next one, and every other program that still has this one is refused. Never use it elsewhere again.',
}

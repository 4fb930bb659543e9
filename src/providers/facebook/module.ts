import type { Mistake, ProviderEnvironment, ProviderModule } from '../../core/provider.ts'
import { readApp } from '../graph/app.ts'
import type { FacebookConfig } from './user-token.ts'

const VERSION = 'v26.0'
const GENERATE = 'connect the account in the browser, or give the agent a long-lived user token of Facebook: it begins with EAA'

const MISTAKES: readonly Mistake[] = [
  [/^IG[A-Z]{2}[\w-]{20,}/, `is one of Instagram’s own login (IG…), which Facebook does not take; ${GENERATE}`],
  [/^TH[A-Z]{2}[\w-]{20,}/, `is one of Threads (TH…), which Facebook does not take; ${GENERATE}`],
  [/^(?:act|rft|clt)\./, `is one of TikTok, which Facebook does not take; ${GENERATE}`],
  [/^\d+\|/, `is an app’s own token (a number, a bar and a secret), which belongs to no account; ${GENERATE}`],
  [/^\d{5,25}$/, `is a number, the id of an app, a Page or a user; ${GENERATE}`],
  [/^[0-9a-f]{32}$/i, `looks like an app secret, which must not be given away; ${GENERATE}`],
  [
    /^AQ[\w-]{40,}$|#_(?:=_)?$/,
    'is an authorization code, which works once and is not a token; connect the account in the browser instead',
  ],
]

export const facebook: ProviderModule<FacebookConfig> = {
  name: 'facebook',
  title: 'Facebook',
  variables: {
    FACEBOOK_APP_ID: 'text',
    FACEBOOK_APP_SECRET: 'secret',
    FACEBOOK_SCOPES: 'list',
    FACEBOOK_CONFIG_ID: 'text',
    FACEBOOK_GRAPH_VERSION: 'text',
    FACEBOOK_OBJECT_ID: 'text',
    FACEBOOK_GRAPH_URL: 'text',
    FACEBOOK_WEB_URL: 'text',
  },
  seed: { variable: 'FACEBOOK_STARTING_TOKEN', account: 'facebook', kind: 'refresh', title: 'long-lived user token' },
  constantName: 'FacebookToken',
  mistakes: MISTAKES,
  read,
  load: async () => (await import('./facebook.ts')).createFacebook,
}

function read(env: ProviderEnvironment): FacebookConfig {
  const number = (name: string, of: string): string | null => {
    const value = env.text(name)
    if (value !== null && !/^\d{5,25}$/.test(value)) env.problem(`${name}: is not the number of ${of}`)
    return value
  }
  return {
    graphUrl: env.origin('FACEBOOK_GRAPH_URL', 'https://graph.facebook.com'),
    webUrl: env.origin('FACEBOOK_WEB_URL', 'https://www.facebook.com'),
    version: readVersion(env),
    configId: number('FACEBOOK_CONFIG_ID', 'a configuration of Facebook Login for Business'),
    objectId: number('FACEBOOK_OBJECT_ID', 'a Page or an Instagram account'),
    ...readApp(env, {
      title: 'Meta',
      prefix: 'FACEBOOK',
      permission: 'instagram_basic',
      place: 'under “App settings”, “Basic”',
      // Without business_management the Pages of a business portfolio are missing from every list.
      others: ['pages_show_list', 'pages_read_engagement', 'business_management'],
    }),
  }
}

/** The last day of each version. Meta answers later calls with its oldest living version. https://developers.facebook.com/docs/graph-api/changelog/versions */
const ENDS: Readonly<Record<string, string>> = { 'v21.0': '2027-01-21' }
const OLDEST = 21
const WARN_DAYS = 90

function readVersion(env: ProviderEnvironment): string {
  const version = env.text('FACEBOOK_GRAPH_VERSION') ?? VERSION
  const [, major] = /^v(\d{1,3})\.\d$/.exec(version) ?? []
  if (major === undefined) {
    env.problem(`FACEBOOK_GRAPH_VERSION: is not a version of the Graph API such as ${VERSION}`)
    return VERSION
  }
  const end = ENDS[version]
  const isOver = Number(major) < OLDEST || (end !== undefined && Date.parse(end) <= env.now)
  const change = `set FACEBOOK_GRAPH_VERSION to ${VERSION}, or leave it unset`
  if (isOver) env.warn(`FACEBOOK_GRAPH_VERSION: Meta has ended ${version}, and answers with another version: ${change}`)
  else if (end !== undefined && Date.parse(end) - env.now < WARN_DAYS * 86_400_000)
    env.warn(`FACEBOOK_GRAPH_VERSION: Meta ends ${version} on ${end}: ${change} before that`)
  return version
}

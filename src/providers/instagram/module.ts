import type { Mistake, ProviderEnvironment, ProviderModule } from '../../core/provider.ts'
import { printable } from '../../core/quotes.ts'
import { Secret } from '../../core/secret.ts'

const BASIC = 'instagram_business_basic'

export interface InstagramConfig {
  readonly graphUrl: string
  readonly apiUrl: string
  readonly webUrl: string
  /** The *Instagram* app's id and secret, not the Meta app's; null = accounts cannot be connected in the browser. */
  readonly app: { readonly id: string; readonly secret: Secret } | null
  readonly scopes: readonly string[]
}

const GENERATE = 'generate one in the Meta App Dashboard under “API setup with Instagram login”: it begins with IGAA'

/** https://developers.facebook.com/docs/facebook-login/guides/access-tokens */
const MISTAKES: readonly Mistake[] = [
  [/^EAA[A-Za-z0-9]/, `is one of Facebook Login (EAA…), which Instagram’s own login does not take; ${GENERATE}`],
  [/^TH[A-Z]{2}[\w-]{20,}/, `is one of Threads (TH…), which Instagram does not take; ${GENERATE}`],
  [/^\d+\|/, `is an app’s own token (a number, a bar and a secret), which belongs to no Instagram account; ${GENERATE}`],
  [/^\d{5,25}$/, `is a number, the id of an app or of a user; ${GENERATE}`],
  [/^[0-9a-f]{32}$/i, `looks like an app secret, which must not be given away; ${GENERATE}`],
  [
    /^AQ[\w-]{40,}$|#_(?:=_)?$/,
    'is an authorization code, which works once and is not a token; connect the account in the browser instead',
  ],
]

export const instagram: ProviderModule<InstagramConfig> = {
  name: 'instagram',
  title: 'Instagram',
  variables: {
    INSTAGRAM_APP_ID: 'text',
    INSTAGRAM_APP_SECRET: 'secret',
    INSTAGRAM_SCOPES: 'list',
    INSTAGRAM_GRAPH_URL: 'text',
    INSTAGRAM_API_URL: 'text',
    INSTAGRAM_WEB_URL: 'text',
  },
  seed: { variable: 'STARTING_TOKEN', account: 'default' },
  constantName: 'InstagramToken',
  mistakes: MISTAKES,
  read,
  load: async () => {
    const [{ createInstagram }, { createInstagramConnect }] = await Promise.all([import('./instagram.ts'), import('./connect.ts')])
    return ({ app, ...config }, { fetch }) => {
      const connect = app === null ? {} : { connect: createInstagramConnect({ ...config, app, fetch }) }
      return createInstagram({ graphUrl: config.graphUrl, fetch, ...connect })
    }
  },
}

function read({ text, list, origin, problem }: ProviderEnvironment): InstagramConfig {
  const id = text('INSTAGRAM_APP_ID')
  const secret = text('INSTAGRAM_APP_SECRET')
  // One without the other is always a mistake.
  if ((id === null) !== (secret === null)) {
    problem(
      `INSTAGRAM_APP_${id === null ? 'ID' : 'SECRET'}: is missing; copy both the Instagram app ID and secret from the Meta App Dashboard`,
    )
  }
  if (id !== null && !/^\d+$/.test(id))
    problem('INSTAGRAM_APP_ID: is a number; copy the *Instagram* app ID, under “API setup with Instagram login”')
  if (secret !== null && !/^[\x21-\x7e]{8,}$/.test(secret))
    problem('INSTAGRAM_APP_SECRET: is too short, or has a character that no app secret has; copy it again from the Meta App Dashboard')
  const scopes = list('INSTAGRAM_SCOPES')
  for (const scope of scopes) {
    if (!/^[a-z_]+$/.test(scope)) problem(`INSTAGRAM_SCOPES: “${printable(scope)}” is not the name of a permission such as ${BASIC}`)
  }
  // A refresh needs this scope: https://developers.facebook.com/docs/instagram-platform/reference/refresh_access_token
  if (scopes.length > 0 && !scopes.includes(BASIC)) problem(`INSTAGRAM_SCOPES: leaves out ${BASIC}, which every account needs; add it`)
  return {
    graphUrl: origin('INSTAGRAM_GRAPH_URL', 'https://graph.instagram.com'),
    apiUrl: origin('INSTAGRAM_API_URL', 'https://api.instagram.com'),
    webUrl: origin('INSTAGRAM_WEB_URL', 'https://www.instagram.com'),
    app: id === null || secret === null ? null : { id, secret: new Secret(secret) },
    scopes: scopes.length === 0 ? [BASIC] : scopes,
  }
}

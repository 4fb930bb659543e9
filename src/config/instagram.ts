import { Secret } from '../core/secret.ts'
import { printable } from './network.ts'

const BASIC = 'instagram_business_basic'

export interface InstagramConfig {
  readonly graphUrl: string
  readonly apiUrl: string
  readonly webUrl: string
  /** The *Instagram* app's id and secret, not the Meta app's; null = accounts cannot be connected in the browser. */
  readonly app: { readonly id: string; readonly secret: Secret } | null
  readonly scopes: readonly string[]
}

type Variable = `INSTAGRAM_${'APP_ID' | 'APP_SECRET' | 'SCOPES' | 'GRAPH_URL' | 'API_URL' | 'WEB_URL'}`

interface Reader {
  readonly text: (name: Variable) => string | null
  readonly list: (name: Variable) => string[]
  readonly origin: (name: Variable, fallback: string) => string
}

/** Adds to `problems` what is wrong with the app's credentials. */
export function readInstagram({ text, list, origin }: Reader, problems: string[]): InstagramConfig {
  const id = text('INSTAGRAM_APP_ID')
  const secret = text('INSTAGRAM_APP_SECRET')
  // A provider is switched on by its credentials; half a pair is always a mistake.
  if ((id === null) !== (secret === null)) {
    problems.push(
      `INSTAGRAM_APP_${id === null ? 'ID' : 'SECRET'}: is missing; copy both the Instagram app ID and secret from the Meta App Dashboard`,
    )
  }
  if (id !== null && !/^\d+$/.test(id))
    problems.push('INSTAGRAM_APP_ID: is a number; copy the *Instagram* app ID, under “API setup with Instagram login”')
  if (secret !== null && !/^[\x21-\x7e]{8,}$/.test(secret))
    problems.push(
      'INSTAGRAM_APP_SECRET: is too short, or has a character that no app secret has; copy it again from the Meta App Dashboard',
    )
  const scopes = list('INSTAGRAM_SCOPES')
  for (const scope of scopes) {
    if (/^[a-z_]+$/.test(scope)) continue
    problems.push(`INSTAGRAM_SCOPES: “${printable(scope)}” is not the name of a permission such as ${BASIC}`)
  }
  // No token is refreshed without it: https://developers.facebook.com/docs/instagram-platform/reference/refresh_access_token
  if (scopes.length > 0 && !scopes.includes(BASIC))
    problems.push(`INSTAGRAM_SCOPES: leaves out ${BASIC}, which every account needs; add it`)
  return {
    graphUrl: origin('INSTAGRAM_GRAPH_URL', 'https://graph.instagram.com'),
    apiUrl: origin('INSTAGRAM_API_URL', 'https://api.instagram.com'),
    webUrl: origin('INSTAGRAM_WEB_URL', 'https://www.instagram.com'),
    app: id === null || secret === null ? null : { id, secret: new Secret(secret) },
    scopes: scopes.length === 0 ? [BASIC] : scopes,
  }
}

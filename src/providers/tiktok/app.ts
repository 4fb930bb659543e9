import type { ProviderEnvironment } from '../../core/provider.ts'
import { printable } from '../../core/quotes.ts'
import { Secret } from '../../core/secret.ts'

/** Web apps are sent back to a public https address alone, desktop apps to this computer alone. */
export type AppKind = 'web' | 'desktop'

export interface TikTokApp {
  readonly key: string
  readonly secret: Secret
  readonly kind: AppKind
}

export interface TikTokConfig {
  readonly apiUrl: string
  readonly webUrl: string
  /** Null = tokens can neither be got nor refreshed: both need the app's key and secret. */
  readonly app: TikTokApp | null
  readonly scopes: readonly string[]
}

export const BASIC = 'user.info.basic'

/** Reads the variables of the app. */
export function readApp(env: ProviderEnvironment): TikTokConfig {
  const { text, list, problem, warn } = env
  const [key, secret] = [text('TIKTOK_CLIENT_KEY'), text('TIKTOK_CLIENT_SECRET')]
  // One without the other is always a mistake.
  if ((key === null) !== (secret === null))
    problem(
      `TIKTOK_CLIENT_${key === null ? 'KEY' : 'SECRET'}: is missing; copy both the client key and the client secret from your app at developers.tiktok.com`,
    )
  if (key !== null && !/^\w{6,64}$/.test(key))
    problem('TIKTOK_CLIENT_KEY: has only letters and digits; copy the client key from your app at developers.tiktok.com')
  if (secret !== null && !/^[\x21-\x7e]{8,}$/.test(secret))
    problem('TIKTOK_CLIENT_SECRET: is too short, or has a character that no client secret has; copy it again from developers.tiktok.com')
  const scopes = list('TIKTOK_SCOPES')
  for (const scope of scopes) {
    if (!/^[a-z]+(?:\.[a-z]+)+$/.test(scope)) problem(`TIKTOK_SCOPES: “${printable(scope)}” is not the name of a scope such as ${BASIC}`)
  }
  if (scopes.length > 0 && !scopes.includes(BASIC)) problem(`TIKTOK_SCOPES: leaves out ${BASIC}, which every account needs; add it`)
  if (text('TIKTOK_REFRESH_TOKEN') !== null)
    warn(
      'TIKTOK_REFRESH_TOKEN: TikTok voids this token at its first use, and the agent keeps the next one. Once the account is there, remove the variable.',
    )
  const kind = text('TIKTOK_APP_KIND')?.toLowerCase() ?? 'web'
  if (kind !== 'web' && kind !== 'desktop') problem(`TIKTOK_APP_KIND: “${printable(kind)}” is not one of web, desktop`)
  return {
    apiUrl: env.origin('TIKTOK_API_URL', 'https://open.tiktokapis.com'),
    webUrl: env.origin('TIKTOK_WEB_URL', 'https://www.tiktok.com'),
    app: key === null || secret === null ? null : { key, secret: new Secret(secret), kind: kind === 'desktop' ? kind : 'web' },
    scopes: scopes.length === 0 ? [BASIC] : scopes,
  }
}

import type { ProviderEnvironment } from '../../core/provider.ts'
import { printable } from '../../core/quotes.ts'
import { Secret } from '../../core/secret.ts'

/** The app that accounts are connected to. */
export interface GraphApp {
  readonly id: string
  readonly secret: Secret
}

interface Names {
  readonly title: string
  /** The prefix of the variables. */
  readonly prefix: string
  /** The permission that every account needs. */
  readonly permission: string
  /** Further permissions to ask for where the variable is unset. */
  readonly others?: readonly string[]
  /** Where the app's ID stands in the Meta App Dashboard. */
  readonly place: string
}

/** Reads the app's credentials and the permissions to ask for. App null = accounts cannot be connected in the browser. */
export function readApp(
  { text, list, problem }: ProviderEnvironment,
  { title, prefix, permission, place, others = [] }: Names,
): { app: GraphApp | null; scopes: readonly string[] } {
  const id = text(`${prefix}_APP_ID`)
  const secret = text(`${prefix}_APP_SECRET`)
  // One without the other is always a mistake.
  if ((id === null) !== (secret === null)) {
    problem(
      `${prefix}_APP_${id === null ? 'ID' : 'SECRET'}: is missing; copy both the ${title} app ID and secret from the Meta App Dashboard`,
    )
  }
  if (id !== null && !/^\d+$/.test(id)) problem(`${prefix}_APP_ID: is a number; copy the *${title}* app ID, ${place}`)
  if (secret !== null && !/^[\x21-\x7e]{8,}$/.test(secret))
    problem(`${prefix}_APP_SECRET: is too short, or has a character that no app secret has; copy it again from the Meta App Dashboard`)
  const scopes = list(`${prefix}_SCOPES`)
  for (const scope of scopes) {
    if (!/^[a-z_]+$/.test(scope)) problem(`${prefix}_SCOPES: “${printable(scope)}” is not the name of a permission such as ${permission}`)
  }
  // A refresh needs this scope: https://developers.facebook.com/docs/instagram-platform/reference/refresh_access_token
  if (scopes.length > 0 && !scopes.includes(permission))
    problem(`${prefix}_SCOPES: leaves out ${permission}, which every account needs; add it`)
  return {
    app: id === null || secret === null ? null : { id, secret: new Secret(secret) },
    scopes: scopes.length === 0 ? [permission, ...others] : scopes,
  }
}

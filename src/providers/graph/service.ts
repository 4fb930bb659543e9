import type { ProviderCode } from '../../core/provider.ts'

/** A service of the Graph API: the names and words in which it differs from the others. */
export interface GraphService extends Pick<ProviderCode, 'setup' | 'isPublicSafe'> {
  /** The name in a sentence. */
  readonly title: string
  /** Where its users log in. */
  readonly site: string
  /** The permission that every call needs. */
  readonly permission: string
  readonly grantTypes: { readonly exchange: string; readonly refresh: string }
  readonly mePath: string
  /** The fields of a profile, in the answer to `mePath`. */
  readonly fields: {
    readonly userId: string
    /** The user's app-scoped id; null = the service has none. */
    readonly appUserId: string | null
    readonly picture: string
    /** Only where the service refuses personal accounts. */
    readonly accountType: string | null
  }
  /** Where a DELETE takes back what a user has granted to the app; null = not documented. */
  readonly permissionsPath: string | null
  readonly media: GraphMedia
  readonly words: GraphWords
}

/** Where the posts of a user stand, and what they look like. */
export interface GraphMedia {
  readonly path: string
  /** All fields that a feed uses, and those that every token may read. */
  readonly fields: string
  readonly shortFields: string
  /** The field of the text. */
  readonly caption: string
  readonly types: readonly string[]
  /** Types of what other people have posted. */
  readonly foreignTypes: readonly string[]
  /** The hosts of permalinks. */
  readonly hosts: readonly string[]
  /** See `MediaAccess`. */
  readonly mayBePrivate: boolean
  /** The beginning of the address of a user's page. */
  readonly profile: string
}

/** Whole sentences and ends of sentences. */
export interface GraphWords {
  /** See `ProviderCode.makeNewToken`. */
  readonly makeNewToken: string
  /** The end of a sentence: which app ID and secret to copy, and from where. */
  readonly copyCredentials: string
  /** The same as a sentence, for the owner who is connecting an account. */
  readonly copyToConnect: string
  /** Where a redirect URI is registered. */
  readonly redirectPlace: string
  /** The sentence for an error that has many causes; it names them all. */
  readonly unsupported: string
  /** The same while an account is being connected: what happened, and what to do. */
  readonly notLetIn: readonly [happened: string, remedy: string]
  /** Follows the sentences about a permission that has ended; empty = nothing to add. */
  readonly permissionEnds: string
}

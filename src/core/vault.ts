import type { Secret } from './secret.ts'

/** The column and row of a sealed value. The value does not open anywhere else. */
export interface SealContext {
  readonly table: string
  readonly row: string
  readonly column: string
  /** Unset for what the first release sealed. */
  readonly provider?: string
  /** The token of an account that gives its feed alone; a release that knows no feeds cannot open it. */
  readonly isFeedOnly?: boolean
}

export interface Vault {
  seal(value: Secret, context: SealContext): string
  /**
   * Throws `UnreadableError` where no key opens the value: the key is wrong, or the value was moved or altered. A token opens
   * whatever its account gives, for a refresh under way may have sealed it before the owner decided.
   */
  open(sealed: string, context: SealContext): Secret
  /** True where the newest key sealed the value. */
  isCurrent(sealed: string): boolean
  /** A message authentication code under the newest key: 32 hexadecimal digits. `use` separates its uses. */
  mac(use: string, text: string): string
  /** The same under each key, newest first, as `<key id>.<code>`. */
  macs(use: string, text: string): readonly string[]
  hasMac(use: string, text: string, mac: string): boolean
  /** Newest first. An id does not reveal its key. */
  readonly keyIds: readonly string[]
  /** The prefixes of the values that its keys have sealed. */
  readonly keyPrefixes: readonly string[]
}

export class UnreadableError extends Error {
  constructor(context: SealContext) {
    super(
      `No key in ENCRYPTION_KEY opens ${described(context)}. Put the key that sealed it back, after the newest one, separated by a comma.`,
    )
    this.name = 'UnreadableError'
  }
}

function described({ table, row, column }: SealContext): string {
  if (table !== 'accounts') return `a sealed value of ${table}`
  return `the ${column === 'access_token' ? 'token' : column.replace('_', ' ')} of “${row}”`
}

/** Null where no key opens the value. */
export function tryOpen(vault: Vault, sealed: string, context: SealContext): Secret | null {
  try {
    return vault.open(sealed, context)
  } catch (error) {
    if (error instanceof UnreadableError) return null
    throw error
  }
}

/** The only provider of the first release, which sealed without its name. */
const FIRST_PROVIDER = 'instagram'

/** A release that does not know a provider, or feeds, cannot open, and so never serves, the tokens of such accounts. */
export function accountContext(
  { provider, name, serves = null }: { provider: string; name: string; serves?: string | null },
  column: 'access_token' | 'refresh_token',
): SealContext {
  const context = { table: 'accounts', row: name, column, isFeedOnly: serves === 'feed' }
  return provider === FIRST_PROVIDER ? context : { ...context, provider }
}

const MAC_LENGTH = 32

/** Appends a MAC to a value that leaves the agent and comes back, such as an OAuth state. A forged one needs no database to refuse. */
export function marked(vault: Vault, use: string, text: string): string {
  return text + vault.mac(use, text)
}

export function isMarked(vault: Vault, use: string, value: string): boolean {
  return vault.hasMac(use, value.slice(0, -MAC_LENGTH), value.slice(-MAC_LENGTH))
}

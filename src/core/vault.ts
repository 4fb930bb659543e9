import type { Secret } from './secret.ts'

/** Where a sealed value belongs; one moved to another place does not open. */
export interface SealContext {
  readonly table: string
  readonly row: string
  readonly column: string
}

export interface Vault {
  seal(value: Secret, place: SealContext): string
  /** Throws `UnreadableError` where no key opens the value: wrong key, moved, or altered. */
  open(sealed: string, place: SealContext): Secret
  /** True where the value was sealed with the newest key. */
  isCurrent(sealed: string): boolean
  /** A mark that only an agent with one of the keys can make: 32 hexadecimal digits. */
  mac(use: string, text: string): string
  hasMac(use: string, text: string, mac: string): boolean
  /** Newest first. None gives its key away. */
  readonly keyIds: readonly string[]
  /** How the values begin that one of its keys has sealed. */
  readonly keyPrefixes: readonly string[]
}

export class UnreadableError extends Error {
  constructor(place: SealContext) {
    super(
      `No key in ENCRYPTION_KEY opens ${described(place)}. Put the key that sealed it back, after the newest one, separated by a comma.`,
    )
    this.name = 'UnreadableError'
  }
}

/** In words: the owner reads it beside the account. */
function described({ table, row, column }: SealContext): string {
  if (table !== 'accounts') return `what is sealed in ${table}`
  return `the ${column === 'access_token' ? 'token' : column.replace('_', ' ')} of “${row}”`
}

/** Null where no key opens the value; for what can be done without. */
export function tryOpen(vault: Vault, sealed: string, place: SealContext): Secret | null {
  try {
    return vault.open(sealed, place)
  } catch (error) {
    if (error instanceof UnreadableError) return null
    throw error
  }
}

export function accountContext(name: string, column: 'access_token' | 'refresh_token'): SealContext {
  return { table: 'accounts', row: name, column }
}

const MAC_LENGTH = 32

/** For what leaves the agent and comes back, such as an OAuth state: a made-up one is then refused without the database. */
export function marked(vault: Vault, use: string, text: string): string {
  return text + vault.mac(use, text)
}

export function isMarked(vault: Vault, use: string, value: string): boolean {
  return vault.hasMac(use, value.slice(0, -MAC_LENGTH), value.slice(-MAC_LENGTH))
}

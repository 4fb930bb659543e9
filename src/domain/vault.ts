import type { Secret } from './secret.ts'

/** Where a sealed value belongs; one moved to another place does not open. */
export interface Place {
  readonly table: string
  readonly row: string
  readonly column: string
}

export interface Vault {
  seal(value: Secret, place: Place): string
  /** Throws `UnreadableError` where no key opens the value: wrong key, moved, or altered. */
  open(sealed: string, place: Place): Secret
  /** True where the value was sealed with the newest key. */
  isCurrent(sealed: string): boolean
  /** Names the installation in a shared cache without giving its key away; the same while keys are rotated. */
  readonly namespace: string
  /** How the values begin that one of its keys has sealed. */
  readonly marks: readonly string[]
}

export class UnreadableError extends Error {
  constructor(place: Place) {
    super(
      `No key in ENCRYPTION_KEY opens ${place.column} of ${place.table} “${place.row}”. Put the key that sealed it back, after the newest one, separated by a comma.`,
    )
    this.name = 'UnreadableError'
  }
}

/** Null where no key opens the value; for what can be done without. */
export function tryOpen(vault: Vault, sealed: string, place: Place): Secret | null {
  try {
    return vault.open(sealed, place)
  } catch (error) {
    if (error instanceof UnreadableError) return null
    throw error
  }
}

export function accountPlace(name: string, column: 'access_token' | 'refresh_token'): Place {
  return { table: 'accounts', row: name, column }
}

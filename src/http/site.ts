import type { ReturnPages } from '../sign-in/return-page.ts'

/** The configuration that pages may show; it holds no secret. */
export interface Settings {
  readonly appUrl: string
  readonly appUrlIsGuess: boolean
  /** The id of the hosting platform whose help the setup page opens first. */
  readonly platform: string
  /** The shell line that runs an agent's command, such as `seed shop`, on this platform. */
  readonly command: (words: string) => string
  /** By provider: the constant's name for an account without a name of its own. */
  readonly constantNames: Readonly<Record<string, string>>
  readonly hideHelpPages: boolean
  /** Canonical origins, separated by blanks. */
  readonly allowedDomains: string | null
  /** Warnings about the configuration; with `forOwner` only the owner sees them. */
  readonly warnings: readonly { readonly text: string; readonly forOwner: boolean }[]
  readonly hasWebhookSecret: boolean
  readonly hasServerKeys: boolean
  readonly store: 'postgres' | 'sqlite'
  readonly hasMemcached: boolean
  readonly refreshFrequency: string
  readonly refreshMode: string
}

/** The parts that every page needs. */
export interface Site {
  readonly settings: Settings
  /** The folder of templates and stylesheet. */
  readonly viewsFolder: string
  readonly returnPages: ReturnPages
  readonly now: () => Date
}

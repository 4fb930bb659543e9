/** What the pages may know of the configuration: no secret among it. */
export interface Settings {
  readonly appUrl: string
  readonly appUrlIsGuess: boolean
  /** Whose way to keep variables the setup page shows first. */
  readonly platform: string
  /** The line that runs a command of the agent on this platform, such as `seed shop`; pages show no other form. */
  readonly command: (words: string) => string
  readonly jsConstantName: string
  readonly hideHelpPages: boolean
  /** In full, as browsers write origins. */
  readonly allowedDomains: string | null
  /** Of the configuration; `forOwner` ones are not for strangers. */
  readonly warnings: readonly { readonly text: string; readonly forOwner: boolean }[]
  readonly hasWebhookSecret: boolean
  readonly hasServerKeys: boolean
  readonly store: 'postgres' | 'sqlite'
  readonly hasMemcached: boolean
  readonly refreshFrequency: string
  readonly refreshMode: string
}

/** What every page is made of. */
export interface Site {
  readonly settings: Settings
  /** Folder of the templates and the stylesheet. */
  readonly viewsFolder: string
  readonly now: () => Date
}

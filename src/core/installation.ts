/** What the store says about itself. */
export interface Installation {
  /** Random, and never the same in two stores: names this one in a shared cache. A copy of a store gets another at its first start. */
  readonly cacheId: string
  /** When the owner last signed out everywhere; null = never. */
  readonly signedOutAt: Date | null
}

export interface InstallationStore {
  /** Null where no start has prepared the store yet. */
  read(): Promise<Installation | null>
  signOutEverywhere(): Promise<void>
}

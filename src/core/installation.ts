/** The store's own data. */
export interface Installation {
  /** The store's random namespace in a shared cache. A copy of a store gets a new one at its first start. */
  readonly cacheId: string
  /** The owner's last sign-out everywhere; null = never. */
  readonly signedOutAt: Date | null
  /** When a start found that this store is a copy of another one; null = it never was. */
  readonly copiedAt: Date | null
}

export interface InstallationStore {
  /** Null where no start has prepared the store yet. */
  read(): Promise<Installation | null>
  signOutEverywhere(): Promise<void>
}

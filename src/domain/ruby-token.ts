/** What the older Ruby agent kept in the table `tokens` of its Postgres, in the clear. */
export interface RubyToken {
  readonly token: string
  readonly expiresAt: Date | null
}

/** Throws an AppError that says what is not as it was there. */
export type ReadRubyToken = () => Promise<RubyToken>

/** How the owner proves to be the owner. */
export interface PasswordCheck {
  /** `one-time`: no password is set, and the log has one that works once. `off`: no password is set, and none can be had. */
  readonly mode: 'password' | 'one-time' | 'off'
  /** True where the one of `one-time` has been used. */
  isSpent(): boolean
  /** Spends the one of `one-time`. */
  matches(candidate: string): Promise<boolean>
  /** Changes with the password, and so ends the sessions that began with another one. */
  readonly credential: string
}

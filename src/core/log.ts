/** The log of a part that serves no request; pino implements it. */
export interface Log {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

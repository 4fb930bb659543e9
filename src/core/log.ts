/** Where a part that is not given a request of its own writes; pino fills it. */
export interface Log {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

import { type Logger, pino, stdSerializers } from 'pino'

/** JSON lines on standard output. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: ['*.authorization', '*.password', '*.token', '*.accessToken', '*.refreshToken', 'token', 'password'],
      censor: '[secret]',
    },
    serializers: {
      // Of an error only what it says of itself: drivers hang queries, addresses and options on theirs.
      err: (error: unknown) => {
        const { type, message, stack } = stdSerializers.err(error as Error)
        return { type, message, stack, code: (error as { code?: unknown }).code }
      },
    },
  })
}

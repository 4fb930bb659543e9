import { type Logger, pino, stdSerializers } from 'pino'

/** JSON lines on standard output; a request shows its method and route template, never its address or headers. */
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
      req: (request: { id: string; method: string; routeOptions?: { url?: string } }) => ({
        id: request.id,
        method: request.method,
        route: request.routeOptions?.url,
      }),
      res: (reply: { statusCode: number }) => ({ statusCode: reply.statusCode }),
    },
  })
}

import { type Logger, type LoggerOptions, pino, stdSerializers } from 'pino'

/** JSON lines on standard output. */
export function createLogger(level: string): Logger {
  return pino(options(level), openLog())
}

/** A reader of the log that does not keep up must not fill the memory: what is too much is left out. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024

/**
 * The log may go away, as when `serve | tee log` loses its tee or the disk is full. Tokens are served and renewed without
 * one; standard error says so once.
 */
function openLog() {
  const log = pino.destination({ dest: 1, maxLength: MAX_WAITING_BYTES })
  let isSaid = false
  log.on('error', ({ message }: Error) => {
    if (!isSaid) process.stderr.write(`The log on standard output cannot be written (${message}); the agent goes on without it.\n`)
    isSaid = true
    // At the exit it would try again for ever.
    log.flushSync = () => {}
  })
  return log
}

function options(level: string): LoggerOptions {
  return {
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
  }
}

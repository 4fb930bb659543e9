import { type DestinationStream, type Logger, type LoggerOptions, pino, stdSerializers } from 'pino'

/** Logs JSON lines, to standard output by default. */
export function createLogger(level: string, to: DestinationStream = openLog()): Logger {
  return pino(options(level), to)
}

/** If the reader of the log falls behind, lines beyond this are dropped; they must not fill the memory. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024

/**
 * Writing the log may fail: `serve | tee log` loses its tee, or the disk is full. The agent serves and renews tokens
 * without a log, and says so once on standard error.
 */
function openLog() {
  const log = pino.destination({ dest: 1, maxLength: MAX_WAITING_BYTES })
  let isSaid = false
  log.on('error', ({ message }: Error) => {
    if (!isSaid) process.stderr.write(`The log on standard output cannot be written (${message}); the agent goes on without it.\n`)
    isSaid = true
    // pino's flush at exit would retry without end.
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
      // Only these fields: drivers attach queries, addresses and options to their errors.
      err: (error: unknown) => {
        const { type, message, stack } = stdSerializers.err(error as Error)
        return { type, message, stack, code: (error as { code?: unknown }).code }
      },
    },
  }
}

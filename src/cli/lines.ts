import { createInterface } from 'node:readline'

export interface Lines {
  /** The next line; null = the input has ended, or `signal` came first. */
  next(signal: AbortSignal): Promise<string | null>
  /** Forgets what was typed before a question. */
  forget(): void
  close(): void
}

/** Reads lines one at a time, for questions that may be given up. The terminal keeps its own keys, such as Ctrl-C. */
export function readLines(input: NodeJS.ReadableStream): Lines {
  const reader = createInterface({ input, terminal: false })
  const typed: string[] = []
  let wanting: ((line: string | null) => void) | null = null
  let isOver = false
  reader.on('line', (line) => {
    if (wanting === null) typed.push(line)
    else wanting(line)
  })
  reader.on('close', () => {
    isOver = true
    wanting?.(null)
  })
  return {
    next(signal) {
      const [line] = typed.splice(0, 1)
      if (line !== undefined || isOver || signal.aborted) return Promise.resolve(line ?? null)
      return new Promise((resolve) => {
        const give = (): void => wanting?.(null)
        signal.addEventListener('abort', give, { once: true })
        wanting = (text) => {
          wanting = null
          signal.removeEventListener('abort', give)
          resolve(text)
        }
      })
    },
    forget: () => void typed.splice(0),
    close() {
      reader.close()
      // Else a terminal keeps the process alive.
      if (input === process.stdin) process.stdin.pause()
    },
  }
}

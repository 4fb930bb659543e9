import { once } from 'node:events'

/** The command was not understood. */
export class UsageError extends Error {}

/** Error codes of a pipe, a socket or a terminal that the reader has closed. */
const CLOSED_BY_READER = new Set(['EPIPE', 'ECONNRESET', 'EIO', 'ERR_STREAM_DESTROYED'])

let readerIsGone = false
let writeError: Error | null = null

/**
 * `status | head -1` closes the pipe after its line. That is no failure: the command goes on in silence. Without a
 * listener such a write would end the process with a stack trace.
 */
export function watchOutput(): void {
  readerIsGone = false
  writeError = null
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (CLOSED_BY_READER.has(error.code ?? '')) readerIsGone = true
    else writeError ??= error
  })
  // Nothing can be printed any more, but the exit code still counts.
  process.stderr.on('error', () => {})
}

/** False once the reader has closed the output, so a list can stop early. */
export const isRead = (): boolean => !readerIsGone

/** Waits until all output is written and returns the exit code: a closed pipe is no failure, a full disk is one. */
export async function endOutput(code: number): Promise<number> {
  await flushed(process.stdout)
  if (writeError !== null) {
    process.stderr.write(`The output could not be written: ${writeError.message}\n`)
    return 1
  }
  return readerIsGone ? 0 : code
}

/** Resolves once all earlier writes have succeeded or failed. */
export async function flushed(stream: NodeJS.WriteStream = process.stdout): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.write('', () => resolve())
  })
  // The error event comes after the callback.
  await new Promise((resolve) => setImmediate(resolve))
}

let hasProgress = false

/** Shows how far long work has come, on a terminal alone; null = it is done. */
export function progress(text: string | null): void {
  if (!process.stderr.isTTY || (text === null && !hasProgress)) return
  process.stderr.write(`\r\u001b[K${text ?? ''}`)
  hasProgress = text !== null
}

/** Prints beside the result, on standard error. */
export function say(sentence: string): void {
  progress(null)
  process.stderr.write(`${sentence}\n`)
}

export function print(text: string, code = 0): number {
  progress(null)
  if (isRead()) process.stdout.write(`${text}\n`)
  return code
}

/** Prints one valid JSON array, page by page. */
export async function printArray(pages: AsyncIterable<readonly unknown[]>): Promise<void> {
  let separator = '[\n'
  for await (const page of pages) {
    for (const one of page) {
      process.stdout.write(`${separator}${JSON.stringify(one, null, 2).replace(/^/gm, '  ')}`)
      separator = ',\n'
    }
    await drained()
    if (!isRead()) return
  }
  print(separator === '[\n' ? '[]' : '\n]')
}

/** Waits for a slow reader, so that a long list does not fill the memory. */
export async function drained(): Promise<void> {
  if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain').catch(() => {})
}

/** `1 account`, `2 accounts`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

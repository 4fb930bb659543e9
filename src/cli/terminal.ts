import { once } from 'node:events'
import type { AgentCommand } from '../config/agent-command.ts'

/** The command was not understood. */
export class UsageError extends Error {}

/** What a pipe, a socket or a terminal says when its other end has gone. */
const GONE = new Set(['EPIPE', 'ECONNRESET', 'EIO', 'ERR_STREAM_DESTROYED'])

let readerIsGone = false
let writeError: Error | null = null

/**
 * `status | head -1` closes the pipe when it has its line: nothing has failed, and what the command does goes on in
 * silence. Without a listener each such write would end the process with a stack trace.
 */
export function watchOutput(): void {
  readerIsGone = false
  writeError = null
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (GONE.has(error.code ?? '')) readerIsGone = true
    else writeError ??= error
  })
  // With no way left to say anything, the exit code still says how it ended.
  process.stderr.on('error', () => {})
}

/** False once nobody reads the output: a list need not be read to its end then. */
export const isRead = (): boolean => !readerIsGone

/** Waits until all output is written, and gives the exit code: a reader that has gone is no failure, a full disk is one. */
export async function endOutput(code: number): Promise<number> {
  await flushed(process.stdout)
  if (writeError !== null) {
    process.stderr.write(`The output could not be written: ${writeError.message}\n`)
    return 1
  }
  return readerIsGone ? 0 : code
}

/** Resolves when all that was written so far is out, or cannot be written. */
export async function flushed(stream: NodeJS.WriteStream = process.stdout): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.write('', () => resolve())
  })
  // The event that says so comes after the callback.
  await new Promise((resolve) => setImmediate(resolve))
}

export function print(text: string, code = 0): number {
  if (isRead()) process.stdout.write(`${text}\n`)
  return code
}

/** Prints one valid JSON array, though its elements come page by page. */
export async function printArray(pages: AsyncIterable<readonly unknown[]>): Promise<void> {
  let separator = '[\n'
  for await (const page of pages) {
    for (const one of page) {
      process.stdout.write(`${separator}${JSON.stringify(one, null, 2).replace(/^/gm, '  ')}`)
      separator = ',\n'
    }
    await room()
    if (!isRead()) return
  }
  print(separator === '[\n' ? '[]' : '\n]')
}

/** Waits where the reader is slow, so that a long list does not pile up in memory. */
export async function room(): Promise<void> {
  if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain').catch(() => {})
}

export function noAccount(command: AgentCommand): string {
  return `There is no account yet; store a token with: ${command('seed')}`
}

export function when(instant: Date | null): string {
  return instant === null ? 'not known yet' : `${instant.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/** The instants in a sentence of the history, written as `when` writes them. */
export function plain(sentence: string): string {
  return sentence.replace(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, (instant) => when(new Date(instant)))
}

/** `1 account`, `2 accounts`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

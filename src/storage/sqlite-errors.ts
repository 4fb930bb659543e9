import { AppError } from '../domain/errors.ts'

// https://www.sqlite.org/rescode.html; the lowest eight bits are the kind, the rest is detail.
const BUSY = 5
const SENTENCES: Record<number, (path: string) => string> = {
  [BUSY]: () => 'Another process has been writing to the embedded store for too long: end it, or try again.',
  8: (path) =>
    `The embedded store ${path} may not be written: give the user that runs the agent the right to write the file and its folder.`,
  10: (path) => `The disk under the embedded store ${path} does not work: check it and its file system.`,
  11: (path) => `The embedded store ${path} is damaged: put a backup in its place.`,
  13: (path) => `The disk under the embedded store ${path} is full: make room on it.`,
  14: (path) =>
    `The embedded store ${path} cannot be opened: give the user that runs the agent the right to write the file and its folder.`,
  26: (path) => `${path} is not a SQLite database: move it away, or name another file in DATABASE_URL (sqlite:/path/to/agent.db).`,
}

export function isBusy(error: unknown): boolean {
  return kindOf(error) === BUSY
}

/** What keeps the store from answering becomes `unavailable`, with a sentence for the operator; the rest stays as it is. */
export function explainSqlite(error: unknown, path: string): unknown {
  const kind = kindOf(error)
  const sentence = kind === null ? undefined : SENTENCES[kind]
  return sentence === undefined ? error : new AppError('unavailable', sentence(path), { cause: error })
}

function kindOf(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : null
}

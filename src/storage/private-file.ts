import { mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { AppError } from '../domain/errors.ts'

const OWNER_ONLY = 0o600
const OWNER_ONLY_FOLDER = 0o700

/** An empty file that its owner alone may read, in a folder of the same kind; what is there already stays as it is. */
export async function createPrivateFile(path: string): Promise<void> {
  try {
    await createPrivateFolder(path)
    // SQLite gives its side files the rights of this one.
    const file = await open(path, 'a', OWNER_ONLY)
    await file.close()
  } catch (error) {
    throw explainFile(error, path)
  }
}

export async function createPrivateFolder(path: string): Promise<void> {
  await mkdir(dirname(resolve(path)), { recursive: true, mode: OWNER_ONLY_FOLDER })
}

export function explainFile(error: unknown, path: string): unknown {
  if (!(error instanceof Error && 'code' in error)) return error
  const sentence = sentenceFor(error.code, path)
  return sentence === null ? error : new AppError('unavailable', sentence, { cause: error })
}

function sentenceFor(code: unknown, path: string): string | null {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `The embedded store cannot write ${path}: give the user that runs the agent the right to write there, or name another place in DATABASE_URL (sqlite:/path/to/agent.db).`
    case 'ENOTDIR':
    case 'EEXIST':
      return `The embedded store cannot write ${path}: a part of its folder’s path is a file. Name another place in DATABASE_URL (sqlite:/path/to/agent.db).`
    case 'EISDIR':
      return `The embedded store cannot write ${path}: that is a folder. Name a file in DATABASE_URL (sqlite:/path/to/agent.db).`
    case 'ENOSPC':
    case 'EDQUOT':
      return `The embedded store cannot write ${path}: the disk is full. Make room on it.`
    default:
      return null
  }
}

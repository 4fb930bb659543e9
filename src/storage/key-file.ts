import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { AppError } from '../core/errors.ts'
import { generateKey } from './vault.ts'

const OWNER_ONLY = 0o600
const OWNER_ONLY_FOLDER = 0o700

/** Creates an empty file, and its folder, that only the owner may read. An existing one stays as it is. */
export async function createPrivateFile(path: string): Promise<void> {
  try {
    await createPrivateFolder(path)
    // SQLite copies this file's rights to its side files.
    const file = await open(path, 'a', OWNER_ONLY)
    await file.close()
  } catch (error) {
    throw explainFile(error, path)
  }
}

/** What the file beside the embedded store holds: its keys, newest first, or the id of the item of the system's keychain. */
export type KeyFile = { readonly keys: readonly string[] } | { readonly keychainId: string }

/** Shorter than any key, and with a blank, so that a release that knows no keychain takes it for no key. */
const MARKER = /^keychain ([0-9a-f]{20})$/

export const markerOf = (keychainId: string): string => `keychain ${keychainId}`

/** Null = there is no file. */
export async function readKeyFile(path: string): Promise<KeyFile | null> {
  try {
    const content = await read(path)
    if (content === null) return null
    const keychainId = MARKER.exec(content.trim())?.[1]
    return keychainId === undefined ? { keys: keysIn(content, path) } : { keychainId }
  } catch (error) {
    throw explainFile(error, path)
  }
}

/** Creates the file with a new key. Where another process is faster, its key counts. */
export async function createKeyFile(path: string): Promise<KeyFile | null> {
  try {
    await write(path, generateKey(), link)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw explainFile(error, path)
  }
  return readKeyFile(path)
}

export async function replaceKeyFile(path: string, content: string): Promise<void> {
  await write(path, content, rename).catch((error: unknown) => {
    throw explainFile(error, path)
  })
}

async function read(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/**
 * The file is complete and synced before it gets its name, so no process reads half a key and no crash loses the key.
 * Unlike `rename`, `link` never replaces a file: of two processes that start at once, both use the key of the first.
 */
async function write(path: string, content: string, name: typeof link | typeof rename): Promise<void> {
  await createPrivateFolder(path)
  const draft = `${path}.${randomUUID()}`
  const file = await open(draft, 'wx', OWNER_ONLY)
  try {
    await file.writeFile(`${content}\n`)
    await file.sync()
    await name(draft, path)
  } finally {
    await file.close()
    await rm(draft, { force: true })
  }
  const folder = await open(dirname(resolve(path)))
  await folder.sync().finally(() => folder.close())
}

function keysIn(content: string, path: string): string[] {
  const keys = content.trim().split(/\s*,\s*/)
  if (keys.every((key) => /^[\x21-\x7e]{32,}$/.test(key))) return keys
  throw new AppError(
    'invalid',
    `The key file ${path} is ${content.trim() === '' ? 'empty' : 'damaged'}: put a backup of it in its place. Without it the stored tokens cannot be opened. To start over, move the file and the store away, and seed each account again.`,
  )
}

async function createPrivateFolder(path: string): Promise<void> {
  await mkdir(dirname(resolve(path)), { recursive: true, mode: OWNER_ONLY_FOLDER })
}

function explainFile(error: unknown, path: string): unknown {
  if (!(error instanceof Error && 'code' in error)) return error
  const sentence = sentenceFor(error.code, path)
  return sentence === null ? error : new AppError('unavailable', sentence, { cause: error })
}

function sentenceFor(code: unknown, path: string): string | null {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `The embedded store cannot write ${path}: give the user that runs the agent the right to write there, or name another file in DATABASE_URL (sqlite:/path/to/agent.db).`
    case 'ENOTDIR':
    case 'EEXIST':
      return `The embedded store cannot write ${path}: a part of its folder’s path is a file. Name another file in DATABASE_URL (sqlite:/path/to/agent.db).`
    case 'EISDIR':
      return `The embedded store cannot write ${path}: that is a folder. Name a file in DATABASE_URL (sqlite:/path/to/agent.db).`
    case 'ENOSPC':
    case 'EDQUOT':
      return `The embedded store cannot write ${path}: the disk is full. Free some space.`
    default:
      return null
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

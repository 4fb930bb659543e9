import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises'
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

/** The keys of the embedded store, newest first, from the file beside it. The first start creates the file. */
export async function loadOrCreateKeyFile(path: string): Promise<string[]> {
  try {
    const content = (await read(path)) ?? (await create(path))
    return keysIn(content, path)
  } catch (error) {
    throw explainFile(error, path)
  }
}

async function read(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/** The file is complete and synced before it gets its name, so no process reads half a key and no crash loses the key. */
async function create(path: string): Promise<string> {
  await createPrivateFolder(path)
  const draft = `${path}.${randomUUID()}`
  const file = await open(draft, 'wx', OWNER_ONLY)
  try {
    await file.writeFile(`${generateKey()}\n`)
    await file.sync()
    // Unlike a rename, a link never replaces a file: of two processes that start at once, both use the key of the first.
    await link(draft, path).catch((error) => {
      if (!hasCode(error, 'EEXIST')) throw error
    })
  } finally {
    await file.close()
    await unlink(draft)
  }
  const folder = await open(dirname(resolve(path)))
  await folder.sync().finally(() => folder.close())
  return readFile(path, 'utf8')
}

function keysIn(content: string, path: string): string[] {
  const keys = content.trim().split(/\s*,\s*/)
  if (keys.every((key) => /^[\x21-\x7e]{32,}$/.test(key))) return keys
  throw new AppError(
    'invalid',
    `The key file ${path} is ${content.trim() === '' ? 'empty' : 'damaged'}: put a backup of it in its place. Without it the stored tokens cannot be opened. To start over, move the file away and seed each account again.`,
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

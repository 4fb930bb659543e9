import { randomUUID } from 'node:crypto'
import { link, open, readFile, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { AppError } from '../domain/errors.ts'
import { createPrivateFolder, explainFile } from './private-file.ts'
import { generateKey } from './vault.ts'

/** The keys of the embedded store, newest first, from the file beside it; the first start makes one. */
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

/** Whole and on the disk before it gets its name: no other process sees half a key, and no token is sealed with a lost one. */
async function create(path: string): Promise<string> {
  await createPrivateFolder(path)
  const draft = `${path}.${randomUUID()}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(`${generateKey()}\n`)
    await file.sync()
    // Unlike a rename, a link does not replace: of two processes that start at once, one is first and both read its key.
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
    `The key file ${path} is ${content.trim() === '' ? 'empty' : 'damaged'}: put a backup of it in its place. Without it the stored tokens cannot be opened; to begin anew, move it away and seed each account again.`,
  )
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

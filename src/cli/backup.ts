import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { checkBackup, isHeader, restoreBackup, writeBackup } from '../accounts/backup.ts'
import { NO_ERASURES, readErasures } from '../accounts/erasure.ts'
import { type Agent, openKeyPlace } from '../agent.ts'
import type { Config } from '../config/config.ts'
import { AppError } from '../core/errors.ts'
import { words } from '../core/format-time.ts'
import type { Command } from './arguments.ts'
import { count, print, say, UsageError } from './terminal.ts'

const OWNER_ONLY = 0o600
const WRITE_BYTES = 256 * 1024

type Invocation = Pick<Command, 'name' | 'rest' | 'options'>

/** The file is whole and synced before it gets its name. */
export async function backup(agent: Agent, invocation: Invocation, config: Config, stopped: AbortSignal): Promise<number> {
  const path = fileOf(invocation)
  await explained(path, refuseOther(path))
  const draft = `${path}.${randomUUID()}`
  const file = await explained(path, open(draft, 'wx', OWNER_ONLY))
  try {
    const counts = await explained(path, fill(file, agent, stopped))
    await explained(path, rename(draft, path))
    await syncFolder(path)
    const { accounts = 0, events = 0 } = counts
    print(`${path} holds ${count(accounts, 'account')} and ${count(events, 'event')}. Only you may read it.`)
  } finally {
    await file.close()
    await rm(draft, { force: true })
  }
  return print(
    `Its tokens are sealed. To restore them you need the key too, which is not in the file: ${await keyWords(config)}. Keep a copy apart from it.`,
  )
}

async function fill(file: FileHandle, agent: Agent, stopped: AbortSignal) {
  let text = ''
  const counts = await writeBackup(await agent.openBackups(), async (line) => {
    stopped.throwIfAborted()
    text += line
    if (text.length < WRITE_BYTES) return
    await file.write(text)
    text = ''
  })
  await file.write(text)
  await file.sync()
  return counts
}

/** A backup may take the place of an older one, and of nothing else. */
async function refuseOther(path: string): Promise<void> {
  const old = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  try {
    const { buffer, bytesRead } = (await old?.read(Buffer.alloc(64), 0, 64, 0)) ?? { buffer: Buffer.of(), bytesRead: 0 }
    if (old !== null && !isHeader(buffer.toString('utf8', 0, bytesRead)))
      throw new AppError('conflict', `${path} exists and is no backup: name another file. Nothing was written.`)
  } finally {
    await old?.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path))
  await folder.sync().finally(() => folder.close())
}

async function keyWords(config: Config): Promise<string> {
  const place = await openKeyPlace(config)
  if (place === null) return 'the value of ENCRYPTION_KEY'
  const found = await place.look()
  return found !== null && 'keychainId' in found
    ? 'it lies in the system’s keychain, and “keychain enable” has shown it to you'
    : `it lies in ${place.path}`
}

export async function restore(agent: Agent, invocation: Invocation, place: string): Promise<number> {
  const path = fileOf(invocation)
  const list = invocation.options.get('erased')
  if (list === '') throw new UsageError('--erased takes the name of a file.')
  const parts = await agent.openBackups()
  const erasures = list === undefined ? NO_ERASURES : await explained(list, readErasures(linesOf(list), parts.vault))
  const checked = await explained(path, checkBackup(parts, linesOf(path)))
  const replace = invocation.options.has('replace')
  const done = await explained(path, restoreBackup(parts, linesOf(path), { replace, erasures, madeAt: checked.madeAt }))
  print(`${count(checked.accounts, 'account')} of ${words.inUtc(checked.madeAt)} restored into ${place}.`)
  for (const name of done.erased) print(`${name}: its user had the data erased since, so it is empty.`)
  for (const name of done.removed) print(`${name}: it was removed since, so it stays removed.`)
  for (const name of checked.unreadable) print(`${name}: no key opens its token; put the key that sealed it into ENCRYPTION_KEY too.`)
  if (list === undefined)
    say(
      'No list of erasures was given: data that users had erased since the backup is back. If there were any, restore again with --replace --erased <log>.',
    )
  return print(
    `Start the agent now, or restart it. It serves each token once its provider has confirmed it${heldBack(agent)}. Browsers are signed out.`,
  )
}

/** A refresh token that works once may have been spent since the backup. */
function heldBack({ owner }: Agent): string {
  const titles = [...owner.providers.values()].filter(({ renewal }) => renewal === 'rotating').map(({ title }) => title)
  return titles.length === 0 ? '' : `; a token of ${titles.join(' or ')} waits until you run “refresh <name> --force”`
}

const fileOf = ({ name, rest: [file] }: Invocation): string => {
  if (file === undefined || file === '') throw new UsageError(`${name} takes the name of a file.`)
  return resolve(file)
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const file = await open(path)
  yield* file.readLines()
}

const NO_RIGHT = 'this user has no right to it; name a file in a folder of its own, such as the one of the store'

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: NO_RIGHT,
  EPERM: NO_RIGHT,
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is a file',
}

async function explained<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const problem = error instanceof Error && 'code' in error ? PROBLEMS[String(error.code)] : undefined
    throw problem === undefined ? error : new AppError('invalid', `${path}: ${problem}.`, { cause: error })
  }
}

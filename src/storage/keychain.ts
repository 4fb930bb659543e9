import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { extname, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { KeychainError } from '../core/errors.ts'
import { type KeyFile, markerOf, readKeyFile, replaceKeyFile } from './key-file.ts'

const CHILD = fileURLToPath(new URL(`./keychain-child${extname(import.meta.filename)}`, import.meta.url))

type Outcome = 'done' | 'no library' | 'no item' | 'refused' | 'silent'
const OUTCOMES: Readonly<Record<number, Outcome>> = { 0: 'done', 3: 'no library', 4: 'no item' }

const WHYS: Readonly<Record<Exclude<Outcome, 'done' | 'no item'>, string>> = {
  'no library': 'the package @napi-rs/keyring is not installed here; run “npm ci”, without --omit=optional',
  refused: 'it is locked, or this process does not belong to a desktop session; unlock it, or sign in at the desktop',
  silent: 'it does not answer; unlock it, or sign in at the desktop',
}

/** How the keychain is reached. */
export interface Keychain {
  /** The whole environment of the child, which holds no secret and needs none. */
  readonly env: NodeJS.ProcessEnv
  /** How long it may take: a person may have to unlock it. */
  readonly withinMs: number
}

/** The keys of the item, newest first. Throws a KeychainError where the keychain does not give them. */
export async function readKeychain(keychain: Keychain, id: string, path: string): Promise<readonly string[]> {
  const { outcome, value } = await ask(keychain, 'get', id)
  if (outcome === 'done') return value.split(',')
  const why = outcome === 'no item' ? `it has no such item; write the key that “keychain enable” showed into ${path}` : WHYS[outcome]
  throw new KeychainError(`The key of the store lies in the system’s keychain (“encryption-key ${id}”), which does not give it: ${why}.`)
}

export interface KeyPlace {
  /** The key file. */
  readonly path: string
  /** What the key file says; null = there is none yet. */
  look(): Promise<KeyFile | null>
  /** Why the keychain cannot be used here; null = it can. */
  problem(): Promise<string | null>
  /**
   * Moves the keys into the keychain. The file is changed only after the item was read back and `keep` has said yes.
   * Null = nothing was changed. Throws a KeychainError.
   */
  enable(keys: readonly string[], keep: (keys: string) => Promise<boolean>): Promise<string | null>
  /** The keys of the item. Throws a KeychainError. */
  keys(id: string): Promise<readonly string[]>
  /** Writes the keys of the item back into the file. The item stays: a copy of the folder may use it. */
  disable(id: string): Promise<void>
}

export function createKeyPlace(keychain: Keychain, file: string): KeyPlace {
  const path = resolve(file)
  return {
    path,
    look: () => readKeyFile(path),
    async problem() {
      const { outcome } = await ask(keychain, 'get', 'none')
      return outcome === 'done' || outcome === 'no item' ? null : WHYS[outcome]
    },
    async enable(keys, keep) {
      const [id, value] = [randomBytes(10).toString('hex'), keys.join(',')]
      const written = await ask(keychain, 'set', id, value)
      // Another process reads it back: the first one may have its own copy.
      const read = written.outcome === 'done' ? await ask(keychain, 'get', id) : written
      if (read.outcome !== 'done' || read.value !== value)
        throw new KeychainError(
          `The system’s keychain does not take the key: ${read.outcome === 'done' || read.outcome === 'no item' ? 'it does not give back what it was given' : WHYS[read.outcome]}. Nothing was changed: the key lies in ${path}.`,
        )
      if (!(await keep(value))) return null
      await replaceKeyFile(path, markerOf(id))
      return id
    },
    keys: (id) => readKeychain(keychain, id, path),
    async disable(id) {
      await replaceKeyFile(path, (await readKeychain(keychain, id, path)).join(','))
    },
  }
}

/** `value`: what `set` stores. */
async function ask(
  { env, withinMs }: Keychain,
  action: 'get' | 'set',
  id: string,
  value = '',
): Promise<{ outcome: Outcome; value: string }> {
  const child = spawn(process.execPath, [CHILD, action, id], { env, stdio: ['pipe', 'pipe', 'ignore'] })
  // A child that has ended already takes no input.
  child.stdin.on('error', () => {})
  child.stdin.end(value)
  let isLate = false
  const late = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, withinMs)
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null))
    child.once('close', resolve)
  })
  const [code, output] = await Promise.all([ended, text(child.stdout)])
  clearTimeout(late)
  return { outcome: isLate ? 'silent' : (OUTCOMES[code ?? 5] ?? 'refused'), value: output }
}

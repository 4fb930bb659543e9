import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import type { Log } from '../core/log.ts'
import type { Picture } from '../core/media.ts'
import { original, type Resized, UnusablePicture } from './original.ts'

export interface Resizer {
  /** Throws an `UnusablePicture` for bytes that are no picture. */
  resize(picture: Picture): Promise<Resized>
}

interface Options {
  readonly log: Pick<Log, 'info' | 'warn'>
  /** The child's. */
  readonly script?: string
  /** For one picture. */
  readonly pictureMs?: number
  /** A child that has nothing to do for so long ends. */
  readonly restMs?: number
  /** Where `sharp` is looked for. */
  readonly from?: string
  /** A monotonic clock. */
  readonly clockMs?: () => number
}

type Child = ChildProcessByStdio<import('node:stream').Writable, import('node:stream').Readable, null>

const CHILD = `${import.meta.dirname}/resize-child${import.meta.filename.slice(-3)}`
/** So many different pictures in a row show that the child is at fault, not a picture. */
const MAX_FAULTS = 3
const PAUSE_MS = 3_600_000
const NO_LIBRARY = 3
const MAX_HEADER = 1024
const MAX_SIZES = 3
const MAX_BYTES = 4 * 1024 * 1024
/** Of data, in KiB. V8 reserves much of it; with 768 MiB some pictures below 20 megapixels end the child. */
const MAX_MEMORY = 3000 * 1024

/** Reduces pictures in a short-lived child process; keeps originals, in one size, where and while that cannot be. */
export function createResizer(options: Options): Resizer {
  const { log, script = CHILD, pictureMs = 15_000, restMs = 30_000, from = import.meta.url, clockMs = () => performance.now() } = options
  let arguments_ = argumentsFor(script, from)
  if (arguments_ === null) log.info({}, 'sharp is not installed, so feeds show original pictures in one size')
  /** The pictures at which a child has failed since the last good answer. */
  const faults = new Set<string>()
  let pausedUntilMs = Number.NEGATIVE_INFINITY
  let child: Child | null = null
  let rest: NodeJS.Timeout | undefined
  let last: Promise<unknown> = Promise.resolve()

  function start(withArguments: readonly string[]): Child {
    // No option of Node limits the memory of native code: the shell does, where the system lets it, and adds variables.
    const [program, ...rest] =
      process.platform === 'win32'
        ? [process.execPath, ...withArguments]
        : ['/bin/sh', '-c', `ulimit -d ${MAX_MEMORY}; exec /usr/bin/env -i "$0" "$@"`, process.execPath, ...withArguments]
    const started = spawn(program as string, rest, { env: {}, cwd: '/', stdio: ['pipe', 'pipe', 'ignore'], windowsHide: true })
    // A child that has ended takes no input; the answer that does not come tells.
    started.stdin.on('error', () => {})
    started.once('error', () => {})
    started.once('close', () => {
      if (child === started) child = null
    })
    return started
  }

  async function reduce(picture: Picture, whole: Resized): Promise<Resized> {
    if (arguments_ === null || clockMs() < pausedUntilMs) return whole
    clearTimeout(rest)
    child ??= start(arguments_)
    const current = child
    hold(current, true)
    try {
      const answer = await ask(current, picture.bytes, pictureMs)
      const reduced = answer === null ? null : checked(answer, whole)
      faults.clear()
      if (reduced === null) throw new UnusablePicture('The picture cannot be decoded.')
      return reduced
    } catch (error) {
      if (error instanceof UnusablePicture) throw error
      current.kill('SIGKILL')
      if (child === current) child = null
      if (current.exitCode === NO_LIBRARY) {
        arguments_ = null
        log.info({}, 'sharp cannot be loaded on this machine, so feeds show original pictures in one size')
        return whole
      }
      faults.add(createHash('sha256').update(picture.bytes).digest('hex'))
      if (faults.size === MAX_FAULTS) {
        faults.clear()
        pausedUntilMs = clockMs() + PAUSE_MS
        log.warn({ err: error }, 'reducing three different pictures failed; feeds keep new pictures as they are for an hour')
      }
      throw new UnusablePicture(`The picture could not be reduced: ${error instanceof Error ? error.message : error}`)
    } finally {
      hold(current, false)
      rest = setTimeout(end, restMs).unref()
    }
  }

  /** The next picture gets another child: this one takes none any more. */
  function end(): void {
    child?.stdin.end()
    child = null
  }

  return {
    resize(picture) {
      const result = last.then(() => reduce(picture, original(picture)))
      last = result.catch(() => {})
      return result
    },
  }
}

/** Null = there is no `sharp`. It may read its own code and nothing else. */
function argumentsFor(script: string, from: string): string[] | null {
  let sharp: string
  try {
    sharp = createRequire(from).resolve('sharp')
  } catch {
    return null
  }
  const packages = sharp.slice(0, sharp.search(/[\\/]sharp[\\/](?!.*[\\/]sharp[\\/])/) + 1)
  const readable = [script, ...['sharp', '@img', 'detect-libc', 'semver'].map((name) => `${packages}${name}/`)]
  return [
    '--permission',
    '--allow-addons',
    ...readable.map((path) => `--allow-fs-read=${path}`),
    '--max-old-space-size=64',
    '--no-warnings',
    script,
  ]
}

/** A resting child does not keep the agent from ending. */
function hold(child: Child, isHeld: boolean): void {
  for (const handle of [child, child.stdin, child.stdout] as { ref?(): void; unref?(): void }[]) isHeld ? handle.ref?.() : handle.unref?.()
}

interface Answer {
  readonly header: Omit<Resized, 'type' | 'sizes'> & { readonly sizes: readonly { width: number; height: number; length: number }[] }
  readonly bytes: Buffer
}

/** Null = the child found the picture unusable. Throws what is wrong with the child. */
function ask(child: Child, picture: Uint8Array, withinMs: number): Promise<Answer | null> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0)
    const late = setTimeout(() => settle(() => reject(new Error('it took too long'))), withinMs)
    const ended = (): void => settle(() => reject(new Error('the process ended')))
    function settle(act: () => void): void {
      clearTimeout(late)
      child.off('close', ended).off('error', ended)
      child.stdout.off('data', take)
      act()
    }
    function take(part: Buffer): void {
      got = Buffer.concat([got, part])
      try {
        const answer = read(got)
        if (answer !== undefined) settle(() => resolve(answer))
      } catch {
        settle(() => reject(new Error('the process answered nonsense')))
      }
    }
    child.once('close', ended).once('error', ended)
    child.stdout.on('data', take)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(picture.length)
    child.stdin.write(length)
    child.stdin.write(picture)
  })
}

/** Undefined = there is more to come. */
function read(got: Buffer): Answer | null | undefined {
  if (got.length < 4) return
  const start = 4 + got.readUInt32LE(0)
  if (start > MAX_HEADER || got.length > MAX_BYTES) throw new RangeError()
  if (got.length < start) return
  const header = JSON.parse(got.toString('utf8', 4, start))
  if (header.unusable === true && got.length === start) return null
  const sizes: Answer['header']['sizes'] = header.sizes
  const isWhole =
    Array.isArray(sizes) &&
    sizes.length >= 1 &&
    sizes.length <= MAX_SIZES &&
    sizes.every(({ length }) => Number.isInteger(length) && length > 0)
  if (!isWhole) throw new RangeError()
  const end = sizes.reduce((sum, { length }) => sum + length, start)
  if (end > MAX_BYTES || got.length > end) throw new RangeError()
  return got.length < end ? undefined : { header, bytes: got.subarray(start) }
}

/** What the child says is believed only where the bytes say so too. */
function checked({ header: { width, height, color, sizes }, bytes }: Answer, whole: Resized): Resized {
  const isTurned = width === whole.height && height === whole.width
  if (!isTurned && (width !== whole.width || height !== whole.height)) throw new Error('it answered another picture')
  if (typeof color !== 'string' || !/^#[0-9a-f]{6}$/.test(color)) throw new Error('it answered no colour')
  let at = 0
  let before = 0
  const reduced = sizes.map((size) => {
    const part = bytes.subarray(at, at + size.length)
    at += size.length
    if (part.toString('latin1', 0, 4) !== 'RIFF' || part.toString('latin1', 8, 12) !== 'WEBP') throw new Error('it answered no WebP')
    const [found] = faultless(part).sizes
    const isRight =
      found?.width === size.width && found.height === size.height && size.width > before && size.width <= Math.min(width, 1080)
    if (!isRight || Math.abs(size.height - (height * size.width) / width) > 1) throw new Error('it answered another size')
    before = size.width
    return found
  })
  return { type: 'image/webp', width, height, color, sizes: reduced }
}

function faultless(bytes: Uint8Array): Resized {
  try {
    return original({ type: 'image/webp', bytes })
  } catch (error) {
    throw new Error('it answered a damaged picture', { cause: error })
  }
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { listProcess, unrefPipe } from './process-root.ts'

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

export interface Launched {
  readonly pid: number
  readonly running: boolean
  readonly exited: Promise<Exit>
  readonly stdin: NodeJS.WritableStream
  stdout(): string
  stderr(): string
  signal(signal: NodeJS.Signals): void
  /** Suspends it and its children, as on a machine that hangs. */
  freeze(): void
  thaw(): void
  /** Lets this process end while that one runs; the sweeper then ends it. */
  unref(): void
  /** Sends the signal and waits for the end; kills the process after graceMs. */
  end(signal: NodeJS.Signals, graceMs?: number): Promise<Exit>
}

export interface LaunchOptions {
  /** The whole environment except PATH and Node's cache; nothing else is inherited. */
  env?: Record<string, string>
  cwd?: string
  uid?: number
  gid?: number
  /** The signal that ends it cleanly when this process dies first. */
  endWith?: 'KILL' | 'QUIT'
}

/** Node's compile cache: compiling is most of a start's cost. A process that exits cleanly writes it for later ones. */
export const COMPILED = fileURLToPath(new URL('../../node_modules/.compiled', import.meta.url))

/** Starts a program as leader of its own process group, which does not outlive this process. */
export async function launch(command: string, args: string[], options: LaunchOptions = {}): Promise<Launched> {
  const { env = {}, cwd, uid, gid, endWith = 'KILL' } = options
  const variables = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', NODE_COMPILE_CACHE: COMPILED, ...env }
  // tap adds NODE_OPTIONS and its own variables to every child's environment; env -i removes them.
  const child = spawn('env', ['-i', ...Object.entries(variables).map(([name, value]) => `${name}=${value}`), command, ...args], {
    detached: true,
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  })
  // Listed before the first await: a kill in between would leave it running.
  const pid = child.pid
  if (pid === undefined) throw (await once(child, 'error'))[0]
  const unlist = listProcess(pid, endWith)
  await once(child, 'spawn')

  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  // Writing to a child that has ended raises EPIPE.
  child.stdin.on('error', () => {})
  let running = true
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', () => {
      running = false
      unlist()
    })
    // 'close' follows 'exit' once the output has been read.
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  const signalAll = (signal: NodeJS.Signals) => {
    for (const each of [pid, ...childrenOf(pid)]) kill(each, signal)
  }
  return {
    pid,
    get running() {
      return running
    },
    exited,
    stdin: child.stdin,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    signal: (signal) => kill(pid, signal),
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    unref() {
      child.unref()
      for (const stream of [child.stdin, child.stdout, child.stderr]) unrefPipe(stream)
    },
    async end(signal, graceMs = 10_000) {
      if (running) {
        signalAll('SIGCONT')
        kill(pid, signal)
      }
      const timeout = setTimeout(() => kill(-pid, 'SIGKILL'), graceMs)
      try {
        return await exited
      } finally {
        clearTimeout(timeout)
      }
    },
  }
}

/** A process that has ended is no error. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // ESRCH: it has ended already.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

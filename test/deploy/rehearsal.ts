import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'
import { type Exit, launch } from '../support/process.ts'
import { type Teardown, tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const SITE = 'https://shop.example'

export const readRoot = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** A clone of the committed files. */
export async function cleanClone(t: Teardown): Promise<string> {
  const folder = join(tempFolder(t, 'clone'), 'app')
  await shell(`git clone --quiet --depth 1 "file://${ROOT}" app`, dirname(folder), platform(t))
  return folder
}

export interface Platform {
  readonly env: Record<string, string>
}

/** The environment of a machine with the tests' Node and npm settings, and nothing of this project. */
export function platform(t: Teardown, more: Record<string, string> = {}): Platform {
  const bin = join(tempFolder(t, 'bin'), 'bin')
  mkdirSync(bin)
  // Readable for the user that a step runs as.
  chmodSync(dirname(bin), 0o755)
  symlinkSync(process.execPath, join(bin, 'node'))
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  const kept = Object.entries(process.env).filter(([name]) =>
    /^(HOME|NODE_EXTRA_CA_CERTS|\w+_proxy|npm_config_(registry|cache|userconfig))$/i.test(name),
  )
  return { env: { ...(Object.fromEntries(kept) as Record<string, string>), PATH: [bin, ...path].join(delimiter), ...more } }
}

/** Runs a shell line, as a platform's build does; on failure throws its output. */
export async function shell(line: string, cwd: string, { env }: Platform): Promise<string> {
  const run = await launch('sh', ['-c', line], { cwd, env })
  const { code } = await run.exited
  if (code !== 0) throw new Error(`“${line}” ended with ${code}:\n${run.stdout()}${run.stderr()}`)
  return run.stdout() + run.stderr()
}

/** Prefers npm's cache to the network. */
export const NPM = '--prefer-offline --no-audit --no-fund'

export interface Dyno {
  readonly url: string
  output(): string
  running(): boolean
  /** Sends SIGTERM to its first process alone, or to all; returns exit code and duration. */
  stop(whom?: 'first' | 'all'): Promise<Exit & { tookMs: number }>
}

/** Starts a shell line that serves on PORT, and waits for its health check. */
export async function startDyno(
  t: Teardown,
  line: string,
  options: { cwd: string; env: Record<string, string>; uid?: number; gid?: number },
): Promise<Dyno> {
  const port = await freePort()
  const { env, ...rest } = options
  const dyno = await launch('sh', ['-c', `exec ${line}`], { ...rest, env: { ...env, PORT: String(port) } })
  t.teardown(() => dyno.end('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  const output = () => dyno.stdout() + dyno.stderr()
  await waitFor('the agent to be healthy', async () => !dyno.running || (await fetch(`${url}/readyz`)).ok).catch((error: Error) => {
    throw new Error(`${error.message}\n${output()}`)
  })
  if (!dyno.running) throw new Error(`the agent ended:\n${output()}`)
  return {
    url,
    output,
    running: () => dyno.running,
    async stop(whom = 'first') {
      const startedAt = performance.now()
      if (dyno.running) process.kill(whom === 'all' ? -dyno.pid : dyno.pid, 'SIGTERM')
      const timeout = setTimeout(() => void dyno.end('SIGKILL', 0), 60_000)
      const exit = await dyno.exited
      clearTimeout(timeout)
      return { ...exit, tookMs: performance.now() - startedAt }
    },
  }
}

/** Reads the token as a page of the allowed site. */
export async function readToken({ url }: Dyno): Promise<unknown> {
  const response = await fetch(`${url}/token.json`, { headers: { origin: SITE } })
  return ((await response.json()) as { token?: string }).token
}

export const generatedSecret = (): string => randomBytes(32).toString('hex')

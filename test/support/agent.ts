import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import { type Exit, type Launched, launch } from './process.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'
import { waitFor } from './wait-for.ts'

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export interface Agent {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly cwd: string
  readonly exited: Promise<Exit>
  stdout(): string
  stderr(): string
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Unset = as Ctrl-C: after a SIGTERM the agent answers for four more seconds, until load balancers know. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  kill9(): Promise<Exit>
  freeze(): void
  thaw(): void
}

export interface AgentOptions {
  env?: Record<string, string>
  cwd?: string
  port?: number
  /** Waits until this path answers 200; null = no wait. */
  ready?: '/healthz' | '/readyz' | null
  /** Of another release. */
  cli?: string
}

/** Starts the agent as a process in an empty folder, with only these variables. */
export async function startAgent(t: Teardown, options: AgentOptions = {}): Promise<Agent> {
  const { env = {}, cwd = tempFolder(t, 'agent'), port = await freePort(), ready = '/healthz', cli = CLI } = options
  const variables = { HOME: cwd, HOST: '127.0.0.1', PORT: String(port), ...env }
  const agent = await launch(process.execPath, [cli, 'serve'], { cwd, env: variables })
  t.teardown(() => agent.end('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  if (ready !== null) {
    // A question that hangs is asked again.
    const answers = async () => !agent.running || (await fetch(url + ready, { signal: AbortSignal.timeout(5_000) })).ok
    await waitFor(`the agent to answer ${ready}`, answers).catch((error: Error) => {
      throw new Error(`${error.message}\n${agent.stdout()}${agent.stderr()}`, { cause: error.cause })
    })
    if (!agent.running) throw new Error(`the agent ended before it answered ${ready}:\n${agent.stdout()}${agent.stderr()}`)
  }
  return {
    url,
    port,
    pid: agent.pid,
    cwd,
    exited: agent.exited,
    stdout: agent.stdout,
    stderr: agent.stderr,
    fetch: (path, init) => fetch(url + path, init),
    stop: (signal = 'SIGINT') => agent.end(signal, 60_000),
    kill9: () => agent.end('SIGKILL'),
    freeze: agent.freeze,
    thaw: agent.thaw,
  }
}

export interface CliOptions {
  env?: Record<string, string>
  stdin?: string
  cwd?: string
  timeoutMs?: number
  /** Of another release. */
  cli?: string
}

export interface CliResult extends Exit {
  stdout: string
  stderr: string
}

/** Starts the command line. */
export async function startCli(
  t: Teardown,
  args: string[],
  { env = {}, cwd = tempFolder(t, 'cli'), cli = CLI }: CliOptions = {},
): Promise<Launched> {
  const command = await launch(process.execPath, [cli, ...args], { cwd, env: { HOME: cwd, ...env } })
  t.teardown(() => command.end('SIGKILL'))
  return command
}

/** Runs the command line to its end. */
export async function runCli(t: Teardown, args: string[], options: CliOptions = {}): Promise<CliResult> {
  const { stdin = '', timeoutMs = 60_000 } = options
  const command = await startCli(t, args, options)
  command.stdin.end(stdin)
  let isLate = false
  const timeout = setTimeout(() => {
    isLate = true
    command.signal('SIGKILL')
  }, timeoutMs)
  const exit = await command.exited
  clearTimeout(timeout)
  if (isLate) throw new Error(`“${args.join(' ')}” did not end within ${timeoutMs} ms:\n${command.stdout()}${command.stderr()}`)
  return { ...exit, stdout: command.stdout(), stderr: command.stderr() }
}

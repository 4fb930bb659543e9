import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Call, Instagram, InstagramOptions, Overlaps } from './instagram.ts'
import { startInstagram } from './instagram.ts'
import type { Fault, FaultName } from './instagram-faults.ts'
import type { App, IssuedToken, IssueRequest } from './instagram-graph.ts'
import type { Knobs } from './instagram-knobs.ts'

// Instagram's stand-in as a process, for tests that kill, stop or measure the agent. It prints one line of JSON,
// `{"url":"…","control":"…"}`. POST one command as JSON to `control`; the answer is JSON. It ends with its stdin.

export interface State {
  readonly now: number
  readonly knobs: Knobs
  readonly counts: Record<string, number>
  readonly overlaps: Overlaps
  readonly issued: number
}

export type Command =
  | { do: 'issue'; requests: IssueRequest[] }
  | { do: 'revoke'; token: string }
  | { do: 'knobs'; knobs: Partial<Knobs> }
  | { do: 'fail'; path: string; fault: FaultName | Fault; times?: number }
  | { do: 'heal'; path?: string }
  | { do: 'advance'; ms: number }
  | { do: 'set'; at: number }
  | { do: 'app'; app: Partial<App> }
  | { do: 'state' | 'calls' }
  /** The issued tokens from this index on, in order. */
  | { do: 'issued'; from?: number }
  | { do: 'token'; token: string }

function obey(instagram: Instagram, command: Command): unknown {
  switch (command.do) {
    case 'issue':
      return command.requests.map((request) => instagram.issue(request))
    case 'revoke':
      return instagram.revoke(command.token)
    case 'knobs':
      return Object.assign(instagram.knobs, command.knobs)
    case 'fail':
      return instagram.fail(command.path, command.fault, command.times)
    case 'heal':
      return instagram.heal(command.path)
    case 'advance':
      return instagram.clock.advance(command.ms)
    case 'set':
      return instagram.clock.set(command.at)
    case 'app':
      return Object.assign(instagram.apps[0] ?? {}, command.app)
    case 'state': {
      const { knobs, counts, overlaps } = instagram
      return { now: instagram.clock.now(), knobs, counts, overlaps, issued: instagram.issued.size } satisfies State
    }
    case 'calls':
      return instagram.calls
    case 'issued':
      return [...instagram.issued.values()].slice(command.from ?? 0)
    case 'token':
      return instagram.issued.get(command.token) ?? null
    default:
      throw new Error('There is no such command.')
  }
}

async function main(options: InstagramOptions): Promise<void> {
  const instagram = await startInstagram(options)
  const control = createServer(async (request, response) => {
    try {
      const result = obey(instagram, JSON.parse(await text(request)) as Command)
      response.end(JSON.stringify(result ?? null))
    } catch (error) {
      response.writeHead(400).end(JSON.stringify({ error: (error as Error).message }))
    }
  })
  control.listen(0, '127.0.0.1', () => {
    const { port } = control.address() as AddressInfo
    process.stdout.write(`${JSON.stringify({ url: instagram.url, control: `http://127.0.0.1:${port}` })}\n`)
  })
  // The parent may be killed without cleaning up, which closes its end of the pipe too.
  process.stdin.on('end', () => process.exit(0)).resume()
}

export interface RemoteInstagram {
  readonly url: string
  readonly control: string
  readonly process: ChildProcess
  issue(request?: IssueRequest): Promise<string>
  issueMany(requests: IssueRequest[]): Promise<string[]>
  revoke(token: string): Promise<void>
  setKnobs(knobs: Partial<Knobs>): Promise<Knobs>
  fail(path: string, fault: FaultName | Fault, times?: number): Promise<void>
  heal(path?: string): Promise<void>
  advance(ms: number): Promise<void>
  setClock(at: number): Promise<void>
  setApp(app: Partial<App>): Promise<App>
  state(): Promise<State>
  calls(): Promise<Call[]>
  issued(from?: number): Promise<IssuedToken[]>
  token(token: string): Promise<IssuedToken | null>
  stop(): Promise<void>
}

/** Starts the stand-in as a child process; options as for `startInstagram`, except its clock. */
export async function spawnInstagram(options: Omit<InstagramOptions, 'clock'> = {}): Promise<RemoteInstagram> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve)
    child.once('error', reject).once('exit', (code) => reject(new Error(`Instagram's stand-in ended with code ${code}.`)))
  })
  const { url, control } = JSON.parse(line) as { url: string; control: string }

  async function order<T>(command: Command): Promise<T> {
    const response = await fetch(control, { method: 'POST', body: JSON.stringify(command) })
    const result = (await response.json()) as T & { error?: string }
    if (!response.ok) throw new Error(result.error)
    return result
  }
  return {
    url,
    control,
    process: child,
    issue: async (request = {}) => (await order<string[]>({ do: 'issue', requests: [request] }))[0] ?? '',
    issueMany: (requests) => order({ do: 'issue', requests }),
    revoke: (token) => order({ do: 'revoke', token }),
    setKnobs: (knobs) => order({ do: 'knobs', knobs }),
    fail: (path, fault, times) => order({ do: 'fail', path, fault, ...(times === undefined ? {} : { times }) }),
    heal: (path) => order({ do: 'heal', ...(path === undefined ? {} : { path }) }),
    advance: (ms) => order({ do: 'advance', ms }),
    setClock: (at) => order({ do: 'set', at }),
    setApp: (app) => order({ do: 'app', app }),
    state: () => order({ do: 'state' }),
    calls: () => order({ do: 'calls' }),
    issued: (from = 0) => order({ do: 'issued', from }),
    token: (token) => order({ do: 'token', token }),
    async stop() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as InstagramOptions)

import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const CONNECTIONS = 50
const run = promisify(execFile)
const CLOCK_TICKS = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout || 100)

export const HAS_WRK = spawnSync('wrk', ['-v']).error === undefined

export interface Target {
  readonly url: string
  readonly pid: number
}

export interface Load {
  readonly requests: number
  readonly perSecond: number
  /** Processor time of the server per request; valid even if the load generator or another program was the bottleneck. */
  readonly cpuMicrosPerRequest: number
}

/**
 * Repeats one request for so long; throws if an answer has another status. Uses wrk if it is installed: autocannon takes
 * about as long for a request as the servers do, which flatters the slower side.
 */
export async function load(target: Target, path: string, headers: Record<string, string>, status: number, seconds: number): Promise<Load> {
  const before = cpuSeconds(target.pid)
  const measure = HAS_WRK ? withWrk : withAutocannon
  const { requests, perSecond } = await measure(target.url + path, headers, status, seconds)
  return { requests, perSecond, cpuMicrosPerRequest: ((cpuSeconds(target.pid) - before) * 1e6) / requests }
}

type Measured = Pick<Load, 'requests' | 'perSecond'>

async function withWrk(url: string, headers: Record<string, string>, status: number, seconds: number): Promise<Measured> {
  const asked = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const { stdout } = await run('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, ...asked, url])
  const numberIn = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? 0)
  const requests = numberIn(/(\d+) requests in/)
  const refused = numberIn(/Non-2xx or 3xx responses: (\d+)/)
  if (requests === 0 || stdout.includes('Socket errors') || refused !== (status < 400 ? 0 : requests)) {
    throw new Error(`${url} did not answer ${status} throughout:\n${stdout}`)
  }
  return { requests, perSecond: numberIn(/Requests\/sec:\s+([\d.]+)/) }
}

async function withAutocannon(url: string, headers: Record<string, string>, status: number, seconds: number): Promise<Measured> {
  const asked = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const program = fileURLToPath(import.meta.resolve('autocannon'))
  const { stdout } = await run(process.execPath, [program, '--json', '-c', `${CONNECTIONS}`, '-d', `${seconds}`, ...asked, url])
  const { requests, errors, duration, statusCodeStats } = JSON.parse(stdout) as AutocannonResult
  const seen = Object.keys(statusCodeStats).join()
  if (errors > 0 || seen !== String(status)) throw new Error(`${url} answered ${seen}, not ${status}, with ${errors} errors`)
  return { requests: requests.total, perSecond: requests.total / duration }
}

interface AutocannonResult {
  requests: { total: number }
  errors: number
  duration: number
  statusCodeStats: Record<string, unknown>
}

/** Requests another path each time; counts the answers by status. */
export async function askDistinct({ url }: Target, amount: number, headers: Record<string, string>, path: (at: number) => string) {
  const answers: Record<number, number> = {}
  let next = 0
  const client = async (): Promise<void> => {
    while (next < amount) {
      const response = await fetch(url + path(next++), { headers })
      await response.arrayBuffer()
      answers[response.status] = (answers[response.status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, client))
  return answers
}

/** NaN without /proc. */
function cpuSeconds(pid: number): number {
  try {
    const [user = '', system = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13) ?? []
    return (Number(user) + Number(system)) / CLOCK_TICKS
  } catch {
    return Number.NaN
  }
}

export function residentMiB(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  } catch {
    return Number.NaN
  }
}

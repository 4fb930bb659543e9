import { Agent, get } from 'node:http'
import { READS } from './installation.ts'

export interface LoadResult {
  readonly total: number
  /** The reason of each failed read. */
  readonly failures: readonly string[]
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
}

interface Load {
  /** Reads that were answered so far. */
  readonly answered: number
  stop(): Promise<LoadResult>
}

/** Only ends a read that hangs; a busy machine answers far sooner. */
const GIVE_UP_MS = 30_000

/** Reads over keep-alive connections at a steady rate, without retries. */
export function startLoad(target: () => string, { perSecond = 50, path = '/token' } = {}): Load {
  const connections = new Agent({ keepAlive: true })
  const failures: string[] = []
  const latencies: number[] = []
  const open = new Set<Promise<void>>()
  const startedMs = performance.now()
  let sent = 0

  function read(): void {
    sent++
    const url = target()
    const sentMs = performance.now()
    const done = new Promise<void>((resolve) => {
      const failed = (what: string): void => {
        failures.push(`${what} after ${Math.round(performance.now() - sentMs)} ms`)
        resolve()
      }
      const request = get(url + path, { agent: connections, headers: READS, timeout: GIVE_UP_MS }, (response) => {
        response.resume().on('end', () => {
          latencies.push(performance.now() - sentMs)
          if (response.statusCode === 200) resolve()
          else failed(`status ${response.statusCode}`)
        })
        response.on('error', (error) => failed(error.message))
      })
      request.on('timeout', () => request.destroy(new Error('no answer')))
      request.on('error', (error) => failed(error.message))
    }).finally(() => open.delete(done))
    open.add(done)
  }

  const timer = setInterval(() => {
    // As many as are due by now, capped, so that a pause of this process causes no burst.
    const due = Math.floor(((performance.now() - startedMs) * perSecond) / 1000) - sent
    for (let n = 0; n < Math.min(due, 20); n++) read()
    if (due > 20) sent += due - 20
  }, 5)
  return {
    get answered() {
      return latencies.length
    },
    async stop() {
      clearInterval(timer)
      const seconds = (performance.now() - startedMs) / 1000
      await Promise.all(open)
      connections.destroy()
      latencies.sort((a, b) => a - b)
      const at = (share: number): number => Math.round((latencies[Math.floor(latencies.length * share)] ?? 0) * 10) / 10
      const total = latencies.length
      return { total, failures, p50: at(0.5), p99: at(0.99), perSecond: Math.round(total / seconds) }
    },
  }
}

export const figures = ({ total, failures, p50, p99, perSecond }: LoadResult): string =>
  `${total} reads at ${perSecond}/s, ${failures.length} failed, p50 ${p50} ms, p99 ${p99} ms`

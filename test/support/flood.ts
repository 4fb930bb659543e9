import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { Teardown } from './temp-folder.ts'

export interface Flood {
  readonly port: number
  /** `#` becomes a number that differs in each request. */
  readonly path: string
  readonly sockets?: number
  /** Requests per socket, pipelined. */
  readonly requests: number
  /** Complete header lines; `#` as above. */
  readonly headers?: string
}

/**
 * Sends many requests over a few sockets without reading the answers. Runs in a thread, so that it does not delay
 * measurements in this one. Resolves when all sockets are connected.
 */
export async function startFlood(t: Teardown, flood: Flood): Promise<{ end(): Promise<unknown> }> {
  const worker = new Worker(new URL(import.meta.url), { workerData: flood })
  const end = (): Promise<unknown> => worker.terminate()
  t.teardown(end)
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  return { end }
}

function send({ port, path, sockets = 1, requests, headers = '' }: Flood): void {
  let connected = 0
  for (let s = 0; s < sockets; s++) {
    const numbers = Array.from({ length: requests }, (_, r) => s * requests + r)
    const socket = connect(port, '127.0.0.1', () => {
      connected++
      if (connected === sockets) parentPort?.postMessage('all connected')
    })
    socket.on('error', () => {})
    socket.pause()
    socket.write(numbers.map((n) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`.replaceAll('#', String(n))).join(''))
  }
}

/** The peak memory of the process. */
export function peakMegabytes(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024)
}

if (!isMainThread && workerData?.requests !== undefined) send(workerData)

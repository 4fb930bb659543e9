import { readFileSync } from 'node:fs'

/** How long the machine has kept a process waiting for a processor, in milliseconds. 0 where the system does not say. */
function starvedMs(pid: number | 'self'): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}

/** Milliseconds since the start, less those in which this process or one of `pids` waited for a processor. */
export function startStopwatch(...pids: number[]): () => number {
  const starved = (): number => pids.reduce((sum, pid) => sum + starvedMs(pid), starvedMs('self'))
  const [startedMs, before] = [performance.now(), starved()]
  return () => performance.now() - startedMs - (starved() - before)
}

/** True if one of three tries is fast: a burst of other work on the machine slows one of them, and a slow product all three. */
export async function isFastOnce(isFast: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 3; tries++) if (await isFast()) return true
  return false
}

/** The processor time of synchronous work, in milliseconds. */
export function processorMs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

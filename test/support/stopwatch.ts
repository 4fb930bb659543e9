import { readFileSync } from 'node:fs'

/** How long the machine has kept a process waiting for a processor, in milliseconds. 0 where the system does not say. */
export function starvedMs(pid: number | 'self'): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}

/** Milliseconds since the start, less those in which other processes had the processor. */
export function startStopwatch(): () => number {
  const [startedMs, before] = [performance.now(), starvedMs('self')]
  return () => performance.now() - startedMs - (starvedMs('self') - before)
}

/** The processor time of synchronous work, in milliseconds. */
export function processorMs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

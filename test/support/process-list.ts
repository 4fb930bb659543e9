import { readdirSync, readFileSync } from 'node:fs'

export function isAlive(pid: number): boolean {
  try {
    // A zombie has ended; its parent has not reaped it yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** The processes whose command line or environment mentions this folder. */
export function processesNaming(folder: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && isAlive(Number(entry)))
    .filter((entry) => {
      try {
        const [command, environment] = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${entry}/${name}`, 'utf8'))
        return `${command}${environment}`.includes(folder)
      } catch {
        return false
      }
    })
}

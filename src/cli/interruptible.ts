import type { Agent } from '../agent.ts'
import { say } from './terminal.ts'

export const MAY_BE_LOST = 'A token that the provider has just given may still wait to be saved, and may be lost.'
const ENDING = `The command ends once its results are saved; once more ends it at once. ${MAY_BE_LOST}`

/** After the first Ctrl-C nothing new starts, and running calls are saved. The second one ends the process at once. */
export async function interruptible(agent: Agent, work: (stopped: AbortSignal) => Promise<number>, notice = ENDING): Promise<number> {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const stopped = new AbortController()
  let caught = null as (typeof signals)[number] | null
  const onSignal = (signal: NodeJS.Signals): void => {
    caught = signals.find((one) => one === signal) ?? 'SIGTERM'
    for (const one of signals) process.off(one, onSignal)
    agent.stopClaiming()
    stopped.abort()
    if (notice !== '') say(notice)
  }
  for (const one of signals) process.on(one, onSignal)
  try {
    return await work(stopped.signal)
  } finally {
    for (const one of signals) process.off(one, onSignal)
    // The shell sees that a signal ended the command, and ends its script too.
    if (caught !== null) process.kill(process.pid, caught)
  }
}

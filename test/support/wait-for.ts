import { setTimeout as sleep } from 'node:timers/promises'

type Falsy = false | 0 | '' | null | undefined

/** Polls until the answer is truthy, and returns it. An exception counts as "not yet"; the last one becomes the cause of the timeout. */
export async function waitFor<T>(
  what: string,
  check: () => T | Promise<T>,
  { timeoutMs = 60_000, everyMs = 25 } = {},
): Promise<Exclude<T, Falsy>> {
  const deadline = performance.now() + timeoutMs
  let problem: unknown
  for (;;) {
    try {
      const answer = await check()
      if (answer) return answer as Exclude<T, Falsy>
      problem = undefined
    } catch (error) {
      problem = error
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`, { cause: problem })
    await sleep(everyMs)
  }
}

import { createHook } from 'node:async_hooks'

const ticks: object[] = []

/**
 * Keeps one TickObject of process.nextTick alive, and with it their hidden class. If a garbage collection at the start
 * finds none alive, V8 drops the class, makes a second one, and writes the five fields of each later object by runtime
 * calls until the process ends: a fifth of each read on one core. Seen with Node 24.21. It can go when the line
 * “/token.json, allowed” of `npm run bench` shows the same processor time without it.
 */
export function keepTickShape(): void {
  const keep = createHook({ init: (_id, type, _trigger, resource) => void (type === 'TickObject' && ticks.push(resource)) }).enable()
  process.nextTick(() => {})
  keep.disable()
}

import type { StatusReport } from './application/report-status.ts'
import type { Health, PartHealth } from './http/deps.ts'
import type { Services } from './services.ts'

export interface HealthWatch {
  /** Asks the parts, at most once a second. */
  check(): Promise<Health>
  /** From here on the agent still serves, but asks to be taken out of rotation. */
  drain(): void
}

const FRESH_MS = 1_000

/** Remembers since when each part is as it is. Ready = able to serve: the store answers, and nobody is stopping us. */
export function createHealthWatch(services: Services, report: () => Promise<StatusReport>): HealthWatch {
  const parts = new Map<string, PartHealth>()
  let draining = false
  let last: { at: number; health: Promise<Health> } | null = null

  const set = (name: string, state: string, since = new Date()): void => {
    if (parts.get(name)?.state !== state) parts.set(name, { state, since })
  }
  const look = async (): Promise<Health> => {
    try {
      const { accounts, needPerson } = await report()
      set('store', 'up')
      set('tokens', accounts.length === 0 ? 'none yet' : needPerson.length === 0 ? 'working' : 'need attention')
    } catch {
      set('store', 'down')
    }
    const memcached = services.memcachedState?.()
    if (memcached !== undefined) set('memcached', memcached.up ? 'up' : 'down', memcached.since)
    return { ready: parts.get('store')?.state === 'up', parts: {} }
  }
  return {
    async check() {
      if (last === null || performance.now() - last.at > FRESH_MS) last = { at: performance.now(), health: look() }
      const { ready } = await last.health
      set('process', draining ? 'stopping' : 'serving')
      return { ready: ready && !draining, parts: Object.fromEntries(parts) }
    },
    drain() {
      draining = true
    },
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import { type AccountSummary, totalOf } from '../accounts/overview.ts'

/** How the agent is doing, as `/readyz` tells it. */
export interface Health {
  readonly ready: boolean
  readonly parts: Readonly<Record<string, PartHealth>>
}

export interface PartHealth {
  readonly state: string
  readonly since: Date
  /** A sentence of ours on what to do, where more is known than the state. */
  readonly message?: string
}

/** The state of the store, and since when; `waitingSince` is set while the question whether it is there waits. */
export interface StoreHealth {
  readonly up: boolean
  readonly since: Date
  readonly waitingSince: Date | null
  readonly problem: string | null
}

export interface Watched {
  readonly summary: () => Promise<AccountSummary>
  readonly storeState: () => StoreHealth
  readonly checkStore: () => Promise<void>
  /** Null where there is no Memcached. */
  readonly memcachedState: (() => Promise<{ readonly up: boolean; readonly since: Date }>) | null
}

export interface HealthWatch {
  /** Answers within two seconds, also while the store does not. */
  check(): Promise<Health>
  /** From here on the agent still serves, but asks to be taken out of rotation. */
  drain(): void
}

/** A store that takes longer counts as down; its own limit, 2 s for each step, may add up to more. */
const TIMEOUT_MS = 1_500

/** Remembers since when this process has seen each part as it is. Ready = able to serve: the store answers, and nobody is stopping us. */
export function createHealthWatch(services: Watched): HealthWatch {
  const parts = new Map<string, PartHealth>()
  let draining = false

  const set = (name: string, state: string, since = new Date()): void => {
    if (parts.get(name)?.state !== state) parts.set(name, { state, since })
  }
  const setStore = (): void => {
    const { up, since, waitingSince, problem } = services.storeState()
    const hangs = waitingSince !== null && Date.now() - waitingSince.getTime() >= TIMEOUT_MS - 100
    if (!up) parts.set('store', { state: 'down', since, ...(problem === null ? {} : { message: problem }) })
    else parts.set('store', hangs ? { state: 'down', since: waitingSince } : { state: 'up', since })
  }
  const setTokens = (summary: AccountSummary): void => {
    const { needPerson, unreadable } = summary
    set('tokens', totalOf(summary) === 0 ? 'none yet' : needPerson + unreadable === 0 ? 'working' : 'need attention')
    set('encryption', unreadable === 0 ? 'every token opens' : 'a stored token opens with no key in ENCRYPTION_KEY')
  }
  return {
    async check() {
      const summary = services.summary().then(setTokens, () => {})
      await Promise.race([Promise.all([services.checkStore(), summary]), sleep(TIMEOUT_MS, undefined, { ref: false })])
      setStore()
      const memcached = await services.memcachedState?.()
      if (memcached !== undefined) parts.set('memcached', { state: memcached.up ? 'up' : 'down', since: memcached.since })
      set('process', draining ? 'stopping' : 'serving')
      return { ready: parts.get('store')?.state === 'up' && !draining, parts: Object.fromEntries(parts) }
    },
    drain() {
      draining = true
    },
  }
}

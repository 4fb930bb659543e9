import { setTimeout as sleep } from 'node:timers/promises'
import type { AccountSummary } from '../accounts/overview.ts'
import type { ChannelState } from '../alerts/channel.ts'

/** The answer of `/readyz`. */
export interface Health {
  readonly ready: boolean
  readonly parts: Readonly<Record<string, PartHealth>>
}

export interface PartHealth {
  readonly state: string
  readonly since: Date
  /** What to do, as a sentence, where the cause is known. */
  readonly message?: string
}

/** The state of the store; `waitingSince` = the start of a running check. */
export interface StoreHealth {
  readonly up: boolean
  readonly since: Date
  readonly waitingSince: Date | null
  readonly problem: string | null
}

export interface WatchedParts {
  readonly summary: () => Promise<AccountSummary>
  readonly storeState: () => StoreHealth
  readonly checkStore: () => Promise<void>
  /** Null where there is no Memcached. */
  readonly memcachedState: (() => Promise<{ readonly up: boolean; readonly since: Date }>) | null
  /** Of the configured channels of alerts. */
  readonly channelStates: () => readonly ChannelState[]
}

export interface HealthWatch {
  /** Answers within two seconds, even while the store does not. */
  check(): Promise<Health>
  /** From now on the agent serves but reports that it is not ready, so that a balancer takes it out of rotation. */
  drain(): void
}

/** A slower store counts as down. Its own limit of 2 s applies to each step and may add up. */
const TIMEOUT_MS = 1_500

export type AlertsState = 'none' | 'untried' | 'up' | 'down'

/** The channels of alerts as one: each page and /readyz go by it. */
export function alertsState(channels: readonly Pick<ChannelState, 'isUp'>[]): AlertsState {
  if (channels.some(({ isUp }) => isUp === false)) return 'down'
  if (channels.some(({ isUp }) => isUp)) return 'up'
  return channels.length === 0 ? 'none' : 'untried'
}

/** Remembers since when each part has its state. Ready = the store answers and the process is not stopping. */
export function createHealthWatch(services: WatchedParts): HealthWatch {
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
    const { needPerson, unreadable, byState } = summary
    set('tokens', needPerson + unreadable > 0 ? 'need attention' : byState.active > 0 ? 'working' : 'none yet')
    set('encryption', unreadable === 0 ? 'every token opens' : 'a stored token opens with no key in ENCRYPTION_KEY')
  }
  return {
    async check() {
      const summary = services.summary().then(setTokens, () => {})
      await Promise.race([Promise.all([services.checkStore(), summary]), sleep(TIMEOUT_MS, undefined, { ref: false })])
      setStore()
      const memcached = await services.memcachedState?.()
      if (memcached !== undefined) parts.set('memcached', { state: memcached.up ? 'up' : 'down', since: memcached.since })
      const alerts = alertsState(services.channelStates())
      // Not why: anybody may read this. And whether a mail server works takes no instance out of rotation.
      if (alerts === 'up' || alerts === 'down') set('alerts', alerts)
      set('process', draining ? 'stopping' : 'serving')
      return { ready: parts.get('store')?.state === 'up' && !draining, parts: Object.fromEntries(parts) }
    },
    drain() {
      draining = true
    },
  }
}

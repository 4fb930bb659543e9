import type { Log } from '../core/log.ts'
import type { Alert, SendAlert } from './alert.ts'

/** One place that alerts go to. */
export interface Channel {
  /** Its name in the table, the log and the metrics. */
  readonly kind: 'webhook' | 'email'
  /** What the owner calls it, such as Slack. */
  readonly title: string
  /** A digest of the address. */
  readonly target: string
  /** Sends one message about all of these. Throws unless the receiver confirms it; takes 15 seconds at most. */
  send(alerts: readonly Alert[]): Promise<void>
}

/** Why a message did not arrive, in a sentence of ours: no text of the other side, no address, no secret. */
export class DeliveryError extends Error {
  constructor(why: string) {
    super(`The alert was not delivered: ${why}.`)
    this.name = 'DeliveryError'
  }
}

/** How the last deliveries to a target went. */
export interface ChannelRecord {
  readonly kind: string
  readonly target: string
  readonly lastOkAt: Date | null
  readonly lastFailedAt: Date | null
  /** Null = the last message arrived, or none was ever sent. */
  readonly lastError: string | null
}

type Address = Pick<Channel, 'kind' | 'target'>

export interface ChannelStore {
  /** True for one process, and only where no message was ever sent to this target. Given out again when the lease has lapsed. */
  claimFirst(address: Address, leaseSeconds: number): Promise<boolean>
  /** Null = it arrived. */
  saveDelivery(address: Address, error: string | null): Promise<void>
  records(): Promise<ChannelRecord[]>
}

/** A configured channel, for the owner's pages. */
export interface ChannelState extends Omit<ChannelRecord, 'target'> {
  readonly title: string
  /** Null = no message was ever sent to this target. */
  readonly isUp: boolean | null
}

export interface TestResult {
  readonly title: string
  /** Null = the test message arrived. */
  readonly error: string | null
}

export interface AlertChannels {
  readonly kinds: readonly string[]
  /** The channels to try now. One that failed rests for a while. */
  open(): readonly string[]
  /** One message about all of these; false = it did not arrive. */
  deliver(kind: string, alerts: readonly Alert[]): Promise<boolean>
  /** For alerts about no account: all channels at once. Throws unless one of them takes it. */
  readonly send: SendAlert
  /** A test message to each channel, by one call at a time. */
  test(): Promise<TestResult[]>
  /** The same, once for each target in its life, by one of the instances. Also learns of the deliveries of the others. */
  testNew(): Promise<void>
  /** Learns of the deliveries of the other instances. */
  readDeliveries(): Promise<void>
  /** As last seen in the store; empty where none is configured. */
  states(): readonly ChannelState[]
}

interface Deps {
  readonly channels: readonly Channel[]
  readonly store: ChannelStore
  readonly log: Log
  /** A clock that only goes forward. */
  readonly clockMs?: () => number
}

const LEASE_SECONDS = 60
const MINUTE_MS = 60_000
const LONGEST_REST_MS = 15 * MINUTE_MS
const TEST: Alert = {
  event: 'test',
  account: null,
  state: null,
  message: 'This is a test: alerts arrive here when an account needs a person.',
}

export function createAlertChannels({ channels, store, log, clockMs = () => performance.now() }: Deps): AlertChannels {
  const resting = new Map<string, { failures: number; untilMs: number }>()
  let records: readonly ChannelRecord[] = []
  let testing: Promise<TestResult[]> | null = null

  const isOpen = ({ kind }: Channel): boolean => (resting.get(kind)?.untilMs ?? 0) <= clockMs()
  const readDeliveries = async (): Promise<void> => {
    if (channels.length > 0) records = await store.records()
  }

  /** The sentence why it did not arrive; null = it did. */
  async function attempt(channel: Channel, alerts: readonly Alert[]): Promise<string | null> {
    let error: string | null = null
    try {
      await channel.send(alerts)
      resting.delete(channel.kind)
    } catch (err) {
      error = err instanceof DeliveryError ? err.message : new DeliveryError('the agent has an error, which its log shows').message
      const failures = (resting.get(channel.kind)?.failures ?? 0) + 1
      resting.set(channel.kind, { failures, untilMs: clockMs() + Math.min(LONGEST_REST_MS, MINUTE_MS * 2 ** (failures - 1)) })
      const [{ account, event } = TEST] = alerts
      log.warn({ channel: channel.kind, account, event, alerts: alerts.length, err }, 'an alert could not be delivered; it is tried again')
    }
    // A message that arrived has arrived, whether or not the store can take it down.
    await store
      .saveDelivery(channel, error)
      .then(readDeliveries)
      .catch((err: unknown) => log.warn({ channel: channel.kind, err }, 'the outcome of a delivery could not be saved'))
    return error
  }
  const testOf = async (channel: Channel): Promise<TestResult> => ({ title: channel.title, error: await attempt(channel, [TEST]) })

  return {
    kinds: channels.map(({ kind }) => kind),
    open: () => channels.filter(isOpen).map(({ kind }) => kind),
    async deliver(kind, alerts) {
      const channel = channels.find((one) => one.kind === kind)
      return channel !== undefined && isOpen(channel) && (await attempt(channel, alerts)) === null
    },
    async send(alert) {
      const errors = await Promise.all(channels.filter(isOpen).map((channel) => attempt(channel, [alert])))
      if (!errors.includes(null)) throw new DeliveryError('no channel took it')
    },
    test() {
      testing ??= Promise.all(channels.map(testOf)).finally(() => {
        testing = null
      })
      return testing
    },
    async testNew() {
      await readDeliveries()
      const isNew = ({ kind, target }: Channel): boolean => {
        const record = records.find((one) => one.kind === kind && one.target === target)
        return record === undefined || (record.lastOkAt === null && record.lastFailedAt === null)
      }
      await Promise.all(
        channels.filter(isNew).map(async (channel) => {
          if (await store.claimFirst(channel, LEASE_SECONDS)) await testOf(channel)
        }),
      )
    },
    readDeliveries,
    states: () =>
      channels.map(({ kind, title, target }) => {
        const record = records.find((one) => one.kind === kind && one.target === target)
        const { lastOkAt = null, lastFailedAt = null, lastError = null } = record ?? {}
        const isUp = lastOkAt === null && lastFailedAt === null ? null : lastError === null
        return { kind, title, lastOkAt, lastFailedAt, lastError, isUp }
      }),
  }
}

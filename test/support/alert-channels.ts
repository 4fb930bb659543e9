import type { Alert } from '../../src/alerts/alert.ts'
import { type AlertChannels, type Channel, createAlertChannels } from '../../src/alerts/channel.ts'
import type { Log } from '../../src/core/log.ts'
import { createChannelStore } from '../../src/storage/channel-store.ts'
import type { Database } from '../../src/storage/database.ts'

interface Options {
  readonly log?: Log
  readonly clockMs?: () => number
}

type Send = Channel['send']

/** The channels of one instance, on its own connection; each takes a message by the function of its name. */
export function channelsOn(db: Database, sends: Partial<Record<Channel['kind'], Send>>, options: Options = {}): AlertChannels {
  const { log = { info: () => {}, warn: () => {} }, clockMs } = options
  const channels = Object.entries(sends).map(([kind, send]) => ({ kind: kind as Channel['kind'], title: kind, target: kind, send }))
  return createAlertChannels({ channels, store: createChannelStore(db), log, ...(clockMs === undefined ? {} : { clockMs }) })
}

export const into =
  (sent: Alert[]): Send =>
  async (alerts) =>
    void sent.push(...alerts)

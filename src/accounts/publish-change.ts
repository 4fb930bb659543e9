import { setTimeout as sleep } from 'node:timers/promises'
import type { Actor } from '../core/account.ts'
import type { AccountStore } from '../core/account-store.ts'
import type { StaleUntil } from '../reading/token-reader.ts'

const TRY_AGAIN_MS = 500

export interface PublishDeps {
  readonly publish: (name: string) => Promise<StaleUntil>
  readonly store: Pick<AccountStore, 'record'>
}

/** Publishes a change of the account to the readers of all instances. If some may see it late, the history says so. */
export async function publishChange(deps: PublishDeps, name: string, actor: Actor): Promise<StaleUntil> {
  let until = await deps.publish(name)
  if (until !== null) {
    // A new process may have no connection to Memcached yet, or one answer came late.
    await sleep(TRY_AGAIN_MS)
    until = await deps.publish(name)
  }
  if (until !== null) {
    const event = { account: name, kind: 'changed', actor, outcome: 'failed', detail: staleSentence(until) } as const
    // Best effort: the change and its own event are saved already.
    await deps.store.record(event).catch(() => {})
  }
  return until
}

export function staleSentence(until: Date): string {
  const time = until.toISOString().slice(11, 19)
  return `Memcached did not answer, so other instances may serve the old state of this account until ${time} UTC.`
}

import type { Log } from '../core/log.ts'
import type { Vault } from '../core/vault.ts'
import type { Overview } from './overview.ts'
import { opens } from './unreadable.ts'

interface Deps {
  readonly overview: Pick<Overview, 'keySuspects' | 'makeSuspectsDue'>
  readonly vault: Vault
  readonly log: Log
}

const SLICE = 500

/**
 * Makes due what the keys of this start no longer open, and what they open again: the next sweep marks it and tells it,
 * or clears it, where it would have come to it in weeks, or hours. Once for each start, as only a start changes keys:
 * while they are rotated, instances with other keys would make each other's accounts due with every look.
 */
export async function recheckKeys({ overview, vault, log }: Deps): Promise<void> {
  let due = 0
  for (let after: string | undefined = ''; after !== undefined; ) {
    const suspects: Awaited<ReturnType<typeof overview.keySuspects>> = await overview.keySuspects(after, SLICE)
    // A token that was altered bears the name of a key too: by that alone it would be due at each start.
    const changed = suspects.filter((account) => opens(account, vault) === (account.lastErrorCode === 'unreadable'))
    due += await overview.makeSuspectsDue(changed.map(({ name }) => name))
    after = suspects.at(-1)?.name
  }
  if (due > 0) log.info({ due }, 'accounts whose tokens the keys of this start no longer open, or open again, are looked at now')
}

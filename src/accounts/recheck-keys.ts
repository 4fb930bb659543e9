import type { Log } from '../core/log.ts'
import type { Vault } from '../core/vault.ts'
import { UNKNOWN_PROVIDER } from '../refreshing/refresh-account.ts'
import type { Overview } from './overview.ts'
import { opens } from './unreadable.ts'

interface Deps {
  readonly overview: Pick<Overview, 'keySuspects' | 'makeSuspectsDue'>
  readonly vault: Vault
  readonly providers: ReadonlyMap<string, unknown>
  readonly log: Log
}

const SLICE = 500

/**
 * Makes accounts due whose tokens the keys of this start no longer open, or open again. The next sweep then marks and
 * alerts, or clears, what it would otherwise meet hours or weeks later. Runs once per start, because only a start changes
 * keys, and brings a provider that a release before did not know: during a rotation, instances with different keys would keep making each other's accounts due.
 */
export async function recheckKeys({ overview, vault, providers, log }: Deps): Promise<void> {
  let due = 0
  for (let after: string | undefined = ''; after !== undefined; ) {
    const suspects: Awaited<ReturnType<typeof overview.keySuspects>> = await overview.keySuspects(after, SLICE)
    // A damaged token still has the prefix of a known key; the prefix alone would make it due at each start.
    const changed = suspects.filter((account) => {
      const { lastErrorCode, lastError, provider } = account
      if (lastError?.startsWith(UNKNOWN_PROVIDER)) return providers.has(provider)
      return opens(account, vault) === (lastErrorCode === 'unreadable')
    })
    due += await overview.makeSuspectsDue(changed.map(({ name }) => name))
    after = suspects.at(-1)?.name
  }
  if (due > 0) log.info({ due }, 'accounts whose tokens the keys of this start no longer open, or open again, are looked at now')
}

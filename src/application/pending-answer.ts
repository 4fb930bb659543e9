import type { AccountChange } from '../domain/account-store.ts'
import type { RowCache } from '../domain/row-cache.ts'
import { Secret } from '../domain/secret.ts'
import { type Place, tryOpen, type Vault } from '../domain/vault.ts'

/** A provider's answer that the store could not take yet. It replaces the token of `version`, and only that one. */
export interface PendingAnswer {
  readonly version: number
  readonly change: AccountChange
}

/**
 * Keeps an answer where the next process finds it, while the store is down. With a provider whose old token dies when
 * the new one is issued, it is the only copy.
 */
export interface PendingAnswers {
  keep(account: string, answer: PendingAnswer): Promise<void>
  /** `expected`: an attempt was cut off, so there may be one; a cache that does not answer is waited for a while. */
  find(account: string, version: number, expected: boolean): Promise<AccountChange | null>
  drop(account: string): Promise<void>
}

const TTL_SECONDS = 24 * 3600
// A process that starts on a busy machine has no connection to its cache yet when it comes to its first account.
const PATIENCE_MS = 3_000
const LOOK_AGAIN_MS = 100
const INSTANTS = new Set(['issuedAt', 'expiresAt', 'refreshExpiresAt', 'lastRefreshAt', 'nextRefreshAt', 'refusedAt'])

interface Deps {
  readonly cache: RowCache | null
  /** False while the cache does not answer: then what it does not tell may be there all the same. */
  readonly isUp?: () => boolean
  readonly vault: Vault
  readonly digest: (text: string) => string
}

export function createPendingAnswers({ cache, isUp = () => true, vault, digest }: Deps): PendingAnswers {
  const keyOf = (account: string): string => digest(`${vault.namespace} pending ${account}`)
  const placeOf = (account: string): Place => ({ table: 'cache', row: account, column: 'pending' })
  return {
    async keep(account, answer) {
      await cache?.set(keyOf(account), vault.seal(new Secret(JSON.stringify(answer)), placeOf(account)), TTL_SECONDS)
    },
    async find(account, version, expected) {
      const until = performance.now() + (expected && cache !== null ? PATIENCE_MS : 0)
      let sealed = ''
      for (;;) {
        const wasUp = isUp()
        sealed = (await cache?.get(keyOf(account))) ?? ''
        if (sealed !== '' || (wasUp && isUp()) || performance.now() >= until) break
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
      }
      if (sealed === '') return null
      const text = tryOpen(vault, sealed, placeOf(account))?.reveal()
      if (text === undefined) return null
      const answer: PendingAnswer = JSON.parse(text, (key, value) => (INSTANTS.has(key) && value !== null ? new Date(value) : value))
      return answer.version === version ? answer.change : null
    },
    async drop(account) {
      await cache?.set(keyOf(account), '', 1)
    },
  }
}

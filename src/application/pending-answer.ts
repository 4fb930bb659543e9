import type { Account } from '../domain/account.ts'
import type { AccountChange, AccountEvent, Claim } from '../domain/account-store.ts'
import type { RowCache } from '../domain/row-cache.ts'
import { Secret } from '../domain/secret.ts'
import { type Place, tryOpen, type Vault } from '../domain/vault.ts'
import type { RefreshDeps } from './refresh-account.ts'

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
const SAVE_RETRY_MS = [100, 250, 500, 1000, 2000]
const INSTANTS: ReadonlySet<string> = new Set<keyof AccountChange>([
  'issuedAt',
  'expiresAt',
  'refreshExpiresAt',
  'lastRefreshAt',
  'nextRefreshAt',
  'nextCheckAt',
  'checkedAt',
  'refusedAt',
  'doubtedAt',
  'trustedAt',
  'connectedAt',
])

type SaveDeps = Pick<RefreshDeps, 'store' | 'publish' | 'pending' | 'log'>

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

/**
 * An answer that the store cannot take at the moment must not be lost: it may be the only copy of a rotated token. It
 * is served and kept elsewhere meanwhile, and saved when the store is back; a mere failure is given up.
 */
export async function saveEnding(deps: SaveDeps, claim: Claim, change: AccountChange, event: AccountEvent): Promise<boolean> {
  const { name, version } = claim.account
  const isAnswer = change.accessToken !== undefined
  const after: Account = { ...claim.account, ...change, version: version + (isAnswer ? 1 : 0) }
  for (let tries = 0; ; tries++) {
    try {
      const owned = await deps.store.commit(claim, change, event)
      if (owned) await deps.publish(after)
      if (tries > 0 && isAnswer) await deps.pending.drop(name)
      return owned
    } catch (error) {
      deps.log.warn({ account: name, err: error }, 'the result of a refresh could not be saved; trying again')
      if (!isAnswer && tries >= SAVE_RETRY_MS.length) throw error
      if (isAnswer) await deps.pending.keep(name, { version, change })
      if (isAnswer && tries === 0) await deps.publish(after)
      await new Promise((resolve) => setTimeout(resolve, SAVE_RETRY_MS[Math.min(tries, SAVE_RETRY_MS.length - 1)]))
    }
  }
}

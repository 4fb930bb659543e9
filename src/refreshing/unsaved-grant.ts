import type { Account } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore, Claim } from '../core/account-store.ts'
import { shortDigest } from '../core/digest.ts'
import type { Log } from '../core/log.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import type { RowCache } from '../reading/row-cache.ts'

/** A provider's answer that the store could not take yet. It replaces the token of `version`, and only that one. */
export interface UnsavedGrant {
  readonly version: number
  readonly change: AccountChange
}

/**
 * Keeps an answer where the next process finds it, while the store is down. With a provider whose old token dies when
 * the new one is issued, it is the only copy.
 */
export interface UnsavedGrants {
  keep(account: string, answer: UnsavedGrant): Promise<void>
  /** `expected`: an attempt was cut off, so there may be one; a cache that does not answer is waited for a while. */
  find(account: string, version: number, expected: boolean): Promise<AccountChange | null>
  drop(account: string): Promise<void>
}

const TTL_SECONDS = 24 * 3600
// A process that starts on a busy machine has no connection to its cache yet when it comes to its first account.
const TIMEOUT_MS = 3_000
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

export interface SaveDeps {
  readonly store: Pick<AccountStore, 'commit'>
  /** Shows what was written of the account to the readers of all instances; `unsaved` where the store could not take it. */
  readonly publish: (name: string, unsaved?: Account) => Promise<unknown>
  readonly unsaved: UnsavedGrants
  readonly log: Log
}

interface Deps {
  readonly cache: RowCache | null
  /** False while the cache does not answer: then what it does not tell may be there all the same. */
  readonly isUp?: () => boolean
  readonly vault: Vault
  /** The store's name in the cache; null = no start has prepared the store yet. */
  readonly cacheId: () => Promise<string | null>
}

export function createUnsavedGrants({ cache, isUp = () => true, vault, cacheId }: Deps): UnsavedGrants {
  // Kept for when the store, which knows it, is away.
  let id: string | null = null

  function placesOf(account: string): { key: string; place: SealContext }[] {
    const place = (column: string): SealContext => ({ table: 'cache', row: account, column })
    const key = (namespace: string): string => shortDigest(`${namespace} pending ${account}`)
    const own = id === null ? [] : [{ key: key(id), place: place(`pending ${id}`) }]
    // The release before keeps them under its oldest key. To be removed in the next release.
    return [...own, ...vault.keyIds.map((keyId) => ({ key: key(keyId), place: place('pending') }))]
  }

  async function look(account: string): Promise<Secret | null> {
    for (const { key, place } of placesOf(account)) {
      const sealed = (await cache?.get(key)) ?? ''
      const text = sealed === '' ? null : tryOpen(vault, sealed, place)
      if (text !== null) return text
    }
    return null
  }

  return {
    async keep(account, answer) {
      const [first] = placesOf(account)
      if (first !== undefined) await cache?.set(first.key, vault.seal(new Secret(JSON.stringify(answer)), first.place), TTL_SECONDS)
    },
    async find(account, version, expected) {
      if (cache === null) return null
      id = await cacheId().catch(() => id)
      const until = performance.now() + (expected ? TIMEOUT_MS : 0)
      let text: Secret | null
      for (;;) {
        const wasUp = isUp()
        text = await look(account)
        if (text !== null || (wasUp && isUp()) || performance.now() >= until) break
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
      }
      if (text === null) return null
      const answer: UnsavedGrant = JSON.parse(text.reveal(), (key, value) =>
        INSTANTS.has(key) && value !== null ? new Date(value) : value,
      )
      return answer.version === version ? answer.change : null
    },
    async drop(account) {
      await Promise.all(placesOf(account).map(({ key }) => cache?.set(key, '', 1)))
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
      if (owned) await deps.publish(name, after)
      if (tries > 0 && isAnswer) await deps.unsaved.drop(name)
      return owned
    } catch (error) {
      deps.log.warn({ account: name, err: error }, 'the result of a refresh could not be saved; trying again')
      if (!isAnswer && tries >= SAVE_RETRY_MS.length) throw error
      if (isAnswer) await deps.unsaved.keep(name, { version, change })
      if (isAnswer && tries === 0) await deps.publish(name, after)
      await new Promise((resolve) => setTimeout(resolve, SAVE_RETRY_MS[Math.min(tries, SAVE_RETRY_MS.length - 1)]))
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from '../core/account.ts'
import type { AccountChange, AccountEvent, AccountStore, Claim } from '../core/account-store.ts'
import { shortDigest } from '../core/digest.ts'
import type { Log } from '../core/log.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import type { RowCache } from '../reading/row-cache.ts'

/** A grant the store could not save. Applies only on top of `version`. */
export interface UnsavedGrant {
  readonly version: number
  readonly change: AccountChange
}

/**
 * Keeps a grant in the cache while the store is down, so that the next process finds it. If the provider has voided the
 * old token, it is the only copy.
 */
export interface UnsavedGrants {
  keep(account: string, grant: UnsavedGrant): Promise<void>
  /** `expected`: an attempt was cut off, so a grant is likely; waits up to 3 s for a cache that does not answer. */
  find(account: string, version: number, expected: boolean): Promise<AccountChange | null>
  drop(account: string): Promise<void>
}

const TTL_SECONDS = 24 * 3600
// A process that starts on a busy machine reaches its first account before it is connected to the cache.
const TIMEOUT_MS = 3_000
const POLL_MS = 100
const SAVE_RETRY_MS = [100, 250, 500, 1000, 2000]
const INSTANTS: ReadonlySet<string> = new Set<keyof AccountChange>([
  'issuedAt',
  'expiresAt',
  'refreshExpiresAt',
  'reconnectBy',
  'lastRefreshAt',
  'nextRefreshAt',
  'nextCheckAt',
  'checkedAt',
  'refusedAt',
  'doubtedAt',
  'trustedAt',
  'pageUseConfirmedAt',
  'pageUseEndedAt',
  'connectedAt',
])

export interface SaveDeps {
  readonly store: Pick<AccountStore, 'commit'>
  /** Publishes the account's new state to the readers of all instances; `unsaved` where the store could not save it. */
  readonly publish: (name: string, unsaved?: Account) => Promise<unknown>
  readonly unsaved: UnsavedGrants
  /** How many grants of this process wait for the store. */
  readonly waiting?: { grants: number }
  readonly log: Log
}

interface Deps {
  readonly cache: RowCache | null
  /** False while the cache does not answer, so a miss means nothing. */
  readonly isUp?: () => boolean
  readonly vault: Vault
  /** The store's namespace in the cache; null = no start has prepared the store yet. */
  readonly cacheId: () => Promise<string | null>
}

export function createUnsavedGrants({ cache, isUp = () => true, vault, cacheId }: Deps): UnsavedGrants {
  // Remembered for the time when the store is down.
  let id: string | null = null

  function entriesOf(account: string): { key: string; context: SealContext }[] {
    const context = (column: string): SealContext => ({ table: 'cache', row: account, column })
    const key = (namespace: string): string => shortDigest(`${namespace} pending ${account}`)
    const own = id === null ? [] : [{ key: key(id), context: context(`pending ${id}`) }]
    // The release before uses its oldest key's id as the namespace. Remove this in the next release.
    return [...own, ...vault.keyIds.map((keyId) => ({ key: key(keyId), context: context('pending') }))]
  }

  async function read(account: string): Promise<Secret | null> {
    for (const { key, context } of entriesOf(account)) {
      const sealed = (await cache?.get(key)) ?? ''
      const text = sealed === '' ? null : tryOpen(vault, sealed, context)
      if (text !== null) return text
    }
    return null
  }

  return {
    async keep(account, grant) {
      const [first] = entriesOf(account)
      if (first !== undefined) await cache?.set(first.key, vault.seal(new Secret(JSON.stringify(grant)), first.context), TTL_SECONDS)
    },
    async find(account, version, expected) {
      if (cache === null) return null
      id = await cacheId().catch(() => id)
      const until = performance.now() + (expected ? TIMEOUT_MS : 0)
      let text: Secret | null
      for (;;) {
        const wasUp = isUp()
        text = await read(account)
        if (text !== null || (wasUp && isUp()) || performance.now() >= until) break
        await sleep(POLL_MS)
      }
      if (text === null) return null
      const grant: UnsavedGrant = JSON.parse(text.reveal(), (key, value) => (INSTANTS.has(key) && value !== null ? new Date(value) : value))
      return grant.version === version ? grant.change : null
    },
    async drop(account) {
      await Promise.all(entriesOf(account).map(({ key }) => cache?.set(key, '', 1)))
    },
  }
}

/**
 * Commits an outcome. A grant that the store cannot save may be the only copy of a rotated token, so it is served and
 * kept in the cache, and saved when the store is back. An outcome without a token is given up after a few retries.
 * Returns false where the attempt is void.
 */
export async function saveOutcome(deps: SaveDeps, claim: Claim, change: AccountChange, event: AccountEvent): Promise<boolean> {
  const { name, version } = claim.account
  const hasGrant = change.accessToken !== undefined
  const after: Account = { ...claim.account, ...change, version: version + (hasGrant ? 1 : 0) }
  const { waiting = { grants: 0 } } = deps
  for (let tries = 0; ; tries++) {
    try {
      const owned = await deps.store.commit(claim, change, event)
      if (tries > 0) waiting.grants--
      if (owned) await deps.publish(name, after)
      if (tries > 0 && hasGrant) await deps.unsaved.drop(name)
      return owned
    } catch (error) {
      deps.log.warn({ account: name, err: error }, 'the result of a refresh could not be saved; trying again')
      if (tries === 0) waiting.grants++
      if (!hasGrant && tries >= SAVE_RETRY_MS.length) {
        waiting.grants--
        throw error
      }
      if (hasGrant) await deps.unsaved.keep(name, { version, change })
      if (hasGrant && tries === 0) await deps.publish(name, after)
      await sleep(SAVE_RETRY_MS[Math.min(tries, SAVE_RETRY_MS.length - 1)])
    }
  }
}

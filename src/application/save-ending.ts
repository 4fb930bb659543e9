import type { Account } from '../domain/account.ts'
import type { AccountChange, AccountEvent, Claim } from '../domain/account-store.ts'
import type { RefreshDeps } from './refresh-account.ts'

const SAVE_RETRY_MS = [100, 250, 500, 1000, 2000]

/**
 * An answer that the store cannot take at the moment must not be lost: it may be the only copy of a rotated token. It
 * is served and kept elsewhere meanwhile, and saved when the store is back; a mere failure is given up.
 */
export async function saveEnding(deps: RefreshDeps, claim: Claim, change: AccountChange, event: AccountEvent): Promise<boolean> {
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

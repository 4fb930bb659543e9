import { acceptToken } from '../core/accept-token.ts'
import { type Account, type Actor, isServable } from '../core/account.ts'
import { AppError, ConnectError, ProviderError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'
import type { SeedDeps, SeedResult } from './given-token.ts'
import { type GrantDeps, refuseOtherProvider, saveGrant } from './save-grant.ts'
import { readersAfter, seedAccount } from './seed.ts'

type PasteDeps = SeedDeps & Pick<GrantDeps, 'publish' | 'seedFingerprints'>

export interface Paste {
  readonly account: string
  readonly provider: string
  readonly token: Secret
  readonly actor: Actor
  /** The owner allows a token of another user. */
  readonly otherUser: boolean
}

/** Saves a pasted token. A token that lives an hour is exchanged for a long-lived one where the provider allows it. */
export async function pasteToken(deps: PasteDeps, { account, provider, token: pasted, actor, otherUser }: Paste): Promise<SeedResult> {
  const known = deps.providers.get(provider)
  if (known === undefined) throw new AppError('invalid', 'This agent does not know this provider.')
  const token = acceptToken(deps.secrets, known, pasted)
  const existing = await deps.store.find(account)
  refuseOtherProvider(existing, { account, provider })
  const onlyUser = otherUser ? null : (existing?.providerUserId ?? null)
  if (existing !== null && onlyUser !== null && known.seed.kind === 'access') await mustBeSameUser(deps, existing, token)
  const askedAt = deps.store.now()
  const { connect } = known
  try {
    const grant = await connect?.exchangeForLongLived?.(token)
    if (connect !== undefined && grant != null) {
      const profile = await connect.identify(grant.accessToken)
      await saveGrant(deps, { account, provider, grant, profile, askedAt, actor, existing })
      const message = `The token was valid for an hour; it was exchanged for a long-lived one.${await readersAfter(deps, account)}`
      return { outcome: 'taken', result: { account, outcome: 'verified', message, nextRefreshAt: null }, message }
    }
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error
    // Without a good token, an unchecked one is better than none.
    const hasGoodToken = existing !== null && existing.state !== 'reconnect' && isServable(existing, deps.store.now())
    if (error.isTransient && hasGoodToken) return { outcome: 'postponed', message: error.message }
    // This app's secret cannot exchange another app's token; the token may still work.
  }
  return seedAccount(deps, { account, provider, token, actor, onlyUser, fingerprint: deps.seedFingerprints.get(account) ?? null })
}

async function mustBeSameUser(deps: PasteDeps, { provider, providerUserId, username }: Account, token: Secret): Promise<void> {
  let userId: string | undefined
  try {
    userId = (await deps.providers.get(provider)?.profile(token))?.userId
  } catch (error) {
    // `seedAccount` asks the provider too, and names the problem with the token.
    if (error instanceof ProviderError) return
    throw error
  }
  if (userId !== undefined && userId !== providerUserId) {
    const present = username === null ? 'another user' : `@${username}`
    throw new AppError(
      'conflict',
      `This token is another user’s; the account is connected as ${present}. If you want that, tick the box and paste the token again.`,
    )
  }
}

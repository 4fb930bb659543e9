import type { Account } from '../core/account.ts'
import { ProviderError } from '../core/errors.ts'
import type { Grant, Profile, Provider } from '../core/provider.ts'
import type { Secret } from '../core/secret.ts'
import { type Attempt, isRepeated } from './outcome.ts'

// What a new token must pass before it takes over from one that still works.

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** A refresh must not give this account's readers another user's token. Throws a ProviderError. */
export async function checkOwner(provider: Provider, userId: string | null, before: Secret | null, grant: Grant): Promise<void> {
  const { accessToken: after, profile } = grant
  if (userId === null || before?.reveal() === after.reveal()) return
  let owner: Profile
  try {
    owner = profile ?? (await provider.profile(after))
  } catch (error) {
    // Without an answer the new token counts: the provider gave it for the old one, which may be dead by now.
    if (error instanceof ProviderError && (error.kind === 'transient' || error.kind === 'throttled')) return
    throw new ProviderError('transient', 'The provider handed out a new token that it then refused; the old one stays.', { cause: error })
  }
  if (owner.userId !== userId) {
    throw new ProviderError('transient', 'The provider handed out the token of another user; the old one stays.')
  }
}

/**
 * Throws a ProviderError where the new token would end sooner than the old one, unless the provider answers so twice or
 * the old token is dead.
 */
export async function checkLife(
  provider: Provider,
  account: Account,
  { before, grant, calledAt }: { before: Secret; grant: Grant; calledAt: Date },
): Promise<void> {
  const statedEnd = statedEndOf(account, provider)
  const { expiresInSeconds, refreshToken } = grant
  // An access token that a refresh token gets may live as long as it likes.
  if (statedEnd === null || refreshToken !== null || expiresInSeconds === null) return
  const end = calledAt.getTime() + expiresInSeconds * 1000
  if (end >= statedEnd.getTime() - DAY_MS) return
  const earlier = /^life of (\d+) s$/.exec(account.doubted ?? '')?.[1]
  // Compares the length and the end: a provider may count down to a fixed time.
  const isSame =
    earlier !== undefined &&
    (Math.abs(Number(earlier) - expiresInSeconds) <= Number(earlier) / 10 ||
      Math.abs((account.doubtedAt?.getTime() ?? 0) + Number(earlier) * 1000 - end) <= MINUTE_MS)
  const answer = isSame ? (account.doubted ?? '') : `life of ${expiresInSeconds} s`
  if (isRepeated(account, answer, calledAt)) return
  if (before.reveal() !== grant.accessToken.reveal() && (await isDead(provider, before))) return
  const sentence = 'The provider handed out a token that ends sooner than the one in hand; the old one stays, and the agent asks again.'
  throw new ProviderError('transient', sentence, { doubt: { answer, atFirst: sentence } })
}

/** The expiry of the present token as the provider stated it, at most its longest life; null = not stated. */
function statedEndOf({ issuedAt, expiresAt, lastRefreshAt, connectedAt }: Account, { maximumLifeSeconds }: Provider): Date | null {
  if (issuedAt === null || expiresAt === null) return null
  // The expiry of an imported token does not come from the provider; its issue date is neither a refresh nor a grant.
  const isStated = [lastRefreshAt, connectedAt].some((at) => at?.getTime() === issuedAt.getTime())
  return isStated ? new Date(Math.min(expiresAt.getTime(), issuedAt.getTime() + maximumLifeSeconds * 1000)) : null
}

async function isDead(provider: Provider, token: Secret): Promise<boolean> {
  return provider.profile(token).then(
    () => false,
    (error: unknown) => error instanceof ProviderError && error.kind === 'reconnect',
  )
}

/** The profile of a token that works but is too young to be refreshed; null = the refusal has another reason. */
export async function profileOfYoung(
  error: ProviderError,
  { account: { issuedAt }, provider, calledAt }: Attempt,
  token: Secret,
): Promise<Profile | null> {
  if (error.kind !== 'reconnect' && error.kind !== 'misconfigured') return null
  if (issuedAt !== null && calledAt.getTime() - issuedAt.getTime() >= provider.minimumAgeSeconds * 1000) return null
  // The call follows the refusal, because the token may have died in between.
  return provider.profile(token).catch(() => null)
}

import { ConnectError } from '../core/errors.ts'
import type { Challenge, Connect } from '../core/provider.ts'
import type { OAuthStateStore } from './oauth-states.ts'

interface Deps {
  readonly states: Pick<OAuthStateStore, 'challenge' | 'preferChallenge'>
}

/** The way to write the next PKCE challenge; empty = the provider's usual one, or none. */
export async function challengeFor({ states }: Deps, { challenges }: Connect): Promise<{ challenge?: Challenge }> {
  const preferred = challenges === undefined ? null : await states.challenge()
  return preferred !== null && challenges?.includes(preferred) === true ? { challenge: preferred } : {}
}

/** The provider refused the way in which the challenge was written: the next request takes the other way. Rethrows the error. */
export async function tryOtherChallenge(deps: Deps, connect: Connect, error: unknown): Promise<never> {
  if (error instanceof ConnectError && error.isChallengeRefused) {
    const { challenge = connect.challenges?.[0] } = await challengeFor(deps, connect)
    const other = connect.challenges?.find((one) => one !== challenge)
    if (other !== undefined) await deps.states.preferChallenge(other)
  }
  throw error
}
